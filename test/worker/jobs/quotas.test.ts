/** Quotas of customers, tested by the statement that creates a job: full ones refuse, races pass none. */
import { env } from "cloudflare:workers";
import { eq } from "drizzle-orm";
import { describe, onTestFinished, test, vi } from "vitest";
import { createApp } from "../../../src/app.ts";
import { customerUsage, jobs } from "../../../src/db/schema.ts";
import { ANONYMOUS } from "../../../src/identity/anonymous.ts";
import { DAY_MS, HOUR_MS, systemClock } from "../../../src/lib/clock.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { runTick } from "../../../src/maintenance/tick.ts";
import { API, appDeps, call, expectError, join, putResult, type Reply } from "../harness/client.ts";
import { createJob, createPerson, type Person, type TestJob } from "../harness/factories.ts";
import { costOf, flushed, reported } from "../harness/instruments.ts";
import { db, jobRow } from "../harness/rows.ts";
import { eventually } from "../harness/time.ts";

const { quotas } = readConfig(env);
const perDay = quotas.customerJobsPerDay ?? 0;
const today = () => Math.floor(systemClock.now() / DAY_MS);

type Usage = Partial<typeof customerUsage.$inferInsert>;

async function setUsage(customerId: number, usage: Usage): Promise<void> {
  await db
    .insert(customerUsage)
    .values({ customerId, ...usage })
    .onConflictDoUpdate({ target: customerUsage.customerId, set: usage });
}

async function usageOf(customerId: number) {
  const [row] = await db
    .select()
    .from(customerUsage)
    .where(eq(customerUsage.customerId, customerId));
  return row;
}

/** A person whose customer has so many jobs left today. */
async function nearFull(left: number): Promise<Person> {
  const person = await createPerson();
  await setUsage(person.customerId, { day: today(), jobs: perDay - left });
  return person;
}

function create(person: Person, body: object = {}, key?: string): Promise<Reply> {
  return call("POST", "/jobs", {
    token: person.token,
    body: { benchmarks: ["quick_mark"], ...body },
    ...(key === undefined ? {} : { headers: { "idempotency-key": key } }),
  });
}

const countByStatus = (replies: readonly Reply[]) =>
  Object.fromEntries(
    [...Map.groupBy(replies, ({ status }) => status)].map(([status, of]) => [status, of.length]),
  );

async function jobsOf(person: Person): Promise<number> {
  return db.$count(jobs, eq(jobs.customerId, person.customerId));
}

describe("jobs of a day", () => {
  test("the last one passes; the next is told until when", async ({ expect }) => {
    const person = await nearFull(1);
    expect((await create(person)).status).toBe(201);
    const reply = await create(person);
    const midnight = new Date((today() + 1) * DAY_MS).toISOString();
    const message = `Your customer has created ${perDay} jobs today, which is its quota; it can create more from ${midnight}`;
    expectError(expect, reply, 429, "QUOTA_EXCEEDED", message);
    const wait = Number(reply.headers.get("retry-after"));
    expect(wait).toBeGreaterThan(0);
    expect(Math.abs(Date.parse(midnight) - Date.now() - wait * 1_000)).toBeLessThan(60_000);
    expect(await jobsOf(person)).toBe(1);
  });

  test("of many at once, exactly the quota passes", async ({ expect }) => {
    const person = await nearFull(5);
    const replies = await Promise.all(Array.from({ length: 25 }, () => create(person)));
    expect(countByStatus(replies)).toEqual({ 201: 5, 429: 20 });
    expect(await jobsOf(person)).toBe(5);
    expect(await usageOf(person.customerId)).toMatchObject({ jobs: perDay });
  });

  test("a repeat gets its job though the quota is full; a refused key is free again", async ({
    expect,
  }) => {
    const person = await nearFull(1);
    const first = await create(person, { name: "First" }, "one");
    const repeat = await create(person, { name: "First" }, "one");
    expect(repeat.status).toBe(201);
    expect(repeat.body).toEqual(first.body);
    expect(repeat.headers.get("idempotency-replayed")).toBe("true");
    const other = await create(person, { name: "Other" }, "one");
    expectError(expect, other, 422, "IDEMPOTENCY_KEY_REUSED");
    expectError(expect, await create(person, {}, "two"), 429, "QUOTA_EXCEEDED");
    await setUsage(person.customerId, { jobs: 0 });
    const later = await create(person, {}, "two");
    expect(later.status).toBe(201);
    expect(later.headers.get("idempotency-replayed")).toBeNull();
  });

  test("a taken name is refused before a full quota", async ({ expect }) => {
    const person = await nearFull(1);
    await create(person, { name: "Mine" });
    expectError(expect, await create(person, { name: "Mine" }), 409, "RESOURCE_ALREADY_EXISTS");
    const withKey = await create(person, { name: "Mine" }, "key");
    expectError(expect, withKey, 409, "RESOURCE_ALREADY_EXISTS");
    expectError(expect, await create(person, { name: "Free" }), 429, "QUOTA_EXCEEDED");
  });

  test("the count begins again at midnight UTC, and deletions do not change it", async ({
    expect,
  }) => {
    const { customerId } = await createPerson();
    const insert = async (id: number, createdAt: number) => {
      const row = { id, customerId, userId: 1, name: String(id), nodeCount: 1, createdAt };
      const rest = { sequence: [], tags: [], tokenKeyId: "", expiresAt: 0, flushedAt: 0 };
      await db.insert(jobs).values({ ...row, ...rest, state: "completed" });
    };
    const midnight = 20_000 * DAY_MS;
    await insert(512, midnight - 2);
    await insert(1_024, midnight - 1);
    expect(await usageOf(customerId)).toMatchObject({ day: 19_999, jobs: 2 });
    await insert(1_536, midnight);
    expect(await usageOf(customerId)).toMatchObject({ day: 20_000, jobs: 1 });
    // A late row of the day before.
    await insert(2_048, midnight - 1);
    expect(await usageOf(customerId)).toMatchObject({ day: 20_000, jobs: 1 });
    await db.delete(jobs).where(eq(jobs.customerId, customerId));
    expect(await usageOf(customerId)).toMatchObject({ day: 20_000, jobs: 1 });
  });

  test("a full day is over at midnight", async ({ expect }) => {
    const person = await createPerson();
    await setUsage(person.customerId, { day: today() - 1, jobs: perDay });
    expect((await create(person)).status).toBe(201);
    expect(await usageOf(person.customerId)).toMatchObject({ day: today(), jobs: 1 });
  });
});

describe("stored bytes", () => {
  async function completed(owner?: Person): Promise<TestJob> {
    const job = await createJob({}, owner);
    const { id } = (await join(job, { inventory: { cpu: "x" } })).body;
    await putResult(job, id, 0);
    await reported(job);
    return job;
  }

  test("are counted when D1 learns of the bodies, and freed when they are removed", async ({
    expect,
  }) => {
    const job = await completed();
    const { bodyBytes } = await jobRow(job);
    const { customerId } = job.owner;
    expect(bodyBytes).toBeGreaterThan(0);
    expect(await usageOf(customerId)).toMatchObject({ bytes: bodyBytes });
    const size = (await env.BUCKET.head(`results/${job.id}`))?.size;
    expect(size).toBe(bodyBytes);
    await call("DELETE", "/jobs/delete", { token: job.owner.token, body: { id: job.id } });
    // The object is still there.
    expect(await usageOf(customerId)).toMatchObject({ bytes: bodyBytes });
    await tick(Date.now() + 2 * HOUR_MS);
    expect(await env.BUCKET.head(`results/${job.id}`)).toBeNull();
    expect(await usageOf(customerId)).toMatchObject({ bytes: 0 });
  });

  test("a full store refuses new jobs until something is deleted, without Retry-After", async ({
    expect,
  }) => {
    const person = await createPerson();
    await setUsage(person.customerId, { bytes: quotas.customerBytes ?? 0 });
    const reply = await create(person);
    const message =
      "The results of your customer's jobs fill its quota of 100 GiB, until some are deleted; space is free within a day of a deletion";
    expectError(expect, reply, 429, "QUOTA_EXCEEDED", message);
    expect(reply.headers.get("retry-after")).toBeNull();
    await setUsage(person.customerId, { bytes: (quotas.customerBytes ?? 0) - 1 });
    expect((await create(person)).status).toBe(201);
  });

  test("a customer without quotas is never refused", async ({ expect }) => {
    const person = await nearFull(0);
    await setUsage(person.customerId, { bytes: 2 ** 50 });
    expect((await create(person)).status).toBe(429);
    const none = {
      CUSTOMER_JOBS_PER_DAY: "none",
      CUSTOMER_STORED_GIB: "none",
      ANONYMOUS_LIVE_JOBS: "none",
      ANONYMOUS_STORED_GIB: "none",
    };
    const app = await createApp(appDeps({ config: readConfig({ ...env, ...none }) }));
    const reply = await app.request(`${API}/jobs`, {
      method: "POST",
      headers: { authorization: `Bearer ${person.token}`, "content-type": "application/json" },
      body: JSON.stringify({ benchmarks: ["quick_mark"] }),
    });
    expect(reply.status).toBe(201);
  });
});

describe("without an account", () => {
  const MESSAGE =
    "Jobs without an account cannot be created now: too many are waiting, or too much is stored; sign in, or try again later";
  const createAnonymous = () => call("POST", "/jobs/anonymous");

  function expectClosed(expect: Parameters<typeof expectError>[0], reply: Reply): void {
    expectError(expect, reply, 503, "SERVICE_UNAVAILABLE", MESSAGE);
    expect(reply.headers.get("retry-after")).toBe("600");
  }

  test("of many at once, exactly the quota of live jobs passes; their end lets more in", async ({
    expect,
  }) => {
    const limit = quotas.anonymousLiveJobs ?? 0;
    const first = await createAnonymous();
    expect(first.status).toBe(201);
    const scope = "customer:0";
    const fill = `UPDATE job_counts SET jobs = ? WHERE scope = '${scope}' AND state = 'created'`;
    await env.DB.prepare(fill)
      .bind(limit - 3)
      .run();
    const replies = await Promise.all(Array.from({ length: 12 }, createAnonymous));
    expect(countByStatus(replies)).toEqual({ 201: 3, 503: 9 });
    expectClosed(expect, await createAnonymous());
    // People with an account do not notice.
    expect((await create(await createPerson())).status).toBe(201);
    const job = { id: String(first.body.id), token: String(first.body.token) };
    const { id } = (await join(job)).body;
    await putResult(job, id, 0);
    await flushed(job);
    await eventually(async () => expect((await createAnonymous()).status).toBe(201));
    await env.DB.prepare(fill).bind(5).run();
  });

  test("stored bytes of all of them are bounded", async ({ expect }) => {
    await createAnonymous();
    const before = (await usageOf(0))?.bytes ?? 0;
    await setUsage(0, { bytes: 2 ** 30 });
    expectClosed(expect, await createAnonymous());
    await setUsage(0, { bytes: before });
    expect((await createAnonymous()).status).toBe(201);
  });

  test("a large database closes their creation, and a smaller one opens it again", async ({
    expect,
  }) => {
    vi.spyOn(console, "warn").mockImplementation(() => {});
    onTestFinished(() => void vi.restoreAllMocks());
    await tick(Date.now(), 1);
    expectClosed(expect, await createAnonymous());
    expect((await create(await createPerson())).status).toBe(201);
    await tick(Date.now());
    expect((await createAnonymous()).status).toBe(201);
  });

  test("the quota of a day is that of accounts", async ({ expect }) => {
    await setUsage(ANONYMOUS.customerId, { day: today(), jobs: perDay });
    expect((await createAnonymous()).status).toBe(201);
  });
});

test("creating a job is one round trip, whatever the quotas say", async ({ expect }) => {
  const person = await nearFull(2);
  await create(person); // reads the person
  for (const status of [201, 429]) {
    const cost = await costOf(() => create(person));
    expect(cost).toMatchObject({ status, d1_round_trips: 1, object_hops: 0 });
  }
});

test.for([
  ["CUSTOMER_JOBS_PER_DAY", "-1"],
  ["CUSTOMER_STORED_GIB", "many"],
  ["ANONYMOUS_LIVE_JOBS", "NaN"],
] as const)("%s=%s is refused by name", ([name, value], { expect }) => {
  expect(() => readConfig({ ...env, [name]: value })).toThrow(
    `${name} must be a number of at least 0, or none`,
  );
  expect(readConfig({ ...env, [name]: "" }).quotas).toEqual(quotas);
});

function tick(now: number, warningBytes?: number) {
  const { config, ...deps } = appDeps();
  const databaseWarningBytes = warningBytes ?? config.databaseWarningBytes;
  const changed = { ...config, databaseWarningBytes };
  return runTick({ ...deps, config: changed, clock: { now: () => now } });
}
