/** Cron: what nobody can use any more goes, at its time and not before, a bounded share a tick. */
import { env } from "cloudflare:workers";
import { eq, ne } from "drizzle-orm";
import { describe, onTestFinished, test, vi } from "vitest";
import {
  idempotencyKeys,
  jobCounts,
  jobs,
  jobTags,
  sessions,
  signInFailures,
  taskCounts,
  tasks,
} from "../../../src/db/schema.ts";
import { DAY_MS, HOUR_MS, systemClock } from "../../../src/lib/clock.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { runTick } from "../../../src/maintenance/tick.ts";
import { appDeps, call, detail, expectError, join, putResult } from "../harness/client.ts";
import { createJob, createPerson, type TestJob } from "../harness/factories.ts";
import { flushed, ownD1 } from "../harness/instruments.ts";
import {
  countOf,
  db,
  insertRows,
  insertSession,
  setJob,
  taskRows,
  taskValues,
  times,
} from "../harness/rows.ts";

function tick(at: number, config = readConfig(env), d1 = env.DB) {
  const { bucket, assets, coordinators, lobbies } = appDeps();
  return runTick({
    ...{ d1, bucket, assets, coordinators, lobbies, config },
    clock: { now: () => at },
  });
}

describe("idempotency keys", () => {
  const insert = (scope: string, createdAt: number, from: number, many: number) => {
    const keys = times(many, (number) => ({
      scope,
      key: `key ${from + number}`,
      fingerprint: "f",
      facts: "{}",
      createdAt,
    }));
    return insertRows(idempotencyKeys, keys);
  };

  test("go after 24 hours, exactly when a repeat is no longer known for one", async ({
    expect,
  }) => {
    const start = Date.now();
    const owner = await createPerson();
    const headers = { "idempotency-key": crypto.randomUUID() };
    vi.spyOn(systemClock, "now").mockReturnValue(start);
    onTestFinished(() => void vi.restoreAllMocks());
    const create = () =>
      call("POST", "/jobs", { token: owner.token, headers, body: { benchmarks: [] } });
    const first = await create();
    await tick(start + DAY_MS - 1);
    expect((await create()).body.id, "still known").toBe(first.body.id);
    await tick(start + DAY_MS);
    const isKey = eq(idempotencyKeys.key, headers["idempotency-key"]);
    expect(await countOf(idempotencyKeys, isKey)).toBe(0);
  });

  test("thousands go over several ticks, and younger ones stay", async ({ expect }) => {
    await db.delete(idempotencyKeys);
    const scope = crypto.randomUUID();
    const now = Date.now();
    await insert(scope, now - DAY_MS, 0, 6_500);
    await insert(scope, now - DAY_MS + 1, 6_500, 10);
    expect((await tick(now)).clearExpired).toMatchObject({ keys: 5_000 });
    expect((await tick(now)).clearExpired).toMatchObject({ keys: 1_500 });
    expect(await countOf(idempotencyKeys, eq(idempotencyKeys.scope, scope))).toBe(10);
  });

  test("while none is old, thousands of them cost nothing", async ({ expect }) => {
    await db.delete(idempotencyKeys);
    await insert(crypto.randomUUID(), Date.now(), 0, 3_000);
    const d1 = ownD1();
    const batch = vi.spyOn(d1, "batch");
    await tick(Date.now(), readConfig(env), d1);
    const results = await Promise.all(batch.mock.results.map(({ value }) => value));
    const read = results.flat().map(({ meta }) => meta.rows_read);
    // Each statement of the tick, of which this is one.
    expect(Math.max(...read)).toBeLessThanOrEqual(100);
  });
});

test("expired sessions and forgotten failures go; others stay", async ({ expect }) => {
  const now = Date.now();
  const { id } = await createPerson();
  const accounts = ["old", "young"].map((age) => `${age} ${crypto.randomUUID()}`);
  const [old = "", young = ""] = accounts;
  await db.update(sessions).set({ expiresAt: now }).where(eq(sessions.userId, id));
  const uuid = crypto.randomUUID();
  await insertSession({ uuid, userId: id, createdAt: 0, expiresAt: now + 1 });
  await insertRows(signInFailures, [
    { account: old, network: "n", failures: 3, retryAt: now - DAY_MS },
    { account: young, network: "n", failures: 3, retryAt: now - DAY_MS + 1 },
  ]);
  await tick(now);
  const left = await db.select().from(sessions).where(eq(sessions.userId, id));
  expect(left).toMatchObject([{ uuid, expiresAt: now + 1 }]);
  expect(await countOf(signInFailures, eq(signInFailures.account, old))).toBe(0);
  expect(await countOf(signInFailures, eq(signInFailures.account, young))).toBe(1);
});

describe("jobs that nobody has signed in for", () => {
  /** A completed job of two nodes with a tag, created at a time and given to the anonymous person. */
  async function anonymous(createdAt: number): Promise<TestJob> {
    const clock = vi.spyOn(systemClock, "now").mockReturnValue(createdAt);
    onTestFinished(() => clock.mockRestore());
    const job = await createJob({ tags: [`tag ${crypto.randomUUID()}`], node_count: 2 });
    for (let node = 0; node < 2; node++) await putResult(job, (await join(job)).body.id, 0);
    await flushed(job);
    clock.mockRestore();
    // As if it had been inserted like that: counters, tags and search follow by their triggers.
    const nobody = { userId: 0, customerId: 0 };
    await setJob(job, { deletedAt: 1 });
    await setJob(job, nobody);
    await db
      .update(tasks)
      .set(nobody)
      .where(eq(tasks.jobId, Number(job.id)));
    await setJob(job, { deletedAt: null });
    return job;
  }

  const exists = async (job: TestJob) => (await countOf(jobs, eq(jobs.id, Number(job.id)))) === 1;

  const counters = async () => [
    await db.select().from(jobCounts).where(ne(jobCounts.jobs, 0)).orderBy(jobCounts.scope),
    await db.select().from(taskCounts).where(ne(taskCounts.tasks, 0)).orderBy(taskCounts.scope),
  ];

  test("are gone with everything after 7 days: rows, counters, tags, R2; others stay", async ({
    expect,
  }) => {
    const now = Date.now();
    const neighbour = await createJob({ tags: ["neighbour"] });
    await putResult(neighbour, (await join(neighbour)).body.id, 0);
    await flushed(neighbour);
    const before = await counters();
    const old = await anonymous(now - 2 * DAY_MS);
    expect(await counters()).not.toEqual(before);
    expect(await env.BUCKET.head(`results/${old.id}`)).not.toBeNull();
    await tick(now + 5 * DAY_MS);
    expect(await exists(old)).toBe(false);
    expect(await taskRows(old)).toEqual([]);
    expect(await countOf(jobTags, eq(jobTags.jobId, Number(old.id)))).toBe(0);
    expect(await env.BUCKET.head(`results/${old.id}`)).toBeNull();
    expect(await counters()).toEqual(before);
    expect((await detail(neighbour)).status).toBe(200);
  });

  test("exactly after 7 days, and only once they have ended", async ({ expect }) => {
    const now = Date.now();
    const old = await anonymous(now - 7 * DAY_MS);
    const young = await anonymous(now - 7 * DAY_MS + 1);
    const live = await anonymous(now - 8 * DAY_MS);
    await setJob(live, { endedAt: null });
    await tick(now);
    const left = await db.select().from(jobs).where(eq(jobs.userId, 0)).orderBy(jobs.id);
    expect(left.map(({ id }) => id)).toEqual([Number(live.id), Number(young.id)]);
    const reply = await call("GET", `/tasks/${Number(old.id) + 1}/results`, {
      token: (await createPerson({ role: "staff" })).token,
    });
    expectError(expect, reply, 404, "RESOURCE_NOT_FOUND");
  });

  test("what is in R2 goes before the rows that lead to it", async ({ expect }) => {
    const now = Date.now();
    const job = await anonymous(now - 7 * DAY_MS);
    await env.BUCKET.put(`results/${job.id}`, "x");
    vi.spyOn(console, "error").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const broken = vi
      .spyOn(env.BUCKET, "delete")
      .mockRejectedValueOnce(new Error("delete: no (10001)"));
    await tick(now);
    expect(await exists(job), "not yet").toBe(true);
    broken.mockRestore();
    await tick(now);
    expect(await exists(job)).toBe(false);
    expect(await env.BUCKET.head(`results/${job.id}`)).toBeNull();
  });

  test("removing one looks at no other: a few rows, with thousands of tasks around", async ({
    expect,
  }) => {
    const jobId = Number((await createJob()).id);
    const around = times(3_000, (rank) => taskValues({ id: 1_000_000 + rank, jobId, rank }));
    await insertRows(tasks, around);
    const job = await anonymous(Date.now() - 7 * DAY_MS);
    await db.delete(tasks).where(eq(tasks.jobId, Number(job.id)));
    const { meta } = await db.delete(jobs).where(eq(jobs.id, Number(job.id)));
    expect(meta.rows_read).toBeLessThan(60);
  });
});

test("a database that fills up is reported, in bytes", async ({ expect }) => {
  const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
  onTestFinished(() => void warn.mockRestore());
  const config = readConfig(env);
  const now = Date.now();
  const { bytes } = (await tick(now)).watchSize as { bytes: number };
  expect(bytes).toBeGreaterThan(100_000);
  const lines = () =>
    warn.mock.calls
      .map(([line]) => JSON.parse(String(line)))
      .filter(({ event }) => event === "database_large");
  expect(lines()).toEqual([]);
  await tick(now, { ...config, databaseWarningBytes: bytes + HOUR_MS });
  expect(lines()).toEqual([]);
  await tick(now, { ...config, databaseWarningBytes: bytes / 2 });
  expect(lines()).toEqual([
    { level: "warn", event: "database_large", bytes: expect.any(Number), limit: bytes / 2 },
  ]);
});

test("settings that make no sense are refused by name", ({ expect }) => {
  expect(readConfig(env)).toMatchObject({ databaseWarningBytes: 8e9 });
  for (const gb of ["0", "11", "x"]) {
    expect(() => readConfig({ ...env, DATABASE_WARNING_GB: gb })).toThrow("DATABASE_WARNING_GB");
  }
});
