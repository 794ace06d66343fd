/** An object keeps its storage until D1 knows the whole job, and deletes it a day after the job's expiry. */
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../../../src/lib/clock.ts";
import { call, detail, join, poll, putResult } from "../harness/client.ts";
import { createJob, signedIn, type TestJob } from "../harness/factories.ts";
import {
  coordinatorOf,
  farAhead,
  flushed,
  onBatchesOf,
  refuseReports,
  reported,
  travel,
} from "../harness/instruments.ts";
import { jobRow, removeJob, setJob } from "../harness/rows.ts";
import { eventually } from "../harness/time.ts";

const alarm = (job: TestJob) => runDurableObjectAlarm(coordinatorOf(job));

/** Rows of all tables of the object, and its alarm; null when it has no tables at all. */
function stored(job: TestJob) {
  return runInDurableObject(coordinatorOf(job), async (_object, { storage }) => {
    const tables = storage.sql
      .exec<{ name: string }>(
        "SELECT name FROM sqlite_master WHERE name IN ('job', 'node', 'result')",
      )
      .toArray();
    const rows = tables.map(
      ({ name }) => storage.sql.exec(`SELECT * FROM ${name}`).toArray().length,
    );
    return { tables: tables.length, rows, alarm: await storage.getAlarm() };
  });
}

const versionInD1 = async (job: TestJob) => (await jobRow(job)).version;

/** A job that has completed, an hour after its creation; answers when it expires, ms. */
async function completed(time: { to: (ms: number) => void }) {
  const start = farAhead();
  time.to(start);
  const job = await createJob();
  const taskId = (await join(job)).body.id;
  await putResult(job, taskId, 0);
  await flushed(job);
  return { job, taskId, start, expiresAt: start + DAY_MS };
}

describe("the object's storage", () => {
  test("is gone a day after the job's expiry, exactly; the job reads as before", async ({
    expect,
  }) => {
    const time = travel();
    const { job, start, expiresAt } = await completed(time);
    const before = (await reported(job)).body;
    // Whatever alarm stood before the end.
    await alarm(job);
    time.to(expiresAt + DAY_MS - 1);
    await alarm(job);
    expect((await stored(job)).rows).toEqual([1, 1, 1]);
    time.to(expiresAt + DAY_MS);
    await evictDurableObject(coordinatorOf(job));
    expect(await alarm(job), "it was set").toBe(true);
    expect(await stored(job)).toEqual({ tables: 0, rows: [], alarm: null });
    time.to(start);
    expect((await detail(job)).body).toEqual(before);
  });

  test("stays while D1 does not know everything, and while D1 cannot be asked", async ({
    expect,
  }) => {
    const time = travel();
    const start = farAhead();
    time.to(start);
    const job = await createJob();
    const taskId = (await join(job)).body.id;
    await flushed(job);
    vi.spyOn(console, "warn").mockImplementation(() => {});
    const logged = vi.spyOn(console, "error").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const down = onBatchesOf(job, async () => {
      throw new Error("D1_ERROR: no");
    });
    await putResult(job, taskId, 0);
    time.to(start + 3 * DAY_MS);
    await alarm(job);
    expect((await stored(job)).rows).toEqual([1, 1, 1]);
    down.restore();
    time.to(start + 3 * DAY_MS + HOUR_MS);
    const unread = vi.spyOn(env.DB, "prepare").mockImplementation(() => {
      throw new Error("D1_ERROR: no");
    });
    await alarm(job);
    unread.mockRestore();
    expect((await stored(job)).rows, "the flush has failed").toEqual([1, 1, 1]);
    time.to(start + 3 * DAY_MS + 2 * HOUR_MS);
    await coordinatorOf(job).reconcile(Number(job.id), 0);
    const unasked = vi.spyOn(env.DB, "prepare").mockImplementation(() => {
      throw new Error("D1_ERROR: no");
    });
    await alarm(job);
    unasked.mockRestore();
    const kept = await stored(job);
    expect(kept.rows, "what D1 knows could not be asked").toEqual([1, 1, 1]);
    expect(kept.alarm).toBe(start + 3 * DAY_MS + 3 * HOUR_MS);
    const lines = logged.mock.calls.map(([line]) => JSON.parse(String(line)));
    expect(lines.filter((line) => line.job === Number(job.id))).toHaveLength(1);
    // D1 is there again.
    time.to(start + 3 * DAY_MS + 3 * HOUR_MS);
    await alarm(job);
    expect((await stored(job)).tables).toBe(0);
    expect((await jobRow(job)).state).toBe("completed");
  });

  test("stays when D1 has forgotten the end, until D1 knows it again", async ({ expect }) => {
    const time = travel();
    const { job, expiresAt } = await completed(time);
    await alarm(job);
    const version = await versionInD1(job);
    await setJob(job, { version: 1, state: "running", endedAt: null });
    time.to(expiresAt + DAY_MS);
    await alarm(job);
    expect((await stored(job)).rows).toEqual([1, 1, 1]);
    expect(await versionInD1(job)).toBe(version);
    time.to(expiresAt + DAY_MS + 2 * HOUR_MS);
    await alarm(job);
    expect((await stored(job)).tables).toBe(0);
  });

  test("stays while its report cannot be made, and goes once it is", async ({ expect }) => {
    const time = travel();
    const start = farAhead();
    time.to(start);
    const job = await createJob();
    const taskId = (await join(job)).body.id;
    await flushed(job);
    vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const put = refuseReports();
    // An hour later: a report is not given up before the object would go.
    time.to(start + HOUR_MS);
    await putResult(job, taskId, 0);
    const file = expect.stringContaining(`reports/${job.id}/`);
    await eventually(() => expect(put.mock.calls.map(([key]) => key)).toContainEqual(file));
    time.to(start + 2 * DAY_MS);
    await evictDurableObject(coordinatorOf(job));
    await alarm(job);
    expect((await stored(job)).rows).toEqual([1, 1, 1]);
    put.mockRestore();
    time.to((await stored(job)).alarm ?? 0);
    await alarm(job);
    await alarm(job);
    expect(await stored(job)).toEqual({ tables: 0, rows: [], alarm: null });
    expect((await jobRow(job)).reportHash).toEqual(expect.any(String));
  });

  test("goes, too, when its job was removed for good", async ({ expect }) => {
    const time = travel();
    const { job, expiresAt } = await completed(time);
    await alarm(job);
    await removeJob(job);
    time.to(expiresAt + DAY_MS);
    await alarm(job);
    expect((await stored(job)).tables).toBe(0);
  });
});

describe("late callers", () => {
  test("are told to stop; nothing lives again, and the storage is deleted again", async ({
    expect,
  }) => {
    const time = travel();
    const { job, taskId, expiresAt } = await completed(time);
    await alarm(job);
    const version = await versionInD1(job);
    time.to(expiresAt + DAY_MS);
    await alarm(job);
    const late = coordinatorOf(job);
    const machine = {
      machineUuid: crypto.randomUUID(),
      machineIp: null,
      clusterAddresses: [],
      gpuModel: null,
      gpuCount: null,
      gpuModels: null,
      inventory: null,
      bootId: null,
    };
    expect(await late.join(Number(job.id), machine)).toEqual({ ok: false, reason: "ended" });
    const reply = await late.poll(Number(job.id), Number(taskId), null);
    expect(reply.ok && JSON.parse(reply.view ?? "")).toMatchObject({ directive: "stop" });
    expect(await late.abort(Number(job.id))).toEqual({ ok: false, reason: "not_abortable" });
    expect(await versionInD1(job)).toBe(version);
    const deleted = await call("DELETE", "/jobs/delete", {
      token: await signedIn(job.owner),
      body: { id: job.id },
    });
    expect(deleted.body, deleted.text).toMatchObject({ requires_agent_stop: false });
    time.to(expiresAt + DAY_MS + HOUR_MS);
    expect(await alarm(job), "it was set again").toBe(true);
    expect((await stored(job)).tables).toBe(0);
  });

  test("find a job that a backup has brought back aborted, and D1 knows", async ({ expect }) => {
    const time = travel();
    const { job, start, expiresAt } = await completed(time);
    await alarm(job);
    time.to(expiresAt + DAY_MS);
    await alarm(job);
    await setJob(job, { version: 1, state: "running", endedAt: null, events: [] });
    await coordinatorOf(job).reconcile(Number(job.id), 1);
    time.to(start);
    expect((await detail(job)).body).toMatchObject({
      state: "aborted",
      events: [{ kind: "settled", message: "job aborted" }],
    });
    expect(await versionInD1(job)).toBe(2);
  });
});

describe("after an outage of the server", () => {
  const kinds = async (job: TestJob) => {
    const live = await coordinatorOf(job).detail(Number(job.id));
    // A stream that nobody reads would keep the object awake.
    if (live.ok) await live.bodies.cancel();
    return live.ok ? live.job.events.map(({ kind }) => kind) : [];
  };

  async function twoNodes(time: { to: (ms: number) => void }) {
    const start = farAhead();
    time.to(start);
    const job = await createJob({ node_count: 2 });
    const [one, two] = [(await join(job)).body.id, (await join(job)).body.id];
    return { job, one, two, start };
  }

  test("nobody is lost for it: all have a lease from when the object is back", async ({
    expect,
  }) => {
    const time = travel();
    const { job, one, start } = await twoNodes(time);
    // Nobody was heard for ten minutes, and the object wakes only now.
    await evictDurableObject(coordinatorOf(job));
    time.to(start + 10 * MINUTE_MS);
    await alarm(job);
    expect(await kinds(job)).not.toContain("lost");
    time.to(start + 11 * MINUTE_MS);
    await poll(job, one);
    // The lease of the other one is over: it does not begin anew with the next time it wakes.
    await evictDurableObject(coordinatorOf(job));
    time.to(start + 10 * MINUTE_MS + 149 * SECOND_MS);
    await alarm(job);
    expect(await kinds(job)).not.toContain("lost");
    await evictDurableObject(coordinatorOf(job));
    time.to(start + 10 * MINUTE_MS + 150 * SECOND_MS);
    await alarm(job);
    expect((await kinds(job)).filter((kind) => kind === "lost")).toHaveLength(1);
  });

  test("an object that slept and wakes in time loses whoever is lost, at once", async ({
    expect,
  }) => {
    const time = travel();
    const { job, start } = await twoNodes(time);
    await evictDurableObject(coordinatorOf(job));
    // The last contact in memory is up to half a lease younger than the one on disk.
    time.to(start + 75 * SECOND_MS + 150 * SECOND_MS);
    await alarm(job);
    expect((await kinds(job)).filter((kind) => kind === "lost")).toHaveLength(2);
  });

  test("a lost node may still come back: the job waits one lease for it, too", async ({
    expect,
  }) => {
    const time = travel();
    const { job, one, two, start } = await twoNodes(time);
    time.to(start + 100 * SECOND_MS);
    await putResult(job, one, 0);
    time.to(start + 150 * SECOND_MS);
    await alarm(job);
    expect(await kinds(job)).toContain("lost");
    await evictDurableObject(coordinatorOf(job));
    time.to(start + 10 * MINUTE_MS);
    await alarm(job);
    expect((await poll(job, two)).body.directive).toBe("stop");
    await flushed(job);
  });
});
