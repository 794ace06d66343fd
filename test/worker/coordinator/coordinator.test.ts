/** The object around the life of a job: eviction, crashes between any two steps, alarms, races. */
import {
  abortAllDurableObjects,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import { CoordinatorStorage } from "../../../src/coordinator/storage/storage.ts";
import {
  call,
  detail,
  expectError,
  join,
  poll,
  putResult,
  type Reply,
  resultBody,
} from "../harness/client.ts";
import { createJob, type TestJob } from "../harness/factories.ts";
import {
  coordinatorOf,
  farAhead,
  flushed,
  onBatchesOf,
  reported,
  travel,
} from "../harness/instruments.ts";
import { setJob, storedTexts, taskRow, taskRows } from "../harness/rows.ts";
import { eventually } from "../harness/time.ts";

function abort(job: TestJob, token = job.owner.token): Promise<Reply<Record<string, unknown>>> {
  return call("POST", `/jobs/${job.id}/abort`, { token });
}

type Row = Record<string, unknown>;

/** The scoreboard's columns: no part of what the object tells D1. */
const RATING = new Set(["performance_status", "verdict", "baseline_version", "rated_at"]);

/** All that D1 holds of a job from its object. Without `batch`, which some tests break. */
async function projection(job: TestJob): Promise<{ job: Row; tasks: Row[] }> {
  const rows = async (query: string) =>
    (await env.DB.prepare(query).bind(Number(job.id)).all<Row>()).results.map((row) =>
      Object.fromEntries(Object.entries(row).filter(([name]) => !RATING.has(name))),
    );
  const range = "BETWEEN ?1 + 1 AND ?1 + 511";
  return {
    job: (await rows("SELECT * FROM jobs WHERE id = ?1"))[0] ?? {},
    tasks: await rows(`SELECT * FROM tasks WHERE id ${range} ORDER BY id`),
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
  // Without a task, of which it would show the verdict as soon as there is one.
  await step(poll(job));
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
    const start = farAhead();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    const taskId = (await join(job)).body.id;
    const contactAt = () =>
      runInDurableObject(coordinatorOf(job), (_object, { storage }) =>
        storage.sql.exec<{ at: number }>("SELECT at FROM contact").one(),
      );
    for (const seconds of [40, 74]) {
      time.to(start + seconds * 1_000);
      await poll(job, taskId);
      await evictDurableObject(coordinatorOf(job));
    }
    expect((await contactAt()).at).toBe(start);
    time.to(start + 75_000);
    await poll(job, taskId);
    expect((await contactAt()).at).toBe(start + 75_000);
  });
});

describe("D1 and the object agree", () => {
  test("while D1 fails, nothing acknowledged is lost: the flush comes later, from the alarm", async ({
    expect,
  }) => {
    travel().to(farAhead());
    const job = await createJob();
    const taskId = (await join(job)).body.id;
    await flushed(job);
    const down = onBatchesOf(job, async () => {
      throw new Error("D1_ERROR: network connection lost");
    });
    vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    expect((await putResult(job, taskId, 0)).status).toBe(200);
    await runDurableObjectAlarm(coordinatorOf(job));
    expect((await taskRow(taskId)).bodies, "D1 has not heard of it").toEqual([]);
    await evictDurableObject(coordinatorOf(job));
    down.restore();
    expect(await runDurableObjectAlarm(coordinatorOf(job)), "an alarm was set").toBe(true);
    const known = await projection(job);
    expect(known.job).toMatchObject({ state: "completed", current_nodes: 1 });
    expect((await taskRow(taskId)).bodies).toHaveLength(1);
  });

  test("a flush that reached D1 without its answer is done again and changes nothing", async ({
    expect,
  }) => {
    travel().to(farAhead());
    const job = await createJob();
    const taskId = (await join(job)).body.id;
    await flushed(job);
    vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    onBatchesOf(job).batches.mockImplementationOnce(async (run) => {
      await run();
      throw new Error("D1_ERROR: connection lost after commit");
    });
    await putResult(job, taskId, 0);
    await eventually(async () =>
      expect((await projection(job)).job).toMatchObject({ state: "completed" }),
    );
    expect(await runDurableObjectAlarm(coordinatorOf(job))).toBe(true);
    await reported(job);
    const first = await projection(job);
    expect(await runDurableObjectAlarm(coordinatorOf(job))).toBe(true);
    const second = await projection(job);
    expect({ ...second.job, flushed_at: 0 }).toEqual({ ...first.job, flushed_at: 0 });
    expect(second.tasks).toEqual(first.tasks);
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
    const { batches } = onBatchesOf(job);
    await putResult(job, ids[0]?.body.id, 0);
    batches.mockClear();
    for (const { body } of ids.slice(1)) await putResult(job, body.id, 0);
    pause.resolve(undefined);
    await flushed(job);
    expect(batches).toHaveBeenCalledTimes(1);
    expect((await taskRows(job)).flatMap(({ bodies }) => bodies)).toHaveLength(8);
  });

  test("an older flush that arrives late does not overwrite a newer one", async ({ expect }) => {
    travel().to(farAhead());
    const job = await createJob({ node_count: 2 });
    const delayed: (() => Promise<unknown>)[] = [];
    const { batches } = onBatchesOf(job);
    vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const one = (await join(job)).body.id;
    await flushed(job);
    batches.mockImplementationOnce((run) => {
      delayed.push(run);
      return Promise.reject(new Error("D1_ERROR: timed out"));
    });
    await putResult(job, one, 0);
    await eventually(() => expect(delayed).toHaveLength(1));
    const two = (await join(job)).body.id;
    await putResult(job, two, 0);
    await runDurableObjectAlarm(coordinatorOf(job));
    const settled = await projection(job);
    expect(settled.job).toMatchObject({ state: "completed" });
    for (const late of delayed) await late();
    expect(delayed).toHaveLength(1);
    const after = await projection(job);
    expect([after.job, after.tasks]).toEqual([settled.job, settled.tasks]);
  });

  test("the settled job reads the same from D1 and R2 as it did from the object", async ({
    expect,
  }) => {
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
    const stored = (await storedTexts(job)).map(({ text }) => text).join("");
    expect(stored).toBe(await new Response(live.bodies).text());
  });
});

describe("handover from D1 to the object", () => {
  test("a crash after D1 has handed over, before the object has stored it: the next contact goes on", async ({
    expect,
  }) => {
    const job = await createJob();
    await setJob(job, { coordinated: true });
    expect((await join(job)).status).toBe(201);
  });

  test("D1 failing at the first contact: 503 with Retry-After, and the next call succeeds", async ({
    expect,
  }) => {
    const job = await createJob();
    const { batches, restore } = onBatchesOf(job);
    batches.mockRejectedValueOnce(new Error("D1_ERROR: overloaded"));
    const silenced = [vi.spyOn(console, "warn"), vi.spyOn(console, "error")];
    for (const spy of silenced) spy.mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const refused = await join(job);
    expectError(expect, refused, 503, "SERVICE_UNAVAILABLE");
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(refused.text).not.toContain("D1_ERROR");
    restore();
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
    await setJob(job, { deletedAt: 1 });
    expect((await poll(job)).body.directive).toBe("stop");
    expectError(expect, await join(job), 409, "JOB_ENDED");
  });
});
