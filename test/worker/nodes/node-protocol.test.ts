/** The calls of a machine with a job token: replies, and what bad input and bad luck get. */
import { describe, test } from "vitest";
import { heartbeatRoute, joinRoute, pollRoute } from "../../../src/nodes/contract.ts";
import {
  call,
  detail,
  expectContract,
  expectError,
  join,
  machineUuid,
  poll,
  putResult,
} from "../harness/client.ts";
import { createJob, type TestJob } from "../harness/factories.ts";
import { travel } from "../harness/instruments.ts";

async function joined(body: Record<string, unknown> = {}) {
  const job = await createJob(body);
  const reply = await join(job);
  return { job, taskId: reply.body.id as string };
}

function heartbeat(job: TestJob, taskId: string, body: unknown) {
  return call("PATCH", `/jobs/current/tasks/${taskId}`, { token: job.token, body });
}

describe("GET /jobs/current", () => {
  test("before joining: join; the reply has exactly the declared keys", async ({ expect }) => {
    const job = await createJob({ node_count: 2 });
    const reply = await poll(job);
    expectContract(expect, reply, pollRoute, 200);
    expect(reply.body).toMatchObject({
      id: job.id,
      directive: "join",
      state: "created",
      node_count: 2,
      current_nodes: 0,
      step: null,
      nodes: null,
      task: null,
    });
  });

  test("says when to ask again, also in Retry-After: soon near a barrier, else 45 to 60 s", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const one = (await join(job)).body.id;
    const waitOf = async (taskId?: string) => {
      const reply = await poll(job, taskId);
      const seconds = reply.body.poll_after_seconds;
      expect(reply.headers.get("retry-after")).toBe(String(Math.ceil(seconds)));
      return seconds;
    };
    const far = [45, 60] as const;
    const near = [2, 5] as const;
    const expectBetween = (value: number, [from, to]: readonly [number, number]) => {
      expect(value).toBeGreaterThanOrEqual(from);
      expect(value).toBeLessThanOrEqual(to);
    };
    expectBetween(await waitOf(), near);
    expectBetween(await waitOf(one), far);
    await putResult(job, one, 0);
    expectBetween(await waitOf(one), far);
    await join(job);
    expectBetween(await waitOf(one), near);
  });

  test("an unchanged poll is 304 without a body, and still says when to ask again", async ({
    expect,
  }) => {
    const { job, taskId } = await joined();
    const first = await poll(job, taskId);
    const etag = first.headers.get("etag") ?? "";
    expect(etag).toMatch(/^W\/"[\w-]+"$/);
    const again = await poll(job, taskId, { "if-none-match": etag });
    expect(again.status).toBe(304);
    expect(again.text).toBe("");
    expect(again.headers.get("etag")).toBe(etag);
    expect(Number(again.headers.get("retry-after"))).toBeGreaterThan(0);
    const list = `"other", ${etag.replace("W/", "")}`;
    expect((await poll(job, taskId, { "if-none-match": list })).status).toBe(304);
    expect((await poll(job, taskId, { "if-none-match": "*" })).status).toBe(304);
    expect((await poll(job, taskId, { "if-none-match": '"other"' })).status).toBe(200);
  });

  test("the validator changes with what the node sees, and not with the news of other nodes", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 4 });
    const one = (await join(job)).body.id;
    const two = (await join(job)).body.id;
    const etag = (await poll(job, one)).headers.get("etag") ?? "";
    await join(job);
    await putResult(job, two, 0);
    expect((await poll(job, one, { "if-none-match": etag })).status).toBe(304);
    await putResult(job, one, 0);
    const changed = await poll(job, one, { "if-none-match": etag });
    expect(changed.status).toBe(200);
    expect(changed.body.directive).toBe("stop");
  });

  test.for([
    ["a task of another job", "512000000000001", 404, "RESOURCE_NOT_FOUND"],
    ["not a number", "abc", 400, "PARAMETER_INCORRECT_VALUE"],
    ["beyond 2^53", "9999999999999999", 400, "PARAMETER_INCORRECT_VALUE"],
    ["negative", "-1", 400, "PARAMETER_INCORRECT_VALUE"],
  ] as const)("task_id %s", async ([, taskId, status, code], { expect }) => {
    const { job } = await joined();
    expectError(expect, await poll(job, taskId), status, code);
  });

  test("task_id given twice", async ({ expect }) => {
    const { job, taskId } = await joined();
    const reply = await poll(job, `${taskId}&task_id=${taskId}`);
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", "task_id must be given once");
  });
});

describe("POST /jobs/current/tasks", () => {
  test("201 with the task, then 200 with the same task for the same machine", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2 });
    const machine = {
      machine_uuid: machineUuid(),
      machine_ip: "192.168.1.10",
      cluster_address: "node-1.cluster:7117",
      gpu_model: "NVIDIA A100-SXM4-80GB",
      gpu_count: 8,
      inventory: { gpu: { count: 8 } },
    };
    const first = await join(job, machine);
    expectContract(expect, first, joinRoute, 201);
    expect(first.body).toMatchObject({
      id: String(Number(job.id) + 1),
      job_id: job.id,
      rank: 0,
      machine_uuid: machine.machine_uuid,
      machine_ip: "192.168.1.10",
      gpu_model: "NVIDIA A100-SXM4-80GB",
      gpu_count: 8,
      state: "running",
    });
    const again = await join(job, { ...machine, machine_uuid: machine.machine_uuid.toUpperCase() });
    expectContract(expect, again, joinRoute, 200);
    expect(again.body).toEqual({
      ...first.body,
      poll_after_seconds: again.body.poll_after_seconds,
    });
    expect((await poll(job)).body.current_nodes).toBe(1);
  });

  test("256 machines and 44 more at once: exactly 256 get in, ranks 0 to 255 without gap", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 256 });
    const replies = await Promise.all(Array.from({ length: 300 }, () => join(job)));
    const inside = replies.filter((reply) => reply.status === 201);
    const ranks = inside.map((reply) => reply.body.rank).sort((a, b) => a - b);
    expect(ranks).toEqual(Array.from({ length: 256 }, (_, rank) => rank));
    for (const reply of replies.filter(({ status }) => status !== 201)) {
      expectError(expect, reply, 409, "NODE_LIMIT_REACHED");
    }
    const ids = new Set(inside.map((reply) => reply.body.id));
    expect(ids.size).toBe(256);
    expect(Math.max(...[...ids].map(Number))).toBeLessThan(Number(job.id) + 512);
    expect((await detail(job)).body).toMatchObject({ state: "running", current_nodes: 256 });
  });

  test("more than 600 joins a minute: 429 that says how long to wait", async ({ expect }) => {
    travel().to(Date.now());
    const job = await createJob();
    const machine = { machine_uuid: machineUuid() };
    for (let batch = 0; batch < 6; batch++) {
      await Promise.all(Array.from({ length: 100 }, () => join(job, machine)));
    }
    const reply = await join(job, machine);
    expectError(expect, reply, 429, "TOO_MANY_REQUESTS");
    expect(Number(reply.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(Number(reply.headers.get("retry-after"))).toBeLessThanOrEqual(60);
  });

  test.for([
    ["no machine_uuid", { machine_uuid: undefined }, "machine_uuid is required"],
    [
      "the nil UUID",
      { machine_uuid: "00000000-0000-0000-0000-000000000000" },
      "machine_uuid must not be 00000000-0000-0000-0000-000000000000, which many machines have; use a random UUID",
    ],
    ["a machine_uuid that is none", { machine_uuid: "abc" }, "machine_uuid must be a UUID"],
    [
      "an IP address that is none",
      { machine_ip: "1.2.3" },
      "machine_ip must be an IPv4 or IPv6 address",
    ],
    [
      "a cluster address without port",
      { cluster_address: "10.0.0.1" },
      "cluster_address must be host:port, an IPv6 host in brackets",
    ],
    [
      "port 0",
      { cluster_address: "10.0.0.1:0" },
      "cluster_address must have a port between 1 and 65535",
    ],
    [
      "port 65536",
      { cluster_address: "10.0.0.1:65536" },
      "cluster_address must have a port between 1 and 65535",
    ],
    [
      "nine addresses",
      { cluster_addresses: Array.from({ length: 9 }, (_, i) => `10.0.0.${i}:7117`) },
      "cluster_addresses must have at most 8 entries",
    ],
    [
      "a second address without port",
      { cluster_addresses: ["10.0.0.1:7117", "fd00::1"] },
      "cluster_addresses.1 must be host:port, an IPv6 host in brackets",
    ],
    ["65 GPUs", { gpu_count: 65 }, "gpu_count must be between 0 and 64"],
    [
      "a model name of 129",
      { gpu_model: "x".repeat(129) },
      "gpu_model must have at most 128 characters",
    ],
    ["an inventory that is a list", { inventory: [] }, "inventory must be an object"],
    [
      "an inventory of more than 64 KiB",
      { inventory: { a: "x".repeat(65_536) } },
      "inventory must be at most 65536 bytes of JSON",
    ],
  ] as const)("%s: 400, and nobody joins", async ([, change, message], { expect }) => {
    const job = await createJob();
    expectError(expect, await join(job, change), 400, "PARAMETER_INCORRECT_VALUE", message);
    expect((await poll(job)).body.current_nodes).toBe(0);
  });

  test.for(["10.0.0.1:1", "[::1]:65535", "node-1.example.com:7117", "a:7117"])(
    "cluster address %s is accepted",
    async (cluster_address, { expect }) => {
      expect((await join(await createJob(), { cluster_address, machine_ip: "::1" })).status).toBe(
        201,
      );
    },
  );
});

describe("the addresses of a node", () => {
  const ADDRESSES = ["10.0.0.4:7117", "[fd00::4]:7117", "node-4.example:7117"];
  test.for([
    ["the list alone", { cluster_addresses: ADDRESSES }, ADDRESSES],
    ["one alone", { cluster_address: ADDRESSES[0] }, [ADDRESSES[0]]],
    ["both", { cluster_address: ADDRESSES[0], cluster_addresses: ADDRESSES }, ADDRESSES],
    [
      "one that the list does not begin with",
      { cluster_address: ADDRESSES[2], cluster_addresses: ADDRESSES },
      [ADDRESSES[2], ADDRESSES[0], ADDRESSES[1]],
    ],
    [
      "one before eight others",
      { cluster_address: "a:1", cluster_addresses: [2, 3, 4, 5, 6, 7, 8, 9].map((n) => `a:${n}`) },
      [1, 2, 3, 4, 5, 6, 7, 8].map((n) => `a:${n}`),
    ],
    ["the same twice", { cluster_addresses: ["a:1", "a:1", "a:2"] }, ["a:1", "a:2"]],
    ["neither", { cluster_address: null, cluster_addresses: null }, []],
    ["none", { cluster_addresses: [] }, []],
  ] as const)("%s: shown to the other nodes, best first", async ([, sent, shown], { expect }) => {
    const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const ids = [];
    for (const change of [sent, {}]) ids.push((await join(job, change)).body.id);
    for (const id of ids) await putResult(job, id, 0);
    const reply = await poll(job, ids[1]);
    expectContract(expect, reply, pollRoute, 200);
    expect(reply.body.nodes[0]).toMatchObject({
      cluster_address: shown[0] ?? null,
      cluster_addresses: shown,
    });
  });

  test("are those of its latest join", async ({ expect }) => {
    const two = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const machine = { machine_uuid: machineUuid(), cluster_addresses: ADDRESSES };
    const { id } = (await join(two, machine)).body;
    const other = (await join(two, {})).body.id;
    expect((await join(two, { ...machine, cluster_addresses: ["b:1"] })).status).toBe(200);
    for (const task of [id, other]) await putResult(two, task, 0);
    expect((await poll(two, other)).body.nodes[0].cluster_addresses).toEqual(["b:1"]);
  });
});

describe("PATCH /jobs/current/tasks/{task_id}", () => {
  test("progress and message are shown to the owner", async ({ expect }) => {
    const { job, taskId } = await joined();
    const reply = await heartbeat(job, taskId, { progress: 0.25, message: "warming up" });
    expectContract(expect, reply, heartbeatRoute, 200);
    expect(reply.body).toMatchObject({ progress: 0.25, message: "warming up" });
    expect((await detail(job)).body.tasks[0]).toMatchObject({
      progress: 0.25,
      message: "warming up",
    });
    await heartbeat(job, taskId, { progress: 0.5 });
    expect((await detail(job)).body.tasks[0]).toMatchObject({
      progress: 0.5,
      message: "warming up",
    });
  });

  test("a node gives up: its task has failed, and the job settles without it", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2 });
    const [one, two] = [(await join(job)).body.id, (await join(job)).body.id];
    const reply = await heartbeat(job, one, { state: "failed", failed_message: "out of memory" });
    expect(reply.body).toMatchObject({ state: "failed", failed_message: "out of memory" });
    expect((await poll(job, one)).body.directive).toBe("stop");
    expect((await heartbeat(job, one, { progress: 0.9 })).body.progress).toBe(0);
    await putResult(job, two, 0);
    expect((await detail(job)).body.state).toBe("completed_with_warnings");
  });

  test.for([
    ["progress above 1", { progress: 1.01 }, "progress must be at most 1"],
    ["progress below 0", { progress: -0.01 }, "progress must be at least 0"],
    ["progress as text", { progress: "1" }, "progress must be a number"],
    ["a message of 201", { message: "x".repeat(201) }, "message must have at most 200 characters"],
    ["another state", { state: "completed" }, "state must be failed"],
    ["a reason without giving up", { failed_message: "why" }, "failed_message needs state: failed"],
  ] as const)("%s: 400", async ([, body, message], { expect }) => {
    const { job, taskId } = await joined();
    expectError(
      expect,
      await heartbeat(job, taskId, body),
      400,
      "PARAMETER_INCORRECT_VALUE",
      message,
    );
  });

  test("a task of another job: 404", async ({ expect }) => {
    const { job } = await joined();
    const other = await joined();
    expectError(
      expect,
      await heartbeat(job, other.taskId, {}),
      404,
      "RESOURCE_NOT_FOUND",
      `Task with id ${other.taskId} not found`,
    );
  });
});

describe("after the end", () => {
  async function ended() {
    const { job, taskId } = await joined();
    await putResult(job, taskId, 0);
    return { job, taskId };
  }

  test("every node call answers JOB_ENDED with the directive stop, but the poll and a stored result", async ({
    expect,
  }) => {
    const { job, taskId } = await ended();
    for (const reply of [
      await join(job),
      await heartbeat(job, taskId, { progress: 1 }),
      await heartbeat(job, String(Number(taskId) + 5), {}),
      await putResult(job, String(Number(taskId) + 5), 0),
    ]) {
      expectError(expect, reply, 409, "JOB_ENDED");
      expect(reply.body.directive).toBe("stop");
    }
    const view = await poll(job, taskId);
    expectContract(expect, view, pollRoute, 200);
    expect(view.body).toMatchObject({
      directive: "stop",
      state: "completed",
      task: { state: "completed" },
    });
    expect((await poll(job)).body).toMatchObject({ directive: "stop", task: null });
    expect((await putResult(job, taskId, 0)).status, "its first reply again").toBe(200);
  });

  test("an aborted job tells its nodes to stop, and takes no more results", async ({ expect }) => {
    const { job, taskId } = await joined();
    const aborted = await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
    expect(aborted.status, aborted.text).toBe(200);
    expect((await poll(job, taskId)).body).toMatchObject({ directive: "stop", state: "aborted" });
    const late = await putResult(job, taskId, 0);
    expectError(expect, late, 409, "JOB_ENDED");
    expect(late.body.directive).toBe("stop");
  });
});
