/** Cron: every job ends, whatever was lost, and D1 hears of it. */
import {
  createScheduledController,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { notInArray } from "drizzle-orm";
import { describe, onTestFinished, test, vi } from "vitest";
import { jobs as jobsTable } from "../../../src/db/schema.ts";
import worker from "../../../src/index.ts";
import { DAY_MS, MINUTE_MS, systemClock } from "../../../src/lib/clock.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { runTick } from "../../../src/maintenance/tick.ts";
import { detail, expectError, join, poll, putResult } from "../harness/client.ts";
import { createJob, type TestJob } from "../harness/factories.ts";
import {
  coordinatorOf,
  flushed,
  onBatchesOf,
  ownD1,
  reported,
  travel,
} from "../harness/instruments.ts";
import { db, expireJob, jobRow, setJob, setTask } from "../harness/rows.ts";

async function tick({ coordinators = env.COORDINATOR, d1 = env.DB } = {}) {
  const config = readConfig(env);
  return runTick({
    d1,
    bucket: env.BUCKET,
    assets: env.ASSETS,
    coordinators,
    lobbies: env.LOBBY,
    config,
    clock: systemClock,
  });
}

/** The state after the platform has lost an alarm: the object sleeps, and nothing wakes it. */
async function loseAlarm(job: TestJob): Promise<void> {
  await runInDurableObject(coordinatorOf(job), (_object, { storage }) => storage.deleteAlarm());
  await evictDurableObject(coordinatorOf(job));
}

const alarmOf = (job: TestJob) =>
  runInDurableObject(coordinatorOf(job), (_object, { storage }) => storage.getAlarm());

/** Takes from cron all jobs that other tests have left to it. */
const leaveToCron = (own: readonly TestJob[]) =>
  db
    .update(jobsTable)
    .set({ checkAt: null })
    .where(
      notInArray(
        jobsTable.id,
        own.map(({ id }) => Number(id)),
      ),
    );

function lateLines(warn: { mock: { calls: unknown[][] } }, { id }: TestJob) {
  const lines = warn.mock.calls.map(([line]) => JSON.parse(String(line)));
  return lines.filter(({ event, job }) => event === "projection_late" && job === Number(id));
}

describe("a job that no node has joined", () => {
  test("is settled in D1 alone, at its expiry and not a millisecond before, once", async ({
    expect,
  }) => {
    const time = travel();
    time.to(Date.now());
    const job = await createJob();
    const { expiresAt } = await jobRow(job);
    await leaveToCron([job]);
    const objects = vi.spyOn(env.COORDINATOR, "get");
    onTestFinished(() => void objects.mockRestore());
    time.to(expiresAt - 1);
    await tick();
    expect(await jobRow(job)).toMatchObject({ state: "created", version: 0, endedAt: null });
    time.to(expiresAt);
    await tick();
    const ended = { state: "aborted", version: 1, endedAt: expiresAt, checkAt: null };
    expect(await jobRow(job)).toMatchObject({ ...ended, coordinated: false });
    time.to(expiresAt + MINUTE_MS);
    await tick();
    expect(await jobRow(job)).toMatchObject(ended);
    expect(objects).not.toHaveBeenCalled();
    // Back where the owner is still signed in.
    time.to(expiresAt - DAY_MS);
    expect((await detail(job)).body).toMatchObject({
      state: "aborted",
      ended_at: new Date(expiresAt).toISOString(),
      events: [{ kind: "settled", rank: null, message: "job aborted" }],
    });
  });

  test("a node that comes after that finds it ended, and does not bring it back", async ({
    expect,
  }) => {
    const job = await createJob();
    await expireJob(job);
    await tick();
    expectError(expect, await join(job), 409, "JOB_ENDED");
    expect(await jobRow(job)).toMatchObject({ state: "aborted", version: 1, coordinated: false });
  });

  test("aborted or deleted before, it is left as it is and no longer looked at", async ({
    expect,
  }) => {
    const [aborted, deleted] = [await createJob(), await createJob()];
    const due = { expiresAt: 1, checkAt: 1 };
    await setJob(aborted, { ...due, state: "aborted", endedAt: 7, version: 1 });
    await setJob(deleted, { ...due, deletedAt: 7 });
    await tick();
    const untouched = { checkAt: null };
    expect(await jobRow(aborted)).toMatchObject({ ...untouched, endedAt: 7, version: 1 });
    expect(await jobRow(deleted)).toMatchObject({ ...untouched, state: "created", version: 0 });
  });

  test("written by an older server, without its time: it is found and gets one", async ({
    expect,
  }) => {
    const job = await createJob();
    await setJob(job, { checkAt: 0 });
    await tick();
    const row = await jobRow(job);
    expect(row).toMatchObject({ state: "created", checkAt: row.expiresAt });
  });

  test("a node that joins while cron settles: one of them wins, wherever one looks", async ({
    expect,
  }) => {
    for (let round = 0; round < 10; round++) {
      const job = await createJob();
      await expireJob(job, Date.now());
      const [, joined] = await Promise.all([tick(), join(job)]);
      expect(joined.status).toBe(409);
      await flushed(job);
      expect((await detail(job)).body).toMatchObject({ state: "aborted", tasks: [] });
    }
  });
});

describe("a job with an object", () => {
  test("its alarm is lost: cron has it settled at its expiry, exactly, and D1 knows", async ({
    expect,
  }) => {
    const time = travel();
    const start = Date.now();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    await putResult(job, (await join(job)).body.id, 0);
    await flushed(job);
    const { expiresAt } = await jobRow(job);
    await loseAlarm(job);
    // Looked at on the way there, as often as its row falls silent.
    time.to(expiresAt - 1);
    await tick();
    expect(await jobRow(job)).toMatchObject({ endedAt: null, checkAt: expiresAt });
    await loseAlarm(job);
    time.to(expiresAt);
    await tick();
    expect(await jobRow(job)).toMatchObject({
      state: "completed_with_warnings",
      endedAt: expiresAt,
      checkAt: null,
    });
  });

  test("silent for 10 minutes, its alarm lost: it is asked, and has its alarm again", async ({
    expect,
  }) => {
    const time = travel();
    const start = Date.now();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    await join(job);
    await flushed(job);
    await loseAlarm(job);
    time.to(start + 10 * MINUTE_MS - 1);
    await tick();
    expect(await alarmOf(job)).toBeNull();
    await evictDurableObject(coordinatorOf(job));
    time.to(start + 10 * MINUTE_MS);
    await tick();
    expect(await alarmOf(job)).not.toBeNull();
    expect((await jobRow(job)).checkAt).toBe(start + 20 * MINUTE_MS);
  });

  test("D1 lacks what it knows: it is told, and a metric says how late", async ({ expect }) => {
    const time = travel();
    const start = Date.now();
    time.to(start);
    const job = await createJob();
    const taskId = (await join(job)).body.id;
    await flushed(job);
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const down = onBatchesOf(job, async () => {
      throw new Error("D1_ERROR: no");
    });
    await putResult(job, taskId, 0);
    await runDurableObjectAlarm(coordinatorOf(job));
    await loseAlarm(job);
    down.restore();
    const { version, flushedAt } = await jobRow(job);
    time.to(start + 11 * MINUTE_MS);
    await tick();
    expect(await jobRow(job)).toMatchObject({ state: "completed", version: version + 1 });
    const lateMs = start + 11 * MINUTE_MS - flushedAt;
    expect(lateLines(warn, job)).toEqual([
      {
        level: "warn",
        event: "projection_late",
        job: Number(job.id),
        late_ms: lateMs,
        version,
        object_version: version + 1,
      },
    ]);
  });

  test("nothing is late: no word of it, and the row is not written but for its next turn", async ({
    expect,
  }) => {
    const time = travel();
    const start = Date.now();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    const taskId = (await join(job)).body.id;
    await flushed(job);
    const before = await jobRow(job);
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void warn.mockRestore());
    // The node is heard all the while: this costs D1 nothing.
    for (let minute = 1; minute <= 10; minute++) {
      time.to(start + minute * MINUTE_MS);
      await poll(job, taskId);
    }
    await tick();
    expect(await jobRow(job)).toEqual({ ...before, checkAt: start + 20 * MINUTE_MS });
    expect(lateLines(warn, job)).toEqual([]);
  });

  test("D1 was restored from a backup: it is told again what it has forgotten", async ({
    expect,
  }) => {
    const time = travel();
    const start = Date.now();
    time.to(start);
    const job = await createJob();
    const taskId = (await join(job)).body.id;
    await flushed(job);
    const before = await jobRow(job);
    await putResult(job, taskId, 0);
    await reported(job);
    const after = await jobRow(job);
    const { state, version, checkAt, events } = before;
    await setJob(job, { state, version, endedAt: null, checkAt, events });
    await setTask(taskId, {
      state: "running",
      version: 1,
      endedAt: null,
      bodies: [],
      figures: null,
    });
    vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    time.to(start + 10 * MINUTE_MS);
    await tick();
    const row = await jobRow(job);
    expect(row).toEqual({ ...after, flushedAt: row.flushedAt });
    expect((await detail(job)).body.tasks[0]).toMatchObject({
      state: "completed",
      benchmark_results: { quick_mark: { state: "completed" } },
    });
  });

  test("taken over in D1, and the object died before it stored that: it goes on and ends", async ({
    expect,
  }) => {
    const job = await createJob();
    await setJob(job, { coordinated: true, expiresAt: 1, checkAt: 1 });
    await tick();
    expect(await jobRow(job)).toMatchObject({ state: "aborted", version: 1, checkAt: null });
  });
});

describe("what fails", () => {
  test("an object that cannot be reached comes again after all others, and harms none", async ({
    expect,
  }) => {
    const time = travel();
    const start = Date.now();
    time.to(start);
    const jobs = [await createJob(), await createJob(), await createJob()] as const;
    for (const job of jobs) await join(job);
    for (const job of jobs) await flushed(job);
    await leaveToCron(jobs);
    const broken = env.COORDINATOR.idFromName(jobs[1].id).toString();
    const namespace = new Proxy(env.COORDINATOR, {
      get(target, key) {
        if (key !== "get") return Reflect.get(target, key).bind(target);
        return (id: DurableObjectId) => {
          if (id.toString() === broken) throw new Error("Network connection lost.");
          return target.get(id);
        };
      },
    });
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    // Ids, and the times in them, go on by a millisecond when one is full.
    const due = (await jobRow(jobs[2])).expiresAt;
    time.to(due);
    const done = await tick({ coordinators: namespace });
    expect(done.askObjects).toMatchObject({ asked: 3, failed: 1 });
    const states = jobs.map(async (job) => (await jobRow(job)).state);
    const warnings = warn.mock.calls.join("\n");
    expect(await Promise.all(states), warnings).toEqual(["aborted", "running", "aborted"]);
    expect(warnings).toContain(jobs[1].id);
    expect((await jobRow(jobs[1])).checkAt).toBe(due + 10 * MINUTE_MS);
    time.to(due + 9 * MINUTE_MS);
    expect((await tick()).askObjects).toMatchObject({ asked: 0 });
    time.to(due + 10 * MINUTE_MS);
    expect((await tick()).askObjects).toMatchObject({ asked: 1, failed: 0 });
    expect(await jobRow(jobs[1])).toMatchObject({ state: "aborted" });
  });

  test("a step that fails is logged, and the others do their work", async ({ expect }) => {
    const job = await createJob();
    await join(job);
    await flushed(job);
    await setJob(job, { checkAt: 1 });
    await leaveToCron([job]);
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const d1 = ownD1();
    vi.spyOn(d1, "batch").mockRejectedValueOnce(new Error("D1_ERROR: no"));
    const done = await tick({ d1 });
    expect(done.settleExpired).toEqual({ error: true });
    expect(done.askObjects).toMatchObject({ asked: 1, failed: 0 });
    expect(JSON.parse(String(logged.mock.calls[0]?.[0]))).toMatchObject({
      event: "cron_step_failed",
      step: "settleExpired",
    });
  });

  test("a tick whose time is over begins nothing more; the next one goes on", async ({
    expect,
  }) => {
    const job = await createJob();
    await expireJob(job);
    let asked = 0;
    const start = Date.now();
    // Every look at the clock finds it a minute later.
    const clock = { now: () => start + MINUTE_MS * asked++ };
    const config = readConfig(env);
    await runTick({
      d1: env.DB,
      bucket: env.BUCKET,
      assets: env.ASSETS,
      coordinators: env.COORDINATOR,
      lobbies: env.LOBBY,
      config,
      clock,
    });
    expect((await jobRow(job)).endedAt).toBeNull();
    await tick();
    expect((await jobRow(job)).endedAt).not.toBeNull();
  });
});

test("a tick with nothing to do makes eleven round trips and no hop", async ({ expect }) => {
  await leaveToCron([]);
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  onTestFinished(() => void log.mockRestore());
  await tick();
  const line = JSON.parse(String(log.mock.calls[0]?.[0]));
  expect(line).toMatchObject({ d1_round_trips: 11, object_hops: 0, r2_calls: 0 });
});

test("the platform's trigger runs a tick, which logs what it did and what it cost", async ({
  expect,
}) => {
  const job = await createJob();
  await expireJob(job);
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  onTestFinished(() => void log.mockRestore());
  await worker.scheduled(createScheduledController(), env);
  expect((await jobRow(job)).state).toBe("aborted");
  const line = JSON.parse(String(log.mock.calls[0]?.[0]));
  expect(line.steps.settleExpired.settled).toBeGreaterThanOrEqual(1);
  expect(line).toMatchObject({
    level: "info",
    event: "cron_tick",
    object_hops: expect.any(Number),
  });
});
