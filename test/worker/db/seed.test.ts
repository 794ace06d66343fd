/** The seeding tool of bench/: rows as the product makes them, with all that hangs on them. */
import { env } from "cloudflare:workers";
import { beforeAll, describe, test } from "vitest";
import { seedDatabase } from "../../../bench/seed-database.ts";
import { type SeededJob, seededJobs } from "../../../bench/seed-rows.ts";
import { getJobRoute, listJobsRoute } from "../../../src/jobs/contract.ts";
import { createJobBody } from "../../../src/jobs/create-schema.ts";
import { DAY_MS } from "../../../src/lib/clock.ts";
import { call, expectContract } from "../harness/client.ts";
import { createPerson, signedIn } from "../harness/factories.ts";

const UNTIL = Date.now();
const JOBS = 2_000;
const OWNERS = [
  { customerId: 1, userId: 1, weight: 3 },
  { customerId: 2, userId: 2, weight: 1 },
];

async function rows<Row = Record<string, unknown>>(sql: string): Promise<Row[]> {
  return (await env.DB.prepare(sql).all<Row>()).results;
}

/** The definitions of tables, indexes and triggers as they are now. */
const definitions = () =>
  rows("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name");

describe("rows", () => {
  const options = { jobs: JOBS, seed: 7, until: UNTIL, tasksPerJob: 2 };
  const drawn = [...seededJobs(OWNERS, options)];

  test("the same seed draws the same, another one something else", ({ expect }) => {
    expect([...seededJobs(OWNERS, options)]).toEqual(drawn);
    const others = [...seededJobs(OWNERS, { ...options, seed: 8 })];
    const ids = new Set(drawn.map(({ job }) => job.id));
    expect(others.filter(({ job }) => ids.has(job.id ?? 0))).toEqual([]);
  });

  test("ids rise with time over two years; live jobs are of the last day", ({ expect }) => {
    const jobs = drawn.map(({ job }) => job);
    for (const [at, job] of jobs.slice(1).entries()) {
      expect(Number(job.id)).toBeGreaterThan(Number(jobs[at]?.id));
      expect(Number(job.created_at)).toBeGreaterThanOrEqual(Number(jobs[at]?.created_at));
    }
    expect(UNTIL - Number(jobs[0]?.created_at)).toBe(2 * 365 * DAY_MS);
    for (const { ended_at, expires_at } of jobs) {
      if (ended_at === null) expect(Number(expires_at)).toBeGreaterThan(UNTIL);
    }
    expect(new Set(jobs.map(({ state }) => state)).size).toBe(7);
  });

  test("names, descriptions and tags are ones that the API takes", ({ expect }) => {
    for (const { job } of drawn) {
      const { name, description } = job;
      const tags = JSON.parse(String(job.tags));
      const body = { name, description, tags, benchmarks: [], node_count: job.node_count };
      expect(createJobBody.parse(body)).toEqual(body);
    }
  });

  test("what is common is common, what is rare is there", ({ expect }) => {
    const share = (holds: (drawn: SeededJob) => boolean) => drawn.filter(holds).length / JOBS;
    expect(share(({ job }) => job.deleted_at !== null)).toBeCloseTo(0.02, 1);
    expect(share(({ job }) => job.node_count === 1)).toBeGreaterThan(0.5);
    expect(share(({ job }) => job.node_count === 256)).toBeGreaterThan(0);
    expect(share(({ job }) => job.state === "completed")).toBeGreaterThan(0.7);
    expect(share(({ job }) => String(job.name).startsWith("job-"))).toBeCloseTo(0.55, 1);
    expect(share(({ job }) => /\P{ASCII}/u.test(String(job.name)))).toBeGreaterThan(0.02);
    expect(share(({ job }) => JSON.parse(String(job.tags)).length === 10)).toBeGreaterThan(0);
    expect(share(({ tasks }) => tasks.length === 2)).toBeGreaterThan(0.2);
    expect(Math.max(...drawn.map(({ tasks }) => tasks.length))).toBe(2);
    expect(share(({ job }) => job.customer_id === 1)).toBeCloseTo(0.75, 1);
  });
});

describe("a seeded database", () => {
  const options = { seed: 1 };
  let before: unknown[];
  let seeded: Awaited<ReturnType<typeof seedDatabase>>;
  const counts: number[] = [];
  let rowsRead = 0;
  const counted = {
    prepare: (sql: string) => env.DB.prepare(sql),
    async batch(statements: D1PreparedStatement[]) {
      const results = await env.DB.batch(statements);
      for (const { meta } of results) rowsRead += meta.rows_read;
      return results;
    },
  };

  beforeAll(async () => {
    before = await definitions();
    seeded = await seedDatabase(counted, {
      jobs: JOBS,
      until: UNTIL,
      ...options,
      onProgress: (jobs) => counts.push(jobs),
    });
  });

  test("has what was asked for, and is defined as before", async ({ expect }) => {
    const slug = `seeded-${options.seed}-%`;
    const ours = `customer_id IN (SELECT id FROM customers WHERE slug LIKE '${slug}')`;
    const [found] = await rows(
      `SELECT (SELECT count(*) FROM customers WHERE slug LIKE '${slug}') AS customers,
         (SELECT count(*) FROM users WHERE ${ours}) AS people,
         (SELECT count(*) FROM jobs WHERE ${ours}) AS jobs,
         (SELECT count(*) FROM tasks WHERE ${ours}) AS tasks,
         (SELECT max(n) FROM (SELECT count(*) AS n FROM jobs WHERE ${ours} GROUP BY customer_id)) AS largest`,
    );
    expect(found).toMatchObject({ customers: 20, ...seeded, jobs: JOBS });
    expect(found?.people).toBeGreaterThan(190);
    expect(Number(found?.largest) / JOBS).toBeCloseTo(0.3, 1);
    expect(counts.at(-1)).toBe(JOBS);
    expect(await definitions()).toEqual(before);
    expect(await rows("PRAGMA foreign_key_check")).toEqual([]);
  });

  test("is filled at a cost that does not grow with what is there", ({ expect }) => {
    // A trigger without its index would read thousands of rows for each task.
    expect(rowsRead / (seeded.jobs + seeded.tasks)).toBeLessThan(400);
  });

  test("has the counters and tags that its jobs and tasks ask for", async ({ expect }) => {
    const scopes = ["'all'", "'customer:' || customer_id", "owner"];
    for (const [counters, table] of [
      ["job_counts", "jobs"],
      ["task_counts", "tasks"],
    ]) {
      const asked = scopes.map(
        (scope) =>
          `SELECT ${scope} AS scope, state, count(*) AS n FROM ${table} WHERE deleted_at IS NULL GROUP BY 1, 2`,
      );
      const expected = await rows(`${asked.join(" UNION ALL ")} ORDER BY 1, 2`);
      expect(expected.length).toBeGreaterThan(100);
      const kept = await rows(`SELECT scope, state, ${table} AS n FROM ${counters} ORDER BY 1, 2`);
      expect(kept).toEqual(expected);
    }
    const tags = await rows(
      `SELECT jobs.id AS job_id, value AS tag, customer_id, user_id, owner, created_at FROM jobs, json_each(tags)
       WHERE deleted_at IS NULL ORDER BY 1, 2`,
    );
    expect(tags.length).toBeGreaterThan(JOBS);
    expect(await rows("SELECT * FROM job_tags ORDER BY job_id, tag")).toEqual(tags);
    const [stray] = await rows(
      `SELECT count(*) AS n FROM tasks t JOIN jobs j ON j.id = t.job_id
       WHERE (t.customer_id, t.user_id) <> (j.customer_id, j.user_id) OR t.deleted_at IS NOT j.deleted_at`,
    );
    expect(stray).toEqual({ n: 0 });
  });

  test("asks cron for a look at the jobs that it looks at in production, and no other", async ({
    expect,
  }) => {
    const looks = await rows(
      `SELECT coordinated, ended_at IS NOT NULL AS is_over,
         count(*) AS n, count(check_at) AS awaited, coalesce(min(check_at) > ${UNTIL - DAY_MS}, 1) AS is_soon,
         coalesce(max(check_at - expires_at) <= 0, 1) AS by_expiry
       FROM jobs WHERE customer_id IN (SELECT id FROM customers WHERE slug LIKE 'seeded-${options.seed}-%')
       GROUP BY 1, 2 ORDER BY 1, 2`,
    );
    expect(looks.map(({ coordinated, is_over }) => [coordinated, is_over])).toEqual([
      ...[[0, 0] as const, [0, 1] as const, [1, 0] as const, [1, 1] as const],
    ]);
    for (const { is_over, n, awaited, is_soon, by_expiry } of looks) {
      expect({ awaited, is_soon, by_expiry }).toEqual({
        awaited: is_over ? 0 : n,
        is_soon: 1,
        by_expiry: 1,
      });
    }
  });

  test("is read by the API: every list, and jobs of every state", async ({ expect }) => {
    const { token } = await createPerson({ role: "staff" });
    expectContract(expect, await call("GET", "/jobs?per_page=300", { token }), listJobsRoute, 200);
    const settled = await rows<{ id: number }>(
      `SELECT min(id) AS id FROM jobs WHERE deleted_at IS NULL
       AND customer_id IN (SELECT id FROM customers WHERE slug LIKE 'seeded-${options.seed}-%')
       AND (ended_at IS NOT NULL OR state = 'created') GROUP BY state, sequence`,
    );
    expect(settled.length).toBeGreaterThan(5);
    for (const { id } of settled) {
      expectContract(expect, await call("GET", `/jobs/${id}`, { token }), getJobRoute, 200);
    }
    const tasks = await call("GET", "/tasks?per_page=300&include_results=true", { token });
    expect(tasks.status, tasks.text).toBe(200);
    const [person] = await rows<{ id: number; uuid: string }>(
      `SELECT id, uuid FROM users WHERE slug = 'seeded-${options.seed}-1-1'`,
    );
    if (person === undefined) throw new Error("the first person is missing");
    const own = await call("GET", "/jobs", { token: await signedIn(person) });
    const total = Number(own.headers.get("x-total-count"));
    expect(total).toBeGreaterThan(JOBS * 0.25);
  });

  test("the same seed is refused, and nothing is half there", async ({ expect }) => {
    const again = seedDatabase(env.DB, { jobs: 10, until: UNTIL, ...options });
    await expect(again).rejects.toThrow(/UNIQUE/);
    expect(await definitions()).toEqual(before);
  });
});
