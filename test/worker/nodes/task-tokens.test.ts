/** Whose call is a node's: join secrets, task tokens, machines that say to be another. */
import { evictDurableObject, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { describe, onTestFinished, test, vi } from "vitest";
import { createTokens } from "../../../src/identity/tokens.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { joinRoute } from "../../../src/nodes/contract.ts";
import {
  call,
  claim,
  claimedBy,
  detail,
  expectContract,
  expectError,
  heartbeat,
  type Json,
  join,
  joinSecret,
  machineUuid,
  poll,
  putResult,
  type Reply,
  resultBody,
  tokens,
  V0,
} from "../harness/client.ts";
import {
  createJob,
  createPerson,
  createRunner,
  createSpec,
  type TestJob,
} from "../harness/factories.ts";
import { coordinatorOf, costOf, flushed, rated, travel } from "../harness/instruments.ts";

const LEASE_MS = 150_000;

const MISSING =
  "The header Assay-Task-Token is missing: send the task_token from the reply to joining";
const WRONG =
  "The Assay-Task-Token belongs to another task, or another agent has taken this task over; join again";

interface Agent {
  job: TestJob;
  machine: { machine_uuid: string; join_secret?: string };
  /** The agent's view of its job: the job's token and its own. */
  own: { token: string; taskToken: string | null };
  id: string;
}

function seen(job: TestJob, machine: Agent["machine"], { body }: Reply<Json>): Agent {
  return { job, machine, own: { token: job.token, taskToken: body.task_token }, id: body.id };
}

async function joined(
  job: TestJob,
  change: { join_secret?: string; inventory?: object } = {},
): Promise<Agent> {
  const machine = { machine_uuid: machineUuid(), join_secret: joinSecret(), ...change };
  const reply = await join(job, machine);
  if (reply.status !== 201) throw new Error(`joining answered ${reply.status}: ${reply.text}`);
  return seen(job, machine, reply);
}

type Bearer = { token: string; taskToken?: string | null };

/** The calls of one node. */
const CALLS: Record<string, (bearer: Bearer, id: string) => Promise<Reply<Json>>> = {
  poll: (bearer, id) => poll(bearer, id),
  heartbeat: (bearer, id) => heartbeat(bearer, id),
  "give-up": (bearer, id) => heartbeat(bearer, id, { state: "failed", failed_message: "no GPU" }),
  result: (bearer, id) => putResult(bearer, id, 0),
};

/** What a node says of itself in the job's object: of contact and state nothing must change. */
async function inside(job: { id: string }): Promise<Json> {
  return runInDurableObject(coordinatorOf(job), (_object, { storage }) => ({
    nodes: storage.sql.exec("SELECT * FROM node ORDER BY rank").toArray(),
    contacts: storage.sql.exec("SELECT * FROM contact ORDER BY rank").toArray(),
    results: storage.sql.exec("SELECT rank, position, hash FROM result").toArray(),
  }));
}

describe("the token of a task", () => {
  test("comes with joining, and is derived: the same to a repeat, by the job's secret, as long as the job's", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2 });
    const machine = { machine_uuid: machineUuid(), join_secret: joinSecret() };
    const first = await join(job, machine);
    expectContract(expect, first, joinRoute, 201);
    const again = await join(job, machine);
    expectContract(expect, again, joinRoute, 200);
    expect(again.body.task_token).toBe(first.body.task_token);
    const own = decodeJwt(first.body.task_token);
    const ofJob = decodeJwt(job.token);
    expect(own).toEqual({
      iss: "assay",
      aud: "assay:task",
      sub: first.body.id,
      epoch: 0,
      iat: ofJob.iat,
      exp: ofJob.exp,
    });
    expect(decodeProtectedHeader(first.body.task_token)).toEqual({
      alg: "HS256",
      typ: "task+jwt",
      kid: decodeProtectedHeader(job.token).kid,
    });
  });

  test("of a job without an account ends when joining ends", async ({ expect }) => {
    const { token } = (await call("POST", "/jobs/anonymous")).body;
    const { body } = await join({ token }, { join_secret: joinSecret() });
    expect(decodeJwt(body.task_token).exp).toBe(decodeJwt(token).work_until);
    expect((await poll({ token, taskToken: body.task_token }, body.id)).status).toBe(200);
    expectError(expect, await poll({ token }, body.id), 403, "PERMISSION_DENIED", MISSING);
    expect((await poll({ token })).body.detail, "a reader needs none").toBeDefined();
  });

  test("is null for an agent without a secret, which is asked for none", async ({ expect }) => {
    for (const [name, send] of Object.entries(CALLS)) {
      const job = await createJob();
      const reply = await join(job);
      expect(reply.body.task_token).toBeNull();
      expect((await send(job, reply.body.id)).status, name).toBe(200);
    }
  });

  test("is nowhere else: not in the owner's views, nor in D1, the object or the log", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2 });
    let agent: Agent | undefined;
    const logged: string[] = [];
    const log = console.log;
    console.log = (line: string) => void logged.push(line);
    try {
      agent = await joined(job);
      await heartbeat(agent.own, agent.id);
      await poll(job, agent.id);
      await putResult(agent.own, agent.id, 0);
    } finally {
      console.log = log;
    }
    await flushed(job);
    const { token } = job.owner;
    const shown = [
      (await detail(job)).text,
      (await call("GET", `/tasks?job_id=${job.id}`, { token })).text,
      (await call("GET", `/tasks/${agent.id}/results`, { token })).text,
      (await call("GET", `/jobs/${job.id}/results`, { token })).text,
      (await poll(agent.own, agent.id)).text,
      (await heartbeat(agent.own, agent.id)).text,
      logged.join("\n"),
      JSON.stringify(await inside(job)),
    ];
    for (const table of ["jobs", "tasks", "idempotency_keys", "audit_events"]) {
      const { results } = await env.DB.prepare(`SELECT * FROM ${table}`).all();
      shown.push(JSON.stringify(results));
    }
    expect(logged.length).toBeGreaterThan(3);
    const signature = agent.own.taskToken?.split(".")[2] ?? "none";
    for (const text of shown) {
      expect(text).not.toContain(signature);
      expect(text).not.toContain("task_token");
      expect(text).not.toContain(agent.machine.join_secret);
    }
  });
});

describe.for(Object.entries(CALLS))("%s", ([name, send]) => {
  test("the own token and no other: 403, and nothing has changed", async ({ expect }) => {
    const job = await createJob({ node_count: 3 });
    const agent = await joined(job);
    const other = await joined(job);
    const elsewhere = await joined(await createJob());
    const now = Date.now();
    const validity = { from: now, until: now + 3_600_000 };
    const signer = await tokens();
    const forged = {
      "another task's": other.own.taskToken,
      "another job's": elsewhere.own.taskToken,
      "a later epoch": await signer.sign("task", { sub: agent.id, epoch: 1 }, validity),
      "no epoch": await signer.sign("task", { sub: agent.id }, validity),
      "an expired one": await signer.sign(
        "task",
        { sub: agent.id, epoch: 0 },
        { from: now - 7_200_000, until: now - 3_600_000 },
      ),
      "the job's": job.token,
      "a person's": job.owner.token,
      "with another signature": `${agent.own.taskToken?.slice(0, -43)}${"A".repeat(43)}`,
      "no token at all": "hello",
    };
    const before = await inside(job);
    const none = await send({ token: job.token }, agent.id);
    expectError(expect, none, 403, "PERMISSION_DENIED", MISSING);
    for (const [kind, taskToken] of Object.entries(forged)) {
      const reply = await send({ token: job.token, taskToken }, agent.id);
      expect(reply.status, `${name} with ${kind}`).toBe(403);
      expectError(expect, reply, 403, "PERMISSION_DENIED", WRONG);
    }
    expect(await inside(job)).toEqual(before);
    expect((await send(agent.own, agent.id)).status).toBe(200);
  });

  test("is no contact without the token: the node is lost all the same", async ({ expect }) => {
    const time = travel();
    const job = await createJob({ node_count: 2 });
    const start = Date.now();
    time.to(start);
    const agent = await joined(job);
    time.to(start + LEASE_MS - 1_000);
    expect((await send({ token: job.token }, agent.id)).status).toBe(403);
    time.to(start + LEASE_MS + 1_000);
    expect((await join(job, { ...agent.machine, join_secret: joinSecret() })).status).toBe(200);
  });

  test("a token of before a takeover is dead", async ({ expect }) => {
    const time = travel();
    const job = await createJob({ node_count: 2 });
    const agent = await joined(job);
    time.to(Date.now() + LEASE_MS + 1_000);
    const taken = await join(job, { ...agent.machine, join_secret: joinSecret() });
    expect(taken.status).toBe(200);
    expect(decodeJwt(taken.body.task_token).epoch).toBe(1);
    expectError(expect, await send(agent.own, agent.id), 403, "PERMISSION_DENIED", WRONG);
    const next = seen(job, agent.machine, taken);
    expect([200, 409]).toContain((await send(next.own, next.id)).status);
    // Without a secret the node asks for no token, but the old one does not come to life again.
    time.to(Date.now() + 3 * LEASE_MS);
    const { join_secret: _secret, ...bare } = agent.machine;
    expect((await join(job, bare)).body.task_token).toBeNull();
    expectError(expect, await send(next.own, next.id), 403, "PERMISSION_DENIED", WRONG);
    expect([200, 409]).toContain((await send(job, next.id)).status);
  });

  test("after the end: stop, with any token", async ({ expect }) => {
    const job = await createJob({ node_count: 2 });
    const agent = await joined(job);
    await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
    for (const bearer of [job, { ...agent.own, taskToken: job.token }, agent.own]) {
      const reply = await send(bearer, agent.id);
      if (name !== "poll") {
        expectError(expect, reply, 409, "JOB_ENDED");
        continue;
      }
      expect(reply.body.directive).toBe("stop");
      expect(reply.body.task?.id ?? null, "the task is the node's own affair").toBe(
        bearer === agent.own ? agent.id : null,
      );
    }
  });
});

test("only the node itself is told to stop", async ({ expect }) => {
  const job = await createJob();
  const agent = await joined(job);
  await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
  await poll(job, agent.id);
  await heartbeat(job, agent.id);
  await putResult(job, agent.id, 0);
  const remove = () =>
    call("DELETE", "/jobs/delete", { token: job.owner.token, body: { id: job.id } });
  expect((await remove()).body.requires_agent_stop).toBe(true);
});

test("a stored result gets its first reply again, also after the end, with the token alone", async ({
  expect,
}) => {
  const job = await createJob();
  const agent = await joined(job);
  const first = await putResult(agent.own, agent.id, 0);
  expect(first.status).toBe(200);
  expect((await putResult(agent.own, agent.id, 0)).body).toEqual(first.body);
  expectError(expect, await putResult(job, agent.id, 0), 409, "JOB_ENDED");
});

describe("joining again", () => {
  const returned = async (job: TestJob) =>
    (await detail(job)).body.events.filter(({ kind }: Json) => kind === "returned");

  test("same machine and secret: 200 with the token, whatever has happened", async ({ expect }) => {
    const time = travel();
    const job = await createJob({ node_count: 2 });
    const agent = await joined(job);
    const same = async (change: Record<string, unknown> = {}) => {
      const reply = await join(job, { ...agent.machine, ...change });
      expect(reply.status, reply.text).toBe(200);
      expect(reply.body).toMatchObject({ id: agent.id, task_token: agent.own.taskToken });
    };
    await same();
    await same({ gpu_count: 7, boot_id: crypto.randomUUID() });
    time.to(Date.now() + LEASE_MS + 1_000);
    await same({ boot_id: crypto.randomUUID() });
    time.to(Date.now() + 3 * LEASE_MS);
    await same();
  });

  test("a stranger is told when the lease ends, and it ends then, however often memory is lost", async ({
    expect,
  }) => {
    const time = travel();
    const job = await createJob({ node_count: 2 });
    const start = Date.now();
    time.to(start);
    const agent = await joined(job);
    const clone = { ...agent.machine, join_secret: joinSecret() };
    const knock = async (at: number) => {
      time.to(start + at);
      await evictDurableObject(coordinatorOf(job));
      const reply = await join(job, clone);
      return [reply.status, Number(reply.headers.get("retry-after"))];
    };
    // The stored time of the contact is up to half a lease old, so that is added, once.
    expect(await knock(10_000)).toEqual([409, 150]);
    for (const at of [20_000, 76_000, 100_000]) {
      expect(await knock(at)).toEqual([409, 160 - at / 1_000]);
    }
    // The node itself is heard as ever.
    time.to(start + 120_000);
    expect((await heartbeat(agent.own, agent.id)).status).toBe(200);
    expect(await knock(120_500)).toEqual([409, 150]);
    expect(await knock(200_500)).toEqual([409, 70]);
    expect((await knock(270_501))[0]).toBe(200);
  });

  test("another boot after a loss: the event says so", async ({ expect }) => {
    const time = travel();
    const job = await createJob({ node_count: 2 });
    const machine = { machine_uuid: machineUuid(), join_secret: joinSecret() };
    await join(job, { ...machine, boot_id: crypto.randomUUID() });
    time.to(Date.now() + LEASE_MS + 1_000);
    await coordinatorOf(job).reconcile(Number(job.id), 0);
    await join(job, { ...machine, boot_id: crypto.randomUUID() });
    expect(await returned(job)).toMatchObject([
      { rank: 0, message: "node 0 is back after a restart of its machine" },
    ]);
  });

  test.for<[string, { join_secret: string | undefined }]>([
    ["another secret", { join_secret: "another-secret-of-22-chars" }],
    ["no secret", { join_secret: undefined }],
  ])(
    "%s: 409 with the rest of the lease while the node is in contact, then it takes over",
    async ([, change], { expect }) => {
      const time = travel();
      const start = Date.now();
      time.to(start);
      const job = await createJob({ node_count: 2 });
      const agent = await joined(job);
      const clone = { ...agent.machine, gpu_model: "NVIDIA A100-SXM4-80GB", ...change };
      time.to(start + 50_000);
      const early = await join(job, clone);
      expectError(expect, early, 409, "MACHINE_IN_USE");
      expect(early.headers.get("retry-after")).toBe("100");
      expect((await detail(job)).body.tasks[0].gpu_model).toBe("NVIDIA H100 NVL");
      // Heard from the node itself: a new lease. From the clone: none.
      await heartbeat(agent.own, agent.id);
      time.to(start + 199_999);
      const late = await join(job, clone);
      expect(late.headers.get("retry-after")).toBe("1");
      time.to(start + 200_000);
      const taken = await join(job, clone);
      expect(taken.status, taken.text).toBe(200);
      expect(taken.body).toMatchObject({ id: agent.id, gpu_model: "NVIDIA A100-SXM4-80GB" });
      expect(await returned(job)).toMatchObject([
        {
          rank: 0,
          message:
            "node 0 is back with another agent, which does not know the earlier one's secret",
        },
      ]);
      const { benchmark_results } = (await detail(job)).body.tasks[0];
      expect(benchmark_results.quick_mark.state, "as for any node that was lost").toBe("failed");
      // Now the earlier one is the stranger.
      expectError(expect, await join(job, agent.machine), 409, "MACHINE_IN_USE");
    },
  );

  test("an agent that joined without a secret is not pushed out by one with a secret", async ({
    expect,
  }) => {
    const time = travel();
    const job = await createJob({ node_count: 2 });
    const machine = { machine_uuid: machineUuid() };
    const { id } = (await join(job, machine)).body;
    const newer = { ...machine, join_secret: joinSecret() };
    expectError(expect, await join(job, newer), 409, "MACHINE_IN_USE");
    expect((await join(job, machine)).status).toBe(200);
    time.to(Date.now() + LEASE_MS + 1_000);
    const { task_token } = (await join(job, newer)).body;
    expect((await poll({ ...job, taskToken: task_token }, id)).status).toBe(200);
    expectError(expect, await poll(job, id), 403, "PERMISSION_DENIED", MISSING);
  });

  test("a node that has ended keeps its hardware, whoever takes it over", async ({ expect }) => {
    const time = travel();
    const job = await createJob({ node_count: 2 });
    const inventory = { cpu: "its own" };
    const agent = await joined(job, { inventory });
    await putResult(agent.own, agent.id, 0);
    time.to(Date.now() + LEASE_MS + 1_000);
    const clone = { ...agent.machine, join_secret: joinSecret(), gpu_model: "NVIDIA L4" };
    const taken = await join(job, { ...clone, inventory: { cpu: "another's" } });
    expect(taken.body).toMatchObject({ state: "completed", gpu_model: "NVIDIA H100 NVL" });
    const path = `/tasks/${agent.id}/results`;
    const seenByOwner = await call("GET", path, { token: job.owner.token });
    expect(seenByOwner.body.inventory).toEqual(inventory);
    expect(await returned(job)).toHaveLength(1);
    expectError(expect, await heartbeat(agent.own, agent.id), 403, "PERMISSION_DENIED", WRONG);
  });

  test("of an ended job: JOB_ENDED, with any secret", async ({ expect }) => {
    const job = await createJob();
    const agent = await joined(job);
    await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
    for (const join_secret of [agent.machine.join_secret, joinSecret(), undefined]) {
      expectError(expect, await join(job, { ...agent.machine, join_secret }), 409, "JOB_ENDED");
    }
  });
});

test.for([
  ["join_secret", "a".repeat(21)],
  ["join_secret", "a".repeat(129)],
  ["join_secret", `${"a".repeat(21)}=`],
  ["join_secret", 22],
  ["boot_id", "1234"],
  ["boot_id", `${crypto.randomUUID()}0`],
  ["machine_uuid", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
  ["machine_uuid", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"],
  ["machine_uuid", "11111111-1111-1111-1111-111111111111"],
  ["machine_uuid", "00000000-0000-0000-0000-000000000000"],
  ["machine_uuid", "03000200-0400-0500-0006-000700080009"],
  ["machine_uuid", "03000200-0400-0500-0006-000700080009".toUpperCase()],
  ["machine_uuid", "00020003-0004-0005-0006-000700080009"],
])("%s %s: 400 that names the field", async ([field, value], { expect }) => {
  const reply = await join(await createJob(), { [String(field)]: value });
  expectError(expect, reply, 400, "PARAMETER_INCORRECT_VALUE");
  expect(reply.body.error.details[0].field).toBe(field);
});

test("secrets of 22 and of 128 characters are taken", async ({ expect }) => {
  for (const length of [22, 128]) {
    const reply = await join(await createJob(), { join_secret: "a-_Z".repeat(32).slice(-length) });
    expect(reply.status, reply.text).toBe(201);
  }
});

describe("a runner", () => {
  async function fleet(nodeCount = 2) {
    const admin = await createPerson({ role: "root_admin" });
    const spec = await createSpec({}, admin);
    const runner = await createRunner([spec], admin);
    const job = await createJob({ spec: spec.uuid, node_count: nodeCount }, admin);
    return { runner, job, admin };
  }

  test.for(Object.entries(CALLS))("its %s needs its task's token", async ([, send], { expect }) => {
    const { runner } = await fleet();
    const reply = await claim(runner, { boot_id: crypto.randomUUID() });
    const own = claimedBy(reply);
    expect(reply.headers.get("cache-control")).toBe("no-store");
    expectError(
      expect,
      await send({ token: own.token }, own.task.id),
      403,
      "PERMISSION_DENIED",
      MISSING,
    );
    expect((await send(own, own.task.id)).status).toBe(200);
  });

  test("its key always gets task and token again: after a loss, a reboot, with a GPU fewer", async ({
    expect,
  }) => {
    const time = travel();
    const { runner, job } = await fleet();
    const first = (await claim(runner, { gpu_count: 8, boot_id: crypto.randomUUID() })).body;
    for (const ms of [0, LEASE_MS + 1_000, 3 * LEASE_MS]) {
      time.to(Date.now() + ms);
      const again = (await claim(runner, { gpu_count: 7, boot_id: crypto.randomUUID() })).body;
      expect(again.task).toMatchObject({ id: first.task.id, task_token: first.task.task_token });
      expect((await poll(claimedBy({ ...again, body: again }), again.task.id)).status).toBe(200);
    }
    expect((await detail(job)).body.tasks[0].gpu_count).toBe(7);
  });
});

test("the same costs as without tokens, and an idle poll writes nothing", async ({ expect }) => {
  travel().to(Date.now());
  const job = await createJob({ node_count: 2 });
  const machine = { machine_uuid: machineUuid(), join_secret: joinSecret() };
  await poll(job);
  const oneHop = { d1_round_trips: 0, object_hops: 1 };
  expect(await costOf(() => join(job, machine))).toMatchObject({ status: 201, ...oneHop });
  const agent = seen(job, machine, await join(job, machine));
  expect(await costOf(() => poll(agent.own, agent.id))).toMatchObject({ status: 200, ...oneHop });
  const etag = (await poll(agent.own, agent.id)).headers.get("etag") ?? "";
  const before = await inside(job);
  const idle = () => poll(agent.own, agent.id, { "if-none-match": etag });
  expect(await costOf(idle)).toMatchObject({ status: 304, ...oneHop });
  expect(await inside(job)).toEqual(before);
  const clone = { ...machine, join_secret: joinSecret() };
  expect(await costOf(() => join(job, clone))).toMatchObject({ status: 409, ...oneHop });
  // The contact is written exactly, so that the lease ends when the clone was told.
  const [contact] = before.contacts;
  const told = { ...before, contacts: [{ ...contact, at: contact.at - LEASE_MS / 2 }] };
  expect(await inside(job)).toEqual(told);
  expect(await costOf(() => join(job, clone))).toMatchObject({ status: 409, ...oneHop });
  expect(await inside(job)).toEqual(told);
  expect(await costOf(() => heartbeat(agent.own, agent.id))).toMatchObject(oneHop);
  expect(await costOf(() => putResult(agent.own, agent.id, 0))).toMatchObject(oneHop);
});

test("the nodes of many large jobs push no other token out of the isolate's memory", async ({
  expect,
}) => {
  const verifying = vi.spyOn(crypto.subtle, "verify");
  onTestFinished(() => verifying.mockRestore());
  const signer = await createTokens(["a".repeat(40)], systemClock);
  const validity = { from: Date.now(), until: Date.now() + 3_600_000 };
  const person = await signer.sign("user", { sub: "somebody", sid: "session" }, validity);
  const nodes = await Promise.all(
    Array.from({ length: 10 * 256 }, (_, n) =>
      signer.sign("task", { sub: String(n), epoch: 0 }, validity),
    ),
  );
  await signer.verify("user", person);
  for (const token of nodes) expect(await signer.verify("task", token)).not.toBeNull();
  const before = verifying.mock.calls.length;
  expect(before).toBeGreaterThan(nodes.length);
  await signer.verify("user", person);
  for (const token of nodes) await signer.verify("task", token);
  expect(verifying.mock.calls.length, "all are remembered").toBe(before);
});

describe("what was measured", () => {
  test("is rated by the hardware that measured it, also when another machine has its task by now", async ({
    expect,
  }) => {
    const time = travel();
    const job = await createJob({ benchmarks: ["cluster_network"], node_count: 2 });
    const figures = { aggregate_results: { bf16_tflops: 450, memory_bandwidth_gbs: 3_250 } };
    const agents = [await joined(job), await joined(job)] as const;
    for (const { own, id } of agents) await putResult(own, id, 0, resultBody(figures));
    const [first, second] = agents;
    time.to(Date.now() + LEASE_MS + 1_000);
    await heartbeat(second.own, second.id);
    const taken = await join(job, {
      machine_uuid: first.machine.machine_uuid,
      join_secret: joinSecret(),
      gpu_model: "NVIDIA A100-SXM4-80GB",
      gpu_count: 8,
    });
    expect(taken.body).toMatchObject({ gpu_model: "NVIDIA A100-SXM4-80GB", gpu_count: 8 });
    await flushed(job);
    const live = (await call("GET", `/tasks/${first.id}/results`, { token: job.owner.token })).body;
    expect(live.manufacturer_gpu_spec.gpu_model).toBe("NVIDIA H100 NVL");
    await heartbeat(second.own, second.id, { state: "failed", failed_message: "enough" });
    const next = { token: job.token, taskToken: taken.body.task_token };
    await heartbeat(next, first.id, { state: "failed", failed_message: "enough" });
    await rated(job);
    const query = "?include=performance,performance_nodes&include_results=true";
    const list = await call("GET", `/jobs${query}`, { token: job.owner.token });
    const [listed] = list.body.results;
    expect(listed.performance_nodes).toMatchObject([
      { rank: 0, gpu_model: "NVIDIA H100 NVL", gpu_count: 1 },
      { rank: 1, gpu_model: "NVIDIA H100 NVL", gpu_count: 1 },
    ]);
    const ratios = listed.performance_nodes.map(({ metrics }: Json) => metrics[0].ratio);
    expect(ratios[0], "the same figures of the same model").toBe(ratios[1]);
    expect(listed.quickmark_aggregate_results).toMatchObject({ node_count: 2, gpu_count: 2 });
    const csv = await call("GET", `/tasks?job_id=${job.id}`, {
      token: job.owner.token,
      headers: { accept: "text/csv" },
    });
    expect(csv.text.split("\r\n").filter((row) => row.includes("NVIDIA H100 NVL,1,"))).toHaveLength(
      2,
    );
  });
});

describe("replies to nodes", () => {
  test("are never stored: 200, 201, 304 and errors", async ({ expect }) => {
    const job = await createJob({ node_count: 2 });
    const agent = await joined(job);
    const joins = [await join(job, agent.machine), await join(job), await join(job)];
    const etag = (await poll(agent.own, agent.id)).headers.get("etag") ?? "";
    const replies = [
      ...joins,
      await poll(job),
      await poll(agent.own, agent.id, { "if-none-match": etag }),
      await poll(job, agent.id),
      await poll({ token: "none" }),
      await heartbeat(agent.own, agent.id),
      await heartbeat(agent.own, agent.id, { progress: 2 }),
      await putResult(agent.own, agent.id, 5),
      await putResult(agent.own, agent.id, 0),
      await call("POST", `/jobs/${job.id}/generate-report`, { token: job.token }),
      await call("POST", `${V0}/runners/${crypto.randomUUID()}/jobs`, { token: "none" }),
    ];
    expect(replies.map(({ status }) => status)).toEqual([
      200, 201, 409, 200, 304, 403, 401, 200, 400, 400, 200, 400, 401,
    ]);
    for (const { headers } of replies) expect(headers.get("cache-control")).toBe("no-store");
  });
});
