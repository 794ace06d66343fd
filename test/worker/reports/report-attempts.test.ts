/** Attempts at reports: one at a time, counted before they begin, ended in time, and given up. */
import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { describe, onTestFinished, test, vi } from "vitest";
import twoA100 from "../../../agent/replays/a100-sxm4-80gb-x2.json";
import { openBucket } from "../../../src/db/bucket.ts";
import { createMeter, openDatabase } from "../../../src/db/client.ts";
import { tasks } from "../../../src/db/schema.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { readConfig } from "../../../src/lib/config.ts";
import {
  ATTEMPT_MS,
  attemptReports,
  LEASE_MS,
  MAX_ATTEMPTS,
  REPORT_ERROR,
} from "../../../src/reports/attempt.ts";
import { sweepReports } from "../../../src/reports/sweep.ts";
import { call, detail, expectError } from "../harness/client.ts";
import { createJob, measureJob, type TestJob } from "../harness/factories.ts";
import { reported } from "../harness/instruments.ts";
import { db, jobRow, setJob, taskRows } from "../harness/rows.ts";
import { eventually } from "../harness/time.ts";
import { askReport, open, reportRows } from "./report-files.ts";

/** A clock of the test's own. */
const clock = { at: Date.now(), now: () => clock.at };
const depsOf = () => ({
  db: openDatabase(env.DB, createMeter()),
  bucket: openBucket(env.BUCKET, createMeter()),
  thresholds: readConfig(env).rating,
  seeds: readConfig(env).reportSeeds,
  clock,
});
const attempt = (job: TestJob, isAsked = false) =>
  attemptReports(depsOf(), Number(job.id), { isAsked });

/** A settled job whose one report no object makes. */
async function abortedJob(): Promise<TestJob> {
  const job = await createJob();
  await call("POST", `/jobs/${job.id}/abort`, { token: job.owner.token });
  return job;
}

/** Holds up the next attempt until it is let go. */
function holdNext() {
  const held = Promise.withResolvers<void>();
  const arrived = Promise.withResolvers<void>();
  const list = vi.spyOn(env.BUCKET, "list").mockImplementation((async (
    ...args: Parameters<R2Bucket["list"]>
  ) => {
    list.mockRestore();
    arrived.resolve();
    await held.promise;
    return env.BUCKET.list(...args);
  }) as typeof env.BUCKET.list);
  return { arrived: arrived.promise, letGo: held.resolve };
}

describe("one at a time", () => {
  test("another attempt, cron and POST find it taken, and nothing is counted", async ({
    expect,
  }) => {
    const [first, second] = [await abortedJob(), await abortedJob()];
    clock.at = Date.now();
    const { arrived, letGo } = holdNext();
    const running = attempt(first);
    await arrived;
    expect((await jobRow(first)).reportAttempts, "counted before it begins").toBe(1);
    expect(await attempt(first), "never begun again while it runs").toBe("busy");
    expect(await attempt(second)).toBe("busy");
    expect(await sweepReports(depsOf())).toEqual({ made: 0, failed: 0 });
    const refused = await call("POST", `/jobs/${second.id}/report`, { token: second.owner.token });
    expectError(expect, refused, 503, "SERVICE_UNAVAILABLE");
    expect(refused.headers.get("retry-after")).toBe("5");
    expect((await jobRow(second)).reportAttempts).toBe(0);
    letGo();
    expect(await running).toBe("made");
    expect((await jobRow(first)).reportAttempts).toBe(0);
    expect(await attempt(second)).toBe("made");
  });

  test("an attempt that was cut off holds nobody up for more than a minute", async ({ expect }) => {
    const [first, second] = [await abortedJob(), await abortedJob()];
    clock.at = Date.now();
    const { arrived, letGo } = holdNext();
    const cutOff = attempt(first);
    await arrived;
    clock.at += LEASE_MS - 1;
    expect(await attempt(second)).toBe("busy");
    clock.at += 1;
    const held = holdNext();
    const running = attempt(second);
    await held.arrived;
    letGo();
    await expect(cutOff, "its time is over").rejects.toThrow("Reports took over");
    expect(await attempt(first), "it does not end the other's lease").toBe("busy");
    held.letGo();
    expect(await running).toBe("made");
  });
});

describe("an attempt", () => {
  test("that fails on the platform's side is taken back", async ({ expect }) => {
    const job = await abortedJob();
    clock.at = Date.now();
    const put = vi.spyOn(env.BUCKET, "put").mockRejectedValue(new Error("R2 is away"));
    onTestFinished(() => put.mockRestore());
    await expect(attempt(job)).rejects.toThrow("R2 is away");
    expect((await jobRow(job)).reportAttempts).toBe(0);
  });

  test("whose time is over draws nothing more, and records what it has drawn", async ({
    expect,
  }) => {
    const job = await measureJob([twoA100, twoA100]);
    await reported(job);
    await askReport(job);
    await setJob(job, { verdict: null });
    const before = (await reportRows(job)).length;
    clock.at = Date.now();
    const realPut = env.BUCKET.put.bind(env.BUCKET);
    const slow = vi.spyOn(env.BUCKET, "put").mockImplementation((async (
      ...args: Parameters<R2Bucket["put"]>
    ) => {
      clock.at += ATTEMPT_MS;
      return realPut(...args);
    }) as typeof env.BUCKET.put);
    await expect(attempt(job)).rejects.toThrow("Reports took over");
    expect(slow).toHaveBeenCalledTimes(1);
    slow.mockRestore();
    expect(await reportRows(job)).toHaveLength(before + 1);
    expect((await jobRow(job)).reportAttempts, "the first of its row").toBe(1);
    expect(await attempt(job)).toBe("made");
    expect((await jobRow(job)).reportAttempts).toBe(0);
  });
});

test("after three attempts that did not end, job and tasks say so, and only a person tries again", async ({
  expect,
}) => {
  const error = vi.spyOn(console, "error").mockImplementation(() => {});
  onTestFinished(() => error.mockRestore());
  const job = await measureJob([twoA100]);
  await reported(job);
  await askReport(job);
  // As killed isolates leave it.
  await setJob(job, { reportHash: null, reportAttempts: MAX_ATTEMPTS });
  await db
    .update(tasks)
    .set({ reportHash: null })
    .where(eq(tasks.jobId, Number(job.id)));
  clock.at = Date.now();
  expect((await detail(job)).body.report_error, "not before it is given up").toBeNull();
  expect(await attempt(job)).toBe("given_up");
  const { body } = await detail(job);
  expect(body).toMatchObject({ pdf_report_url: null, report_error: REPORT_ERROR });
  expect(body.tasks[0]).toMatchObject({ pdf_report_url: null, report_error: REPORT_ERROR });
  const listed = await call("GET", `/tasks?job_id=${job.id}`, { token: job.owner.token });
  expect(listed.body.data[0].report_error).toBe(REPORT_ERROR);
  const own = await call("GET", `/tasks/${body.tasks[0].id}/results`, { token: job.owner.token });
  expect(own.body.report_error).toBe(REPORT_ERROR);
  expect(error.mock.calls.map(([line]) => String(line)).join()).toContain("report_given_up");
  // Cron's first look at jobs with an object is five minutes after their end.
  const later = { now: () => Date.parse(body.ended_at) + 600_000 };
  await sweepReports({ ...depsOf(), clock: later });
  expect((await jobRow(job)).reportHash, "cron leaves it").toBeNull();
  const asked = await askReport(job);
  expect((await open(asked.body.pdf_report_url)).status).toBe(200);
  const made = (await detail(job)).body;
  expect([made.report_error, made.tasks[0].report_error]).toEqual([null, null]);
  expect(made.tasks[0].pdf_report_url).not.toBeNull();
  expect(await taskRows(job)).toMatchObject([{ reportError: null }]);
  expect((await jobRow(job)).reportAttempts).toBe(0);
});

test("a follow-up that finds it taken comes back by its alarm", async ({ expect }) => {
  const other = await abortedJob();
  clock.at = systemClock.now();
  const { arrived, letGo } = holdNext();
  const running = attempt(other);
  await arrived;
  const job = await measureJob([twoA100]);
  await eventually(async () => {
    expect((await jobRow(job)).ratedAt).not.toBeNull();
  });
  expect((await jobRow(job)).reportAttempts).toBe(0);
  letGo();
  await running;
  await reported(job);
});
