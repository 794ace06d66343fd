/** The object around the life of a job: eviction, crashes between any two steps, alarms, races. */
import {
  abortAllDurableObjects,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import { CoordinatorStorage } from "../../src/coordinator/storage.ts";
import { DAY_MS } from "../../src/lib/clock.ts";
import {
  call,
  coordinatorOf,
  createJob,
  createPerson,
  detail,
  expectError,
  flushed,
  join,
  machineUuid,
  poll,
  putResult,
  type Reply,
  rated,
  reported,
  resultBody,
  type TestJob,
  travel,
} from "./harness.ts";

function abort(job: TestJob, token = job.owner.token): Promise<Reply<Record<string, unknown>>> {
  return call("POST", `/jobs/${job.id}/abort`, { token });
}

type Row = Record<string, unknown>;

/** The scoreboard's columns: no part of what the object tells D1. */
const RATING = new Set(["performance_status", "verdict", "baseline_version", "rated_at"]);

/** What D1 holds of a job from its object, in full. Without `batch`, which some tests break. */
async function projection(job: TestJob): Promise<{ job: Row; tasks: Row[]; results: Row[] }> {
  const rows = async (query: string) =>
    (await env.DB.prepare(query).bind(Number(job.id)).all<Row>()).results.map((row) =>
      Object.fromEntries(Object.entries(row).filter(([name]) => !RATING.has(name))),
    );
  const range = "BETWEEN ?1 + 1 AND ?1 + 511";
  return {
    job: (await rows("SELECT * FROM jobs WHERE id = ?1"))[0] ?? {},
    tasks: await rows(`SELECT * FROM tasks WHERE id ${range} ORDER BY id`),
    results: await rows(
      `SELECT task_id, position, results FROM task_results WHERE task_id ${range} ORDER BY task_id, position`,
    ),
  };
}

const LINK = { source_rank: 0, target_rank: 1, bandwidth_gbps: 10, latency_ms: 0.1 };

/** A two-node job with both kinds of steps, call by call; answers what each call gave. */
async function playWholeJob(between: (job: TestJob) => Promise<void>) {
  const job = await createJob({ name: null, node_count: 2, benchmarks: ["cluster_network"] });
  const replies: unknown[] = [];
  const step = async (call: Promise<Reply<Record<string, unknown>>>) => {
    const reply = await call;
    replies.push([reply.status, withoutChance(reply.body, job)]);
    await between(job);
    return reply;
  };
  const machines = ["00000000-0000-4000-8000-aaaaaaaaaaaa", "00000000-0000-4000-8000-bbbbbbbbbbbb"];
  const ids: string[] = [];
  await step(poll(job));
  for (const machine_uuid of machines) {
    const joined = await step(join(job, { machine_uuid, cluster_address: "10.0.0.1:7117" }));
    ids.push(String(joined.body.id));
  }
  const [one = "", two = ""] = ids;
  await step(poll(job, one));
  await step(putResult(job, one, 0));
  await step(putResult(job, one, 0));
  await step(poll(job, one));
  await step(
    call("PATCH", `/jobs/current/tasks/${two}`, {
      token: job.token,
      body: { progress: 0.5, message: "half" },
    }),
  );
  await step(detail(job));
  await step(putResult(job, two, 0));
  await step(poll(job, two));
  await step(putResult(job, one, 1, resultBody({ measurements: [LINK] })));
  await step(
    putResult(
      job,
      two,
      1,
      resultBody({ measurements: [{ ...LINK, source_rank: 1, target_rank: 0 }] }),
    ),
  );
  await step(poll(job, one));
  await step(join(job, { machine_uuid: machines[0] }));
  await flushed(job);
  await reported(job);
  await step(detail(job));
  return replies;
}

/** A reply without what differs from run to run: ids, times, tokens, jitter. */
function withoutChance(body: unknown, job: TestJob): unknown {
  const text = JSON.stringify(body ?? null)
    .replaceAll(/"(\w*_at|at|name|token|request_id|peer_key|pdf_report_url)":"[^"]*"/g, '"$1":"…"')
    .replaceAll(/"poll_after_seconds":[\d.]+/g, '"poll_after_seconds":0')
    .replaceAll(/\d{9,}/g, (id) => `job+${Number(id) - Number(job.id)}`);
  return JSON.parse(text);
}

describe("memory is not needed", () => {
  test("eviction of the object between any two calls changes nothing", async ({ expect }) => {
    const undisturbed = await playWholeJob(async () => {});
    const evicted = await playWholeJob(async (job) => {
      // Before its first contact there is no object to evict.
      await evictDurableObject(coordinatorOf(job));
    });
    expect(evicted).toEqual(undisturbed);
  });

  test("a hard abort of all objects between any two calls changes nothing", async ({ expect }) => {
    const undisturbed = await playWholeJob(async () => {});
    const crashed = await playWholeJob(() => abortAllDurableObjects());
    expect(crashed).toEqual(undisturbed);
  });

  test("contact survives eviction without a write per poll", async ({ expect }) => {
    const time = travel();
    const start = Date.now();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    const taskId = (await join(job)).body.id;
    const contactAt = () =>
      runInDurableObject(coordinatorOf(job), (_object, { storage }) =>
        storage.sql.exec<{ at: number }>("SELECT at FROM contact").one(),
      );
    for (const seconds of [20, 40]) {
      time.to(start + seconds * 1_000);
      await poll(job, taskId);
      await evictDurableObject(coordinatorOf(job));
    }
    expect((await contactAt()).at).toBe(start);
    time.to(start + 60_000);
    await poll(job, taskId);
    expect((await contactAt()).at).toBe(start + 60_000);
  });
});

describe("D1 and the object agree", () => {
  test("while D1 fails, nothing acknowledged is lost: the flush comes later, from the alarm", async ({
    expect,
  }) => {
    const job = await createJob();
    const taskId = (await join(job)).body.id;
    await flushed(job);
    const down = vi
      .spyOn(env.DB, "batch")
      .mockRejectedValue(new Error("D1_ERROR: network connection lost"));
    vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    expect((await putResult(job, taskId, 0)).status).toBe(200);
    await runDurableObjectAlarm(coordinatorOf(job));
    expect((await projection(job)).results, "D1 has not heard of it").toEqual([]);
    await evictDurableObject(coordinatorOf(job));
    down.mockRestore();
    expect(await runDurableObjectAlarm(coordinatorOf(job)), "an alarm was set").toBe(true);
    const known = await projection(job);
    expect(known.job).toMatchObject({ state: "completed", current_nodes: 1 });
    expect(known.results).toHaveLength(1);
  });

  test("a flush that reached D1 without its answer is done again and changes nothing", async ({
    expect,
  }) => {
    const job = await createJob();
    const taskId = (await join(job)).body.id;
    await flushed(job);
    const real = env.DB.batch.bind(env.DB);
    vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    vi.spyOn(env.DB, "batch").mockImplementationOnce(async (statements) => {
      await real(statements);
      throw new Error("D1_ERROR: connection lost after commit");
    });
    await putResult(job, taskId, 0);
    await vi.waitFor(async () =>
      expect((await projection(job)).job).toMatchObject({ state: "completed" }),
    );
    expect(await runDurableObjectAlarm(coordinatorOf(job))).toBe(true);
    await reported(job);
    const first = await projection(job);
    expect(await runDurableObjectAlarm(coordinatorOf(job))).toBe(true);
    const second = await projection(job);
    expect({ ...second.job, flushed_at: 0 }).toEqual({ ...first.job, flushed_at: 0 });
    expect([second.tasks, second.results]).toEqual([first.tasks, first.results]);
  });

  test("a burst of results reaches D1 in one batch", async ({ expect }) => {
    // One node more, which keeps the job alive: what follows its end has batches of its own.
    const job = await createJob({ node_count: 9 });
    const ids = await Promise.all(Array.from({ length: 8 }, () => join(job)));
    await flushed(job);
    const pause = Promise.withResolvers<undefined>();
    onTestFinished(() => void vi.restoreAllMocks());
    // However slow this machine is: no time passes, and the pause lasts until all results are here.
    vi.spyOn(performance, "now").mockReturnValue(performance.now());
    vi.spyOn(scheduler, "wait").mockReturnValue(pause.promise);
    const batch = vi.spyOn(env.DB, "batch");
    await putResult(job, ids[0]?.body.id, 0);
    batch.mockClear();
    for (const { body } of ids.slice(1)) await putResult(job, body.id, 0);
    pause.resolve(undefined);
    await flushed(job);
    expect(batch).toHaveBeenCalledTimes(1);
    expect((await projection(job)).results).toHaveLength(8);
  });

  test("an older flush that arrives late does not overwrite a newer one", async ({ expect }) => {
    const job = await createJob({ node_count: 2 });
    const held: (() => Promise<unknown>)[] = [];
    const real = env.DB.batch.bind(env.DB);
    const batch = vi.spyOn(env.DB, "batch");
    vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const one = (await join(job)).body.id;
    await flushed(job);
    batch.mockImplementationOnce((statements) => {
      held.push(() => real(statements));
      return Promise.reject(new Error("D1_ERROR: timed out"));
    });
    await putResult(job, one, 0);
    await vi.waitFor(() => expect(held).toHaveLength(1));
    const two = (await join(job)).body.id;
    await putResult(job, two, 0);
    await runDurableObjectAlarm(coordinatorOf(job));
    const settled = await projection(job);
    expect(settled.job).toMatchObject({ state: "completed" });
    for (const late of held) await late();
    expect(held).toHaveLength(1);
    const after = await projection(job);
    expect([after.job, after.tasks, after.results]).toEqual([
      settled.job,
      settled.tasks,
      settled.results,
    ]);
  });

  test("large results are flushed in batches below 1 MB", async ({ expect }) => {
    const job = await createJob({ node_count: 4 });
    const batch = vi.spyOn(env.DB, "batch");
    onTestFinished(() => void batch.mockRestore());
    const big = resultBody({
      aggregate_results: { bf16_tflops: 1, memory_bandwidth_gbs: 1 },
      extra: "x".repeat(900_000),
    });
    for (let rank = 0; rank < 4; rank++) {
      const taskId = (await join(job)).body.id;
      expect((await putResult(job, taskId, 0, big)).status).toBe(200);
    }
    await flushed(job);
    expect((await projection(job)).results).toHaveLength(4);
    expect(batch.mock.calls.length).toBeGreaterThanOrEqual(4);
  });

  test("the settled job reads the same from D1 as it did from the object", async ({ expect }) => {
    const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const ids = [(await join(job)).body.id, (await join(job)).body.id];
    for (const id of ids) await putResult(job, id, 0);
    await putResult(job, ids[0], 1, resultBody({ measurements: [LINK] }));
    const last = resultBody({ measurements: [{ ...LINK, source_rank: 1, target_rank: 0 }] });
    await putResult(job, ids[1], 1, last);
    const live = await coordinatorOf(job).detail(Number(job.id));
    await flushed(job);
    const known = await projection(job);
    if (!live.ok) throw new Error(live.reason);
    const seen = (await detail(job)).body;
    expect(known.job).toMatchObject({ version: live.job.version, state: live.job.state });
    expect(seen.events).toHaveLength(live.job.events.length);
    expect(seen.tasks.map((task: { id: string }) => Number(task.id))).toEqual(
      live.tasks.map(({ id }) => id),
    );
    expect(known.results).toEqual(
      live.results.map(({ taskId, position, results }) => ({ task_id: taskId, position, results })),
    );
  });
});

describe("handover from D1 to the object", () => {
  test("a crash after D1 has handed over, before the object has stored it: the next contact goes on", async ({
    expect,
  }) => {
    const job = await createJob();
    await env.DB.prepare("UPDATE jobs SET coordinated = 1 WHERE id = ?").bind(Number(job.id)).run();
    expect((await join(job)).status).toBe(201);
  });

  test("D1 failing at the first contact: 503 with Retry-After, and the next call succeeds", async ({
    expect,
  }) => {
    const job = await createJob();
    const down = vi.spyOn(env.DB, "batch").mockRejectedValueOnce(new Error("D1_ERROR: overloaded"));
    const silenced = [vi.spyOn(console, "warn"), vi.spyOn(console, "error")];
    for (const spy of silenced) spy.mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const refused = await join(job);
    expectError(expect, refused, 503, "SERVICE_UNAVAILABLE");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(refused.text).not.toContain("D1_ERROR");
    down.mockRestore();
    expect((await join(job)).status).toBe(201);
  });

  test("a job that nobody joined is aborted in D1 alone; the node that comes late is told to stop", async ({
    expect,
  }) => {
    const job = await createJob();
    const reply = await abort(job);
    expect(reply.status, reply.text).toBe(200);
    expect(reply.body).toEqual({ id: job.id, state: "aborted", ended_at: expect.any(String) });
    expect((await abort(job)).text, "the same reply").toBe(reply.text);
    expect((await poll(job)).body).toMatchObject({ directive: "stop", state: "aborted" });
    expectError(expect, await join(job), 409, "JOB_ENDED");
    expect((await detail(job)).body).toMatchObject({
      state: "aborted",
      events: [{ kind: "settled", rank: null, message: "job aborted" }],
      tasks: [],
      current_nodes: 0,
    });
  });

  test("abort and first join race: exactly one story, wherever it is read", async ({ expect }) => {
    for (let round = 0; round < 20; round++) {
      const job = await createJob();
      const [aborted, joined] = await Promise.all([abort(job), join(job)]);
      expect(aborted.status, aborted.text).toBe(200);
      expect([201, 409]).toContain(joined.status);
      await flushed(job);
      const seen = (await detail(job)).body;
      expect(seen.state).toBe("aborted");
      expect(seen.tasks).toHaveLength(joined.status === 201 ? 1 : 0);
    }
  });

  test("how a job ended that D1 settled alone is remembered in full", async ({ expect }) => {
    const job = await createJob();
    await abort(job);
    await poll(job);
    const stored = await runInDurableObject(coordinatorOf(job), (_object, { storage }) =>
      new CoordinatorStorage(storage).load(),
    );
    expect(stored?.job.events).toEqual([
      { at: expect.any(Number), kind: "settled", rank: null, message: "job aborted" },
    ]);
  });

  test("a job deleted in D1 before anyone joined: nodes are told to stop", async ({ expect }) => {
    const job = await createJob();
    await env.DB.prepare("UPDATE jobs SET deleted_at = 1 WHERE id = ?").bind(Number(job.id)).run();
    expect((await poll(job)).body.directive).toBe("stop");
    expectError(expect, await join(job), 409, "JOB_ENDED");
  });
});

describe("abort", () => {
  test("a running job: it has ended for everyone; aborting again is the same", async ({
    expect,
  }) => {
    const job = await createJob({ node_count: 2 });
    const taskId = (await join(job)).body.id;
    const reply = await abort(job);
    expect(reply.status, reply.text).toBe(200);
    expect((await abort(job)).text).toBe(reply.text);
    await flushed(job);
    expect((await abort(job)).text).toBe(reply.text);
    expect((await detail(job)).body).toMatchObject({
      state: "aborted",
      tasks: [{ state: "aborted" }],
    });
    expect((await poll(job, taskId)).body.directive).toBe("stop");
  });

  test("a completed job: JOB_STATE_INVALID, also before D1 has heard of its end", async ({
    expect,
  }) => {
    const job = await createJob();
    const taskId = (await join(job)).body.id;
    await putResult(job, taskId, 0);
    const message = "The job has ended already and cannot be aborted";
    expectError(expect, await abort(job), 400, "JOB_STATE_INVALID", message);
    await flushed(job);
    expectError(expect, await abort(job), 400, "JOB_STATE_INVALID", message);
  });

  test("who may: the customer's people who see it; staff see it, but 403; strangers 404", async ({
    expect,
  }) => {
    const job = await createJob();
    const staff = await createPerson({ role: "staff" });
    const stranger = await createPerson();
    const colleague = await createPerson({ customerId: job.owner.customerId });
    const admin = await createPerson({ customerId: job.owner.customerId, role: "customer_admin" });
    expectError(expect, await abort(job, staff.token), 403, "PERMISSION_DENIED");
    expectError(expect, await abort(job, stranger.token), 404, "RESOURCE_NOT_FOUND");
    expectError(expect, await abort(job, colleague.token), 404, "RESOURCE_NOT_FOUND");
    expect((await detail(job)).body.state).toBe("created");
    expect((await abort(job, admin.token)).status).toBe(200);
  });
});

describe("time", () => {
  test("a node out of contact for 150 s is lost; it comes back and takes its next step", async ({
    expect,
  }) => {
    const time = travel();
    const start = Date.now();
    time.to(start);
    const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const [one, two] = [(await join(job)).body.id, (await join(job)).body.id];
    time.to(start + 100_000);
    await poll(job, two);
    time.to(start + 149_999);
    await runDurableObjectAlarm(coordinatorOf(job));
    expect((await detail(job)).body.tasks[0].state).toBe("running");
    time.to(start + 150_000);
    await runDurableObjectAlarm(coordinatorOf(job));
    const seen = (await detail(job)).body;
    expect(seen.tasks[0]).toMatchObject({
      state: "failed",
      failed_message: "no contact for 150 s",
    });
    expect(seen.tasks[1]).toMatchObject({ state: "running", failed_message: null });
    const back = await poll(job, one);
    expect(back.body).toMatchObject({
      directive: "wait",
      task: { state: "running", failed_message: null },
    });
    const kinds = (await detail(job)).body.events.map((event: { kind: string }) => event.kind);
    expect(kinds).toEqual(["joined", "step_started", "joined", "step_started", "lost", "returned"]);
  });

  test("an expired job settles by its alarm, and D1 hears of it", async ({ expect }) => {
    const time = travel();
    const start = Date.now();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    const taskId = (await join(job)).body.id;
    await putResult(job, taskId, 0);
    time.to(start + 24 * 3_600_000);
    expect(await runDurableObjectAlarm(coordinatorOf(job))).toBe(true);
    expect((await projection(job)).job).toMatchObject({
      state: "completed_with_warnings",
      ended_at: start + 24 * 3_600_000,
    });
  });

  test("after expiry the owner sees the end even before the alarm", async ({ expect }) => {
    const time = travel();
    const start = Date.now();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    await join(job);
    await flushed(job);
    time.to(start + 24 * 3_600_000);
    const live = await coordinatorOf(job).detail(Number(job.id));
    expect(live).toMatchObject({ ok: true, job: { state: "aborted" } });
  });

  test("a live job always has an alarm; a settled, flushed and rated one only to be forgotten", async ({
    expect,
  }) => {
    const job = await createJob();
    const alarm = () =>
      runInDurableObject(coordinatorOf(job), (_object, { storage }) => storage.getAlarm());
    const taskId = (await join(job)).body.id;
    expect(await alarm()).toBeLessThanOrEqual(Date.now() + 150_000);
    await putResult(job, taskId, 0);
    await rated(job);
    await runDurableObjectAlarm(coordinatorOf(job));
    const { expires_at: expiresAt } = (await projection(job)).job;
    expect(await alarm()).toBe(Number(expiresAt) + 24 * 3_600_000);
  });

  test("lost alarms do no harm: any later call finds what is due", async ({ expect }) => {
    const time = travel();
    const start = Date.now();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    await join(job, { machine_uuid: machineUuid() });
    await runInDurableObject(coordinatorOf(job), (_object, { storage }) => storage.deleteAlarm());
    time.to(start + 24 * 3_600_000);
    const live = await coordinatorOf(job).abort(Number(job.id));
    expect(live, "it had expired, which is aborted already").toMatchObject({
      ok: true,
      job: { state: "aborted" },
    });
  });

  test("a lost alarm is set again by the next call: of an object that starts anew, or a minute late", async ({
    expect,
  }) => {
    const time = travel();
    const start = Date.now() + 400 * DAY_MS;
    time.to(start);
    const job = await createJob({ node_count: 2 });
    await join(job);
    await flushed(job);
    const alarm = () =>
      runInDurableObject(coordinatorOf(job), (_object, { storage }) => storage.getAlarm());
    const loseAlarm = () =>
      runInDurableObject(coordinatorOf(job), (_object, { storage }) => storage.deleteAlarm());
    await loseAlarm();
    await evictDurableObject(coordinatorOf(job));
    await poll(job);
    await vi.waitFor(async () => expect(await alarm()).toBe(start + 150_000));
    await loseAlarm();
    time.to(start + 150_000 + 59_999);
    await poll(job);
    expect(await alarm(), "it may be late").toBeNull();
    time.to(start + 150_000 + 60_000);
    await poll(job);
    expect(await alarm()).toBe(start + 150_000);
  });

  test("joining again and sending a result again are signs of life", async ({ expect }) => {
    const time = travel();
    const start = Date.now() + 400 * DAY_MS;
    time.to(start);
    const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const machine_uuid = machineUuid();
    const taskId = (await join(job, { machine_uuid })).body.id;
    const state = async () => (await detail(job)).body.tasks[0].state;
    time.to(start + 210_000);
    await join(job, { machine_uuid });
    await runDurableObjectAlarm(coordinatorOf(job));
    expect(await state(), "by joining").toBe("running");
    await putResult(job, taskId, 0);
    time.to(start + 420_000);
    await putResult(job, taskId, 0);
    await runDurableObjectAlarm(coordinatorOf(job));
    expect(await state(), "by its result").toBe("running");
  });

  test("a lost node that joins again stays", async ({ expect }) => {
    const time = travel();
    const start = Date.now() + 400 * DAY_MS;
    time.to(start);
    const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] });
    const machine_uuid = machineUuid();
    await join(job, { machine_uuid });
    time.to(start + 210_000);
    await runDurableObjectAlarm(coordinatorOf(job));
    await join(job, { machine_uuid });
    await runDurableObjectAlarm(coordinatorOf(job));
    const { tasks, events } = (await detail(job)).body;
    expect(tasks[0]).toMatchObject({ state: "running", failed_message: null });
    const kinds = events.map((event: { kind: string }) => event.kind);
    expect(kinds).toEqual(["joined", "step_started", "lost", "returned"]);
  });

  test("a lost node that gives up is answered, also when that ends the job", async ({ expect }) => {
    const time = travel();
    const start = Date.now() + 400 * DAY_MS;
    time.to(start);
    const job = await createJob();
    const taskId = (await join(job)).body.id;
    time.to(start + 210_000);
    await runDurableObjectAlarm(coordinatorOf(job));
    const body = { state: "failed", failed_message: "out of memory" };
    const path = `/jobs/current/tasks/${taskId}`;
    const reply = await call("PATCH", path, { token: job.token, body });
    expect(reply.status, reply.text).toBe(200);
    expect((await detail(job)).body.state).toBe("failed");
    expectError(expect, await call("PATCH", path, { token: job.token, body }), 409, "JOB_ENDED");
  });
});
