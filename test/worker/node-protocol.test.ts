/** What a machine calls with a job token: replies, and what bad input and bad luck get. */
import { describe, test } from "vitest";
import { getJobRoute } from "../../src/jobs/contract.ts";
import { heartbeatRoute, joinRoute, pollRoute, resultRoute } from "../../src/nodes/contract.ts";
import {
  call,
  createJob,
  detail,
  expectContract,
  expectError,
  join,
  machineUuid,
  poll,
  putResult,
  QUICK_MARK_RESULTS,
  resultBody,
  type TestJob,
} from "./harness.ts";

const MIB = 1_024 * 1_024;

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

  test("says when to ask again, also in Retry-After: soon near a barrier, else 20 to 45 s", async ({
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
    const far = [20, 45] as const;
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
      "machine_uuid must not be the nil UUID: it identifies no machine",
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

describe("PUT /jobs/current/tasks/{task_id}/results/{position}", () => {
  test("the same result again: the same reply; a different one: 422 and no change", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2 });
    const taskId = (await join(job)).body.id;
    const first = await putResult(job, taskId, 0);
    expectContract(expect, first, resultRoute, 200);
    expect((await putResult(job, taskId, 0)).text).toBe(first.text);
    const spaced = JSON.stringify(resultBody(), null, 2);
    expect((await putResult(job, taskId, 0, spaced)).text, "white space is no difference").toBe(
      first.text,
    );
    const other = resultBody({ test_results: [{ bf16_tflops: 1, memory_bandwidth_gbs: 1 }] });
    expectError(expect, await putResult(job, taskId, 0, other), 422, "IDEMPOTENCY_KEY_REUSED");
    expectError(
      expect,
      await putResult(job, taskId, 0, { ...resultBody(), ended_at: "2026-01-01T00:05:01Z" }),
      422,
      "IDEMPOTENCY_KEY_REUSED",
    );
    const { results } = (await detail(job)).body.tasks[0].benchmark_results.quick_mark;
    expect(results.test_results).toEqual(QUICK_MARK_RESULTS.test_results);
  });

  test("the same result in another spelling is the same: key order, numbers, null for absent", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2 });
    const taskId = (await join(job)).body.id;
    const first = await putResult(job, taskId, 0);
    const [gpu] = QUICK_MARK_RESULTS.test_results;
    const reordered = {
      error_message: null,
      results: { test_results: [Object.fromEntries(Object.entries(gpu ?? {}).reverse())] },
      ended_at: "2026-01-01T01:05:00.0+01:00",
      started_at: "2026-01-01T00:00:00.000Z",
      state: "completed",
    };
    expect((await putResult(job, taskId, 0, reordered)).text).toBe(first.text);
  });

  test("times are shown in RFC 3339, and only such that have that form are taken", async ({
    expect,
  }) => {
    const { job, taskId } = await joined();
    for (const ended_at of ["9999-12-31T23:59:59-23:59", "1969-12-31T23:59:59Z"]) {
      const reply = await putResult(job, taskId, 0, { ...resultBody(), ended_at });
      const message = "ended_at must be between the years 1970 and 9999";
      expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
    }
    const last = { ...resultBody(), ended_at: "9999-12-31T23:59:59.999Z" };
    expect((await putResult(job, taskId, 0, last)).body.ended_at).toBe("9999-12-31T23:59:59.999Z");
  });

  test("a result that grows beyond what a row can hold when its numbers are written out: 413", async ({
    expect,
  }) => {
    const { job, taskId } = await joined();
    const numbers = `[${Array(200_000).fill("1e20").join(",")}]`;
    const body = JSON.stringify(resultBody({ ...QUICK_MARK_RESULTS, x: "@" })).replace(
      '"@"',
      numbers,
    );
    expect(body.length).toBeLessThan(MIB);
    expectError(expect, await putResult(job, taskId, 0, body), 413, "REQUEST_TOO_LARGE");
    expect((await poll(job, taskId)).body.directive).toBe("run");
  });

  test("20 times the same result at once: one is stored, all get the same reply", async ({
    expect,
  }) => {
    const { job, taskId } = await joined();
    const replies = await Promise.all(Array.from({ length: 20 }, () => putResult(job, taskId, 0)));
    expect(new Set(replies.map((reply) => `${reply.status} ${reply.text}`)).size).toBe(1);
    expect((await detail(job)).body.state).toBe("completed");
  });

  test("a failed step, with its reason", async ({ expect }) => {
    const { job, taskId } = await joined();
    const body = { ...resultBody(), state: "failed", results: undefined, error_message: "no GPU" };
    expect((await putResult(job, taskId, 0, body)).status).toBe(200);
    const seen = (await detail(job)).body;
    expect(seen.state).toBe("failed");
    expect(seen.tasks[0]).toMatchObject({ state: "failed", failed_message: "no GPU" });
    expect(seen.tasks[0].benchmark_results.quick_mark).toMatchObject({
      state: "failed",
      results: null,
      error_message: "no GPU",
      started_at: "2026-01-01T00:00:00.000Z",
      ended_at: "2026-01-01T00:05:00.000Z",
    });
  });

  test.for([
    [
      "a position outside the sequence",
      1,
      resultBody(),
      400,
      "PARAMETER_INCORRECT_VALUE",
      "position must be at most 0",
    ],
    ["a position that is none", "x", resultBody(), 400, "PARAMETER_INCORRECT_VALUE", undefined],
    [
      "no state",
      0,
      { ...resultBody(), state: undefined },
      400,
      "PARAMETER_INCORRECT_VALUE",
      "state must be one of completed, failed",
    ],
    [
      "completed without results",
      0,
      { ...resultBody(), results: undefined },
      400,
      "PARAMETER_INCORRECT_VALUE",
      "results is required with state completed",
    ],
    [
      "failed without a reason",
      0,
      { ...resultBody(), state: "failed" },
      400,
      "PARAMETER_INCORRECT_VALUE",
      "error_message is required with state failed",
    ],
    [
      "a time that is none",
      0,
      { ...resultBody(), started_at: "yesterday" },
      400,
      "PARAMETER_INCORRECT_VALUE",
      undefined,
    ],
    [
      "results in another form",
      0,
      resultBody({ measurements: [] }),
      400,
      "PARAMETER_INCORRECT_VALUE",
      "results.aggregate_results is required",
    ],
    [
      "a figure as text",
      0,
      resultBody({ aggregate_results: { bf16_tflops: "1", memory_bandwidth_gbs: 1 } }),
      400,
      "PARAMETER_INCORRECT_VALUE",
      "results.aggregate_results.bf16_tflops must be a number",
    ],
    [
      "a figure missing",
      0,
      resultBody({ aggregate_results: { bf16_tflops: 1 } }),
      400,
      "PARAMETER_INCORRECT_VALUE",
      "results.aggregate_results.memory_bandwidth_gbs is required",
    ],
    [
      "a number that is not finite",
      0,
      JSON.stringify(resultBody()).replace("452.2", "1e999"),
      400,
      "PARAMETER_INCORRECT_VALUE",
      "results.test_results.0.bf16_tflops is a number too large to represent",
    ],
    [
      "NaN, which is not JSON",
      0,
      JSON.stringify(resultBody()).replace("452.2", "NaN"),
      400,
      "PARAMETER_INCORRECT_VALUE",
      "The body is not valid JSON",
    ],
    [
      "a body over 1 MiB",
      0,
      resultBody({ ...QUICK_MARK_RESULTS, extra: "x".repeat(MIB) }),
      413,
      "REQUEST_TOO_LARGE",
      "The body must have at most 1048576 bytes",
    ],
  ] as const)(
    "%s: a clear 4xx and no change",
    async ([, position, body, status, code, message], { expect }) => {
      const { job, taskId } = await joined();
      const before = (await poll(job, taskId)).body.version;
      const reply = await call("PUT", `/jobs/current/tasks/${taskId}/results/${position}`, {
        token: job.token,
        body,
      });
      expectError(expect, reply, status, code, message);
      const after = (await poll(job, taskId)).body;
      expect(after).toMatchObject({ version: before, directive: "run" });
    },
  );

  test("a result for a task of another job: 404", async ({ expect }) => {
    const { job } = await joined();
    const other = await joined();
    expectError(expect, await putResult(job, other.taskId, 0), 404, "RESOURCE_NOT_FOUND");
    expect((await detail(other.job)).body.state).toBe("running");
  });

  test("a result for a step that has not begun on this node: 409 STEP_NOT_READY", async ({
    expect,
  }) => {
    const { job, taskId } = await joined({ node_count: 2, benchmarks: ["cluster_network"] });
    expectError(
      expect,
      await putResult(job, taskId, 1, resultBody({ measurements: [] })),
      409,
      "STEP_NOT_READY",
    );
  });

  test("16 MiB of results in one job, and not a byte more", async ({ expect }) => {
    const job = await createJob({ node_count: 17 });
    const big = resultBody({ ...QUICK_MARK_RESULTS, extra: "x".repeat(MIB - 1_000) });
    const statuses: number[] = [];
    for (let rank = 0; rank < 17; rank++) {
      const taskId = (await join(job)).body.id;
      const reply = await putResult(job, taskId, 0, big);
      statuses.push(reply.status);
      if (rank < 16) continue;
      expectError(
        expect,
        reply,
        413,
        "REQUEST_TOO_LARGE",
        "All results of a job together have at most 16 MiB",
      );
      expect((await putResult(job, taskId, 0)).status, "a small one still fits").toBe(200);
    }
    expect(statuses).toEqual([...Array(16).fill(200), 413]);
    const seen = (await detail(job)).body;
    expect(seen.state).toBe("completed");
    expect(seen.tasks[15].benchmark_results.quick_mark.results.extra).toHaveLength(MIB - 1_000);
  });
});

describe("cluster_network results", () => {
  async function atBarrier() {
    const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const ids = [(await join(job)).body.id, (await join(job)).body.id] as const;
    for (const id of ids) await putResult(job, id, 0);
    return { job, ids };
  }
  const link = { source_rank: 0, target_rank: 1, bandwidth_gbps: 10, latency_ms: 0.1 };

  test.for([
    [
      "another node's measurements",
      { ...link, source_rank: 1, target_rank: 0 },
      "results.measurements.0.source_rank must be 0, the sending node's rank",
    ],
    [
      "a link to itself",
      { ...link, target_rank: 0 },
      "results.measurements.0.target_rank must be the rank of another node, below 2",
    ],
    [
      "a rank that is not there",
      { ...link, target_rank: 2 },
      "results.measurements.0.target_rank must be the rank of another node, below 2",
    ],
    ["no figures and no error", { source_rank: 0, target_rank: 1 }, undefined],
  ] as const)("%s: 400", async ([, measurement, message], { expect }) => {
    const { job, ids } = await atBarrier();
    const reply = await putResult(job, ids[0], 1, resultBody({ measurements: [measurement] }));
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
  });

  test("completed with fewer links than there are other nodes: 400", async ({ expect }) => {
    const { job, ids } = await atBarrier();
    const reply = await putResult(job, ids[0], 1, resultBody({ measurements: [] }));
    const message = "results.measurements must have one entry for each other node, 1 in all";
    expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE", message);
  });

  test("a reason of 1,000 characters is repeated with the node before it, within its bound", async ({
    expect,
  }) => {
    const { job, ids } = await atBarrier();
    const body = {
      ...resultBody(),
      state: "failed",
      results: null,
      error_message: "x".repeat(1_000),
    };
    for (const id of ids) expect((await putResult(job, id, 1, body)).status).toBe(200);
    expectContract(expect, await detail(job), getJobRoute, 200);
  });

  test("the same link twice: 400", async ({ expect }) => {
    const { job, ids } = await atBarrier();
    const reply = await putResult(job, ids[0], 1, resultBody({ measurements: [link, link] }));
    expectError(
      expect,
      reply,
      400,
      "PARAMETER_INCORRECT_VALUE",
      "results.measurements.1.target_rank must not repeat: one entry per link",
    );
  });

  test("a failed link counts as tested and not in the averages", async ({ expect }) => {
    const { job, ids } = await atBarrier();
    await putResult(job, ids[0], 1, resultBody({ measurements: [link] }));
    const dead = { source_rank: 1, target_rank: 0, error: "connection refused" };
    const body = {
      ...resultBody({ measurements: [dead] }),
      state: "failed",
      error_message: "no link of this node could be measured",
    };
    expect((await putResult(job, ids[1], 1, body)).status).toBe(200);
    const seen = (await detail(job)).body;
    expect(seen.state).toBe("completed_with_warnings");
    expect(seen.benchmark_results.cluster_network).toMatchObject({
      state: "failed",
      error_message: "node 1: no link of this node could be measured",
      results: {
        avg_bandwidth_gbps: 10,
        avg_latency: 0.1,
        min_bandwidth_gbps: 10,
        total_links_tested: 2,
      },
    });
    const results = await call("GET", `/jobs/${job.id}/results`, { token: job.owner.token });
    expect(results.body.cluster_network.results).toMatchObject({
      node_count: 2,
      measurements: [link, dead],
    });
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
