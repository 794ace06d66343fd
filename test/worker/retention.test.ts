/** Cron: what nobody can use any more goes, at its time and not before, a bounded share a tick. */
import { env } from "cloudflare:workers";
import { describe, onTestFinished, test, vi } from "vitest";
import { DAY_MS, HOUR_MS, systemClock } from "../../src/lib/clock.ts";
import { readConfig } from "../../src/lib/config.ts";
import { runTick } from "../../src/maintenance/tick.ts";
import {
  appDeps,
  call,
  createJob,
  createPerson,
  detail,
  expectError,
  flushed,
  join,
  putResult,
  type TestJob,
} from "./harness.ts";

function tick(at: number, config = readConfig(env)) {
  const { d1, bucket, coordinators } = appDeps();
  return runTick({ d1, bucket, coordinators, config, clock: { now: () => at } });
}

async function count(sql: string, ...values: (string | number)[]): Promise<number> {
  const row = await env.DB.prepare(`SELECT count(*) AS n FROM ${sql}`)
    .bind(...values)
    .first<{ n: number }>();
  return row?.n ?? 0;
}

describe("idempotency keys", () => {
  const insert = (scope: string, at: number, from: number, many: number) =>
    env.DB.prepare(
      `WITH RECURSIVE n(i) AS (SELECT ?3 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?3 + ?4)
       INSERT INTO idempotency_keys SELECT ?1, 'key ' || i, 'f', '{}', ?2 FROM n`,
    )
      .bind(scope, at, from, many)
      .run();

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
    expect(await count("idempotency_keys WHERE key = ?", headers["idempotency-key"])).toBe(0);
  });

  test("thousands go over several ticks, and younger ones stay", async ({ expect }) => {
    await env.DB.prepare("DELETE FROM idempotency_keys").run();
    const scope = crypto.randomUUID();
    const now = Date.now();
    await insert(scope, now - DAY_MS, 0, 6_500);
    await insert(scope, now - DAY_MS + 1, 6_500, 10);
    expect((await tick(now)).clearExpired).toMatchObject({ keys: 5_000 });
    expect((await tick(now)).clearExpired).toMatchObject({ keys: 1_500 });
    expect(await count("idempotency_keys WHERE scope = ?", scope)).toBe(10);
  });

  test("while none is old, thousands of them cost nothing", async ({ expect }) => {
    await env.DB.prepare("DELETE FROM idempotency_keys").run();
    await insert(crypto.randomUUID(), Date.now(), 0, 3_000);
    const batch = vi.spyOn(env.DB, "batch");
    onTestFinished(() => void batch.mockRestore());
    await tick(Date.now());
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
  await env.DB.batch([
    env.DB.prepare("UPDATE sessions SET expires_at = ?2 WHERE user_id = ?1").bind(id, now),
    env.DB.prepare(
      "INSERT INTO sessions (uuid, user_id, created_at, expires_at) VALUES (?, ?, 0, ?)",
    ).bind(crypto.randomUUID(), id, now + 1),
    env.DB.prepare("INSERT INTO sign_in_failures VALUES (?, 3, ?), (?, 3, ?)").bind(
      ...[accounts[0], now - DAY_MS, accounts[1], now - DAY_MS + 1],
    ),
  ]);
  await tick(now);
  expect(await count("sessions WHERE user_id = ?", id)).toBe(1);
  expect(await count("sessions WHERE user_id = ? AND expires_at > ?", id, now)).toBe(1);
  expect(await count("sign_in_failures WHERE account = ?", accounts[0] ?? "")).toBe(0);
  expect(await count("sign_in_failures WHERE account = ?", accounts[1] ?? "")).toBe(1);
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
    const id = Number(job.id);
    // As if it had been inserted like that: counters, tags and search follow by their triggers.
    await env.DB.batch([
      env.DB.prepare("UPDATE jobs SET deleted_at = 1 WHERE id = ?").bind(id),
      env.DB.prepare("UPDATE jobs SET user_id = 0, customer_id = 0 WHERE id = ?").bind(id),
      env.DB.prepare("UPDATE tasks SET user_id = 0, customer_id = 0 WHERE job_id = ?").bind(id),
      env.DB.prepare("UPDATE jobs SET deleted_at = NULL WHERE id = ?").bind(id),
    ]);
    return job;
  }

  const counters = async () =>
    (
      await env.DB.prepare(
        `SELECT 'job ' || scope || state AS what, jobs AS n FROM job_counts WHERE jobs <> 0 UNION ALL
         SELECT 'task ' || scope || state, tasks FROM task_counts WHERE tasks <> 0 ORDER BY 1`,
      ).all()
    ).results;

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
    // Its results have moved by then.
    await tick(now, { ...readConfig(env), archiveAfterMs: DAY_MS });
    expect(await env.BUCKET.head(`results/${old.id}`)).not.toBeNull();
    await tick(now + 5 * DAY_MS);
    const range = [Number(old.id), Number(old.id) + 511] as const;
    expect(await count("jobs WHERE id = ?", range[0])).toBe(0);
    expect(await count("tasks WHERE id BETWEEN ? AND ?", ...range)).toBe(0);
    expect(await count("task_results WHERE task_id BETWEEN ? AND ?", ...range)).toBe(0);
    expect(await count("job_tags WHERE job_id = ?", range[0])).toBe(0);
    expect(await env.BUCKET.head(`results/${old.id}`)).toBeNull();
    expect(await counters()).toEqual(before);
    expect((await detail(neighbour)).status).toBe(200);
  });

  test("exactly after 7 days, and only once they have ended", async ({ expect }) => {
    const now = Date.now();
    const old = await anonymous(now - 7 * DAY_MS);
    const young = await anonymous(now - 7 * DAY_MS + 1);
    const live = await anonymous(now - 8 * DAY_MS);
    await env.DB.prepare("UPDATE jobs SET ended_at = NULL WHERE id = ?")
      .bind(Number(live.id))
      .run();
    await tick(now);
    const left = await env.DB.prepare("SELECT id FROM jobs WHERE user_id = 0 ORDER BY id").all();
    expect(left.results).toEqual([{ id: Number(live.id) }, { id: Number(young.id) }]);
    const reply = await call("GET", `/tasks/${Number(old.id) + 1}/results`, {
      token: (await createPerson({ role: "staff" })).token,
    });
    expectError(expect, reply, 404, "RESOURCE_NOT_FOUND");
  });

  test("what is in R2 goes before the rows that lead to it", async ({ expect }) => {
    const now = Date.now();
    const job = await anonymous(now - 7 * DAY_MS);
    await env.BUCKET.put(`results/${job.id}`, "x");
    await env.DB.prepare("UPDATE jobs SET archived_at = 1 WHERE id = ?").bind(Number(job.id)).run();
    vi.spyOn(console, "error").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    const broken = vi
      .spyOn(env.BUCKET, "delete")
      .mockRejectedValueOnce(new Error("delete: no (10001)"));
    await tick(now);
    expect(await count("jobs WHERE id = ?", Number(job.id)), "not yet").toBe(1);
    broken.mockRestore();
    await tick(now);
    expect(await count("jobs WHERE id = ?", Number(job.id))).toBe(0);
    expect(await env.BUCKET.head(`results/${job.id}`)).toBeNull();
  });

  test("removing one looks at no other: a few rows, with thousands of tasks around", async ({
    expect,
  }) => {
    const owner = await createPerson();
    const around = Number((await createJob({}, owner)).id);
    await env.DB.prepare(
      `WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2999)
       INSERT INTO tasks (id, job_id, rank, version, machine_uuid, state, steps, created_at)
       SELECT 1000000 + i, ?, i, 1, 'm', 'completed', '[]', 0 FROM n`,
    )
      .bind(around)
      .run();
    const job = await anonymous(Date.now() - 7 * DAY_MS);
    await env.DB.prepare("DELETE FROM tasks WHERE job_id = ?").bind(Number(job.id)).run();
    const { meta } = await env.DB.prepare("DELETE FROM jobs WHERE id = ?")
      .bind(Number(job.id))
      .run();
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
    warn.mock.calls.map(([line]) => JSON.parse(String(line))).filter(({ metric }) => metric);
  expect(lines()).toEqual([]);
  await tick(now, { ...config, databaseWarningBytes: bytes + HOUR_MS });
  expect(lines()).toEqual([]);
  await tick(now, { ...config, databaseWarningBytes: bytes / 2 });
  expect(lines()).toEqual([
    { level: "warn", metric: "database_bytes", value: expect.any(Number), limit: bytes / 2 },
  ]);
});

test("settings that make no sense are refused by name", ({ expect }) => {
  expect(readConfig(env)).toMatchObject({ archiveAfterMs: 30 * DAY_MS, databaseWarningBytes: 8e9 });
  for (const days of ["0", "1.5", "x", "-1"]) {
    const wrong = { ...env, RESULTS_TO_R2_DAYS: days };
    expect(() => readConfig(wrong)).toThrow("RESULTS_TO_R2_DAYS");
  }
  for (const gb of ["0", "11", "x"]) {
    expect(() => readConfig({ ...env, DATABASE_WARNING_GB: gb })).toThrow("DATABASE_WARNING_GB");
  }
});
