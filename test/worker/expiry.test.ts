/** Cron: every job ends, whatever was lost, and D1 hears of it (design §3.5). */
import {
  createScheduledController,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import worker from "../../src/index.ts";
import { DAY_MS, MINUTE_MS, systemClock } from "../../src/lib/clock.ts";
import { readConfig } from "../../src/lib/config.ts";
import { runTick } from "../../src/maintenance/tick.ts";
import {
  coordinatorOf,
  createJob,
  detail,
  expectError,
  flushed,
  join,
  poll,
  putResult,
  reported,
  type TestJob,
  travel,
} from "./harness.ts";

async function tick(coordinators = env.COORDINATOR) {
  const config = readConfig(env);
  return runTick({ d1: env.DB, bucket: env.BUCKET, coordinators, config, clock: systemClock });
}

interface Row {
  state: string;
  version: number;
  created_at: number;
  expires_at: number;
  ended_at: number | null;
  check_at: number | null;
  flushed_at: number;
  coordinated: number;
  events: string;
}

async function rowOf(job: TestJob): Promise<Row> {
  const row = await env.DB.prepare("SELECT * FROM jobs WHERE id = ?")
    .bind(Number(job.id))
    .first<Row>();
  if (row === null) throw new Error(`no row of job ${job.id}`);
  return row;
}

/** What the platform loses when it loses an alarm; the object itself sleeps. */
async function loseAlarm(job: TestJob): Promise<void> {
  await runInDurableObject(coordinatorOf(job), (_object, { storage }) => storage.deleteAlarm());
  await evictDurableObject(coordinatorOf(job));
}

const alarmOf = (job: TestJob) =>
  runInDurableObject(coordinatorOf(job), (_object, { storage }) => storage.getAlarm());

function metricsOf(warn: { mock: { calls: unknown[][] } }) {
  return warn.mock.calls.map(([line]) => JSON.parse(String(line))).filter((line) => line.metric);
}

describe("a job that no node has joined", () => {
  test("is settled in D1 alone, at its expiry and not a millisecond before, once", async ({
    expect,
  }) => {
    const time = travel();
    time.to(Date.now());
    const job = await createJob();
    const { expires_at: expiresAt } = await rowOf(job);
    const objects = vi.spyOn(env.COORDINATOR, "get");
    onTestFinished(() => void objects.mockRestore());
    time.to(expiresAt - 1);
    await tick();
    expect(await rowOf(job)).toMatchObject({ state: "created", version: 0, ended_at: null });
    time.to(expiresAt);
    await tick();
    const ended = { state: "aborted", version: 1, ended_at: expiresAt, check_at: null };
    expect(await rowOf(job)).toMatchObject({ ...ended, coordinated: 0 });
    time.to(expiresAt + MINUTE_MS);
    await tick();
    expect(await rowOf(job)).toMatchObject(ended);
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
    await env.DB.prepare("UPDATE jobs SET expires_at = 1, check_at = 1 WHERE id = ?")
      .bind(Number(job.id))
      .run();
    await tick();
    expectError(expect, await join(job), 409, "JOB_ENDED");
    expect(await rowOf(job)).toMatchObject({ state: "aborted", version: 1, coordinated: 0 });
  });

  test("aborted or deleted before, it is left as it is and no longer looked at", async ({
    expect,
  }) => {
    const [aborted, deleted] = [await createJob(), await createJob()];
    const update = (job: TestJob, change: string) =>
      env.DB.prepare(`UPDATE jobs SET expires_at = 1, check_at = 1, ${change} WHERE id = ?`)
        .bind(Number(job.id))
        .run();
    await update(aborted, "state = 'aborted', ended_at = 7, version = 1");
    await update(deleted, "deleted_at = 7");
    await tick();
    const untouched = { check_at: null };
    expect(await rowOf(aborted)).toMatchObject({ ...untouched, ended_at: 7, version: 1 });
    expect(await rowOf(deleted)).toMatchObject({ ...untouched, state: "created", version: 0 });
  });

  test("written by an older server, without its time: it is found and gets one", async ({
    expect,
  }) => {
    const job = await createJob();
    await env.DB.prepare("UPDATE jobs SET check_at = 0 WHERE id = ?").bind(Number(job.id)).run();
    await tick();
    const row = await rowOf(job);
    expect(row).toMatchObject({ state: "created", check_at: row.expires_at });
  });

  test("a node that joins while cron settles: one of them wins, wherever one looks", async ({
    expect,
  }) => {
    for (let round = 0; round < 10; round++) {
      const job = await createJob();
      await env.DB.prepare("UPDATE jobs SET expires_at = ?2, check_at = ?2 WHERE id = ?1")
        .bind(Number(job.id), Date.now())
        .run();
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
    const { expires_at: expiresAt } = await rowOf(job);
    await loseAlarm(job);
    // Looked at on the way there, as often as its row falls silent.
    time.to(expiresAt - 1);
    await tick();
    expect(await rowOf(job)).toMatchObject({ ended_at: null, check_at: expiresAt });
    await loseAlarm(job);
    time.to(expiresAt);
    await tick();
    expect(await rowOf(job)).toMatchObject({
      state: "completed_with_warnings",
      ended_at: expiresAt,
      check_at: null,
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
    expect((await rowOf(job)).check_at).toBe(start + 20 * MINUTE_MS);
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
    const down = vi.spyOn(env.DB, "batch").mockRejectedValue(new Error("D1_ERROR: no"));
    await putResult(job, taskId, 0);
    await runDurableObjectAlarm(coordinatorOf(job));
    await loseAlarm(job);
    down.mockRestore();
    const { version, flushed_at: flushedAt } = await rowOf(job);
    time.to(start + 11 * MINUTE_MS);
    await tick();
    expect(await rowOf(job)).toMatchObject({ state: "completed", version: version + 1 });
    const value = start + 11 * MINUTE_MS - flushedAt;
    expect(metricsOf(warn)).toEqual([
      {
        level: "warn",
        metric: "projection_late_ms",
        ...{ value, job: Number(job.id), version, object_version: version + 1 },
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
    const before = await rowOf(job);
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void warn.mockRestore());
    // The node is heard all the while: this costs D1 nothing.
    for (let minute = 1; minute <= 10; minute++) {
      time.to(start + minute * MINUTE_MS);
      await poll(job, taskId);
    }
    await tick();
    expect(await rowOf(job)).toEqual({ ...before, check_at: start + 20 * MINUTE_MS });
    expect(metricsOf(warn)).toEqual([]);
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
    const before = await rowOf(job);
    await putResult(job, taskId, 0);
    await reported(job);
    const after = await rowOf(job);
    await env.DB.batch([
      env.DB.prepare(
        "UPDATE jobs SET state = ?2, version = ?3, ended_at = NULL, check_at = ?4, events = ?5 WHERE id = ?1",
      ).bind(Number(job.id), before.state, before.version, before.check_at, before.events),
      env.DB.prepare(
        "UPDATE tasks SET state = 'running', version = 1, ended_at = NULL WHERE id = ?",
      ).bind(Number(taskId)),
      env.DB.prepare("DELETE FROM task_results WHERE task_id = ?").bind(Number(taskId)),
    ]);
    vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    time.to(start + 10 * MINUTE_MS);
    await tick();
    const row = await rowOf(job);
    expect(row).toEqual({ ...after, flushed_at: row.flushed_at });
    expect((await detail(job)).body.tasks[0]).toMatchObject({
      state: "completed",
      benchmark_results: { quick_mark: { state: "completed" } },
    });
  });

  test("taken over in D1, and the object died before it stored that: it goes on and ends", async ({
    expect,
  }) => {
    const job = await createJob();
    await env.DB.prepare(
      "UPDATE jobs SET coordinated = 1, expires_at = 1, check_at = 1 WHERE id = ?",
    )
      .bind(Number(job.id))
      .run();
    await tick();
    expect(await rowOf(job)).toMatchObject({ state: "aborted", version: 1, check_at: null });
  });
});

describe("what fails", () => {
  test("an object that cannot be reached comes again after all others, and harms none", async ({
    expect,
  }) => {
    const time = travel();
    const start = Date.now();
    time.to(start);
    // Of other tests' jobs.
    await env.DB.prepare("UPDATE jobs SET check_at = NULL").run();
    const jobs = [await createJob(), await createJob(), await createJob()] as const;
    for (const job of jobs) await join(job);
    for (const job of jobs) await flushed(job);
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
    time.to(start + DAY_MS);
    const done = await tick(namespace);
    expect(done.askObjects).toMatchObject({ asked: 3, failed: 1 });
    const states = jobs.map(async (job) => (await rowOf(job)).state);
    expect(await Promise.all(states)).toEqual(["aborted", "running", "aborted"]);
    expect(warn.mock.calls.join()).toContain(jobs[1].id);
    expect((await rowOf(jobs[1])).check_at).toBe(start + DAY_MS + 10 * MINUTE_MS);
    time.to(start + DAY_MS + 9 * MINUTE_MS);
    expect((await tick()).askObjects).toMatchObject({ asked: 0 });
    time.to(start + DAY_MS + 10 * MINUTE_MS);
    expect((await tick()).askObjects).toMatchObject({ asked: 1, failed: 0 });
    expect(await rowOf(jobs[1])).toMatchObject({ state: "aborted" });
  });

  test("a step that fails is logged, and the others do their work", async ({ expect }) => {
    const job = await createJob();
    await join(job);
    await flushed(job);
    await env.DB.prepare("UPDATE jobs SET check_at = 1 WHERE id = ?").bind(Number(job.id)).run();
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    vi.spyOn(env.DB, "batch").mockRejectedValueOnce(new Error("D1_ERROR: no"));
    onTestFinished(() => void vi.restoreAllMocks());
    const done = await tick();
    expect(done.settleExpired).toEqual({ error: true });
    expect(done.askObjects).toMatchObject({ asked: 1, failed: 0 });
    expect(JSON.parse(String(logged.mock.calls[0]?.[0]))).toMatchObject({ cron: "settleExpired" });
  });

  test("a tick whose time is over begins nothing more; the next one goes on", async ({
    expect,
  }) => {
    const job = await createJob();
    await env.DB.prepare("UPDATE jobs SET expires_at = 1, check_at = 1 WHERE id = ?")
      .bind(Number(job.id))
      .run();
    let asked = 0;
    const start = Date.now();
    // Every look at the clock finds it a minute later.
    const clock = { now: () => start + MINUTE_MS * asked++ };
    const config = readConfig(env);
    await runTick({ d1: env.DB, bucket: env.BUCKET, coordinators: env.COORDINATOR, config, clock });
    expect((await rowOf(job)).ended_at).toBeNull();
    await tick();
    expect((await rowOf(job)).ended_at).not.toBeNull();
  });
});

test("a tick with nothing to do makes eleven round trips and no hop", async ({ expect }) => {
  await env.DB.prepare("UPDATE jobs SET check_at = NULL").run();
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  onTestFinished(() => void log.mockRestore());
  await tick();
  const line = JSON.parse(String(log.mock.calls[0]?.[0]));
  expect(line).toMatchObject({ d1_round_trips: 11, object_hops: 0 });
});

test("the platform's trigger runs a tick, which logs what it did and what it cost", async ({
  expect,
}) => {
  const job = await createJob();
  await env.DB.prepare("UPDATE jobs SET expires_at = 1, check_at = 1 WHERE id = ?")
    .bind(Number(job.id))
    .run();
  const log = vi.spyOn(console, "log").mockImplementation(() => {});
  onTestFinished(() => void log.mockRestore());
  await worker.scheduled(createScheduledController(), env);
  expect((await rowOf(job)).state).toBe("aborted");
  const line = JSON.parse(String(log.mock.calls[0]?.[0]));
  expect(line.cron.settleExpired.settled).toBeGreaterThanOrEqual(1);
  expect(line).toMatchObject({ level: "info", object_hops: expect.any(Number) });
});
