/** Costs of a standing fleet: exact D1 reads and writes, by an injected clock. */
import { env } from "cloudflare:workers";
import { describe, test, vi } from "vitest";
import { createApp } from "../../../src/app.ts";
import { createMeter, type Database, openDatabase } from "../../../src/db/client.ts";
import { jobs } from "../../../src/db/schema.ts";
import type { Clock } from "../../../src/lib/clock.ts";
import { Candidates } from "../../../src/runners/candidates.ts";
import { findFacts } from "../../../src/runners/facts-store.ts";
import { appDeps, claim } from "../harness/client.ts";
import {
  createJob,
  createPerson,
  createRunner,
  createSpec,
  type Person,
  type TestRunner,
  type TestSpec,
} from "../harness/factories.ts";
import { costOf, flushed, ownD1, planOf, travel } from "../harness/instruments.ts";
import { insertRows, jobValues, runnerRow, times } from "../harness/rows.ts";
import { takePlace } from "./shop.ts";

const admin = await createPerson({ role: "root_admin" });

/** Counts what is asked of D1, by statement, and the rows that it says it has written. */
function counting(d1: D1Database) {
  const asked = { trips: 0, candidates: 0, runners: 0, rowsWritten: 0 };
  const note = (sql: string) => {
    if (sql.includes("json_each")) asked.candidates++;
    else asked.runners++;
  };
  const texts = new WeakMap<object, string>();
  const wrap = (statement: D1PreparedStatement, sql: string): D1PreparedStatement => {
    const seen = new Proxy(statement, {
      get(inner, key) {
        if (key === "bind") return (...values: unknown[]) => wrap(inner.bind(...values), sql);
        const value: unknown = Reflect.get(inner, key);
        if (typeof value !== "function") return value;
        if (key !== "all" && key !== "raw" && key !== "run") return value.bind(inner);
        return (...args: unknown[]) => {
          asked.trips++;
          note(sql);
          return value.apply(inner, args);
        };
      },
    });
    texts.set(seen, sql);
    real.set(seen, statement);
    return seen;
  };
  const real = new WeakMap<object, D1PreparedStatement>();
  const database = new Proxy(d1, {
    get(inner, key) {
      if (key === "prepare") return (sql: string) => wrap(inner.prepare(sql), sql);
      if (key === "batch") {
        return async (statements: D1PreparedStatement[]) => {
          asked.trips++;
          note(texts.get(statements.at(-1) as object) ?? "");
          const own = statements.map((statement) => real.get(statement) ?? statement);
          const results = await inner.batch(own);
          for (const { meta } of results) asked.rowsWritten += meta.rows_written;
          return results;
        };
      }
      const value: unknown = Reflect.get(inner, key);
      return typeof value === "function" ? value.bind(inner) : value;
    },
  });
  return { asked, database };
}

async function isolateAt(start: number) {
  const time = { now: start };
  const clock: Clock = { now: () => time.now };
  const { asked, database } = counting(env.DB);
  const config = { ...appDeps().config, rateLimitScale: 1_000_000 };
  const app = await createApp(appDeps({ d1: database, clock, config }));
  const poll = async ({ uuid, key }: TestRunner) => {
    const headers = { authorization: `Bearer ${key}` };
    const init = { method: "POST", headers };
    const reply = await app.request(`https://assay.test/v0/runners/${uuid}/jobs`, init);
    return { status: reply.status, text: await reply.text() };
  };
  return { time, asked, poll };
}

describe("an idle fleet", () => {
  test("1,000 polls of 100 runners in 60 s, four sets of specs", async ({ expect }) => {
    const specs: TestSpec[] = [];
    for (let n = 0; n < 3; n++) specs.push(await createSpec({}, admin));
    const [a, b, c] = specs as [TestSpec, TestSpec, TestSpec];
    const sets = [[a], [b], [a, b], [a, b, c]];
    const runners: TestRunner[] = [];
    for (let n = 0; n < 100; n++) runners.push(await createRunner(sets[n % 4] ?? [], admin));
    const { time, asked, poll } = await isolateAt(Date.now());
    const start = time.now;
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    try {
      // Every runner polls every 6 s, a tenth of a second apart: the fleet is never silent.
      for (let n = 0; n < 1_000; n++) {
        time.now = start + n * 60;
        expect(await poll(runners[n % 100] as TestRunner)).toEqual({ status: 200, text: "null" });
      }
    } finally {
      log.mockRestore();
    }
    // Runners' rows: at their first poll, and when 30 s have passed. Candidates: for each set every 3 s.
    expect(asked.runners).toBe(2 * 100);
    expect(asked.candidates).toBe(4 * 20);
    expect(asked.trips).toBe(asked.runners + asked.candidates);
    expect(asked.rowsWritten, "one heartbeat a runner").toBe(100);
    console.info(
      `1,000 idle polls in 60 s: ${asked.trips} D1 round trips, ${asked.rowsWritten} rows written`,
    );
  });

  test("one runner for ten minutes: at most one write a minute, and never offline", async ({
    expect,
  }) => {
    const runner = await createRunner([await createSpec({}, admin)], admin);
    const { time, asked, poll } = await isolateAt(Date.now());
    const start = time.now;
    let longest = 0;
    for (let at = 0; at < 600_000; at += 7_000) {
      time.now = start + at;
      await poll(runner);
      const { lastHeartbeatAt } = await runnerRow(runner);
      longest = Math.max(longest, time.now - (lastHeartbeatAt ?? 0));
    }
    expect(asked.rowsWritten).toBeGreaterThanOrEqual(6);
    expect(asked.rowsWritten).toBeLessThanOrEqual(10);
    expect(longest).toBeLessThan(100_000);
  });

  test("50 isolates write no more than one", async ({ expect }) => {
    const runner = await createRunner([], admin);
    const start = Date.now();
    const isolates = await Promise.all(Array.from({ length: 50 }, () => isolateAt(start)));
    await Promise.all(isolates.map(({ poll }) => poll(runner)));
    expect(isolates.reduce((sum, { asked }) => sum + asked.rowsWritten, 0)).toBe(1);
  });

  test("200 polls at once of one set of specs: one read", async ({ expect }) => {
    const spec = await createSpec({}, admin);
    const runners: TestRunner[] = [];
    for (let n = 0; n < 20; n++) runners.push(await createRunner([spec], admin));
    const { asked, poll } = await isolateAt(Date.now());
    const polls = Array.from({ length: 200 }, (_, n) => poll(runners[n % 20] as TestRunner));
    for (const { text } of await Promise.all(polls)) expect(text).toBe("null");
    expect(asked.candidates).toBe(1);
  });

  test("a read that never ends: 50 who wait for it make one more between them", async ({
    expect,
  }) => {
    let reads = 0;
    const held = JSON.stringify([[7, 1]]);
    const row = { jobs: "[]", held, pools: "[]", reserved: "[]" };
    const all = () => (++reads === 1 ? new Promise(() => {}) : Promise.resolve([row]));
    const db = { all } as unknown as Database; // all that is used of it
    const candidates = new Candidates({ now: () => 0 }, 150_000);
    vi.useFakeTimers();
    try {
      void candidates.of(db, ["a"]);
      const found = Promise.all(Array.from({ length: 50 }, () => candidates.of(db, ["a"])));
      await vi.advanceTimersByTimeAsync(2_000);
      expect(new Set((await found).map((facts) => facts.held.get(7)))).toEqual(new Set([1]));
    } finally {
      vi.useRealTimers();
    }
    expect(reads).toBe(2);
  });

  test("a poll known to the isolate: nothing at all", async ({ expect }) => {
    const runner = await createRunner([await createSpec({}, admin)], admin);
    expect(await costOf(() => claim(runner))).toMatchObject({ d1_round_trips: 2, object_hops: 0 });
    expect(await costOf(() => claim(runner))).toMatchObject({ d1_round_trips: 0, object_hops: 0 });
  });
});

describe("keys that are made up", () => {
  async function guarded() {
    // Callers far below their limit are counted anew every ten seconds.
    travel().to(Date.now());
    const { asked, database } = counting(env.DB);
    const counted = { address: 0, runner: 0 };
    const shut = (name: keyof typeof counted) => ({
      limit: async () => {
        counted[name]++;
        return { success: name === "runner" };
      },
    });
    const rateLimitCounters = {
      ...appDeps().rateLimitCounters,
      address: shut("address"),
      runner: shut("runner"),
    };
    const config = { ...appDeps().config, rateLimitScale: 1 };
    const app = await createApp(appDeps({ d1: database, config, rateLimitCounters }));
    const poll = async (uuid: string, key: string) => {
      const headers = { authorization: `Bearer ${key}`, "cf-connecting-ip": "192.0.2.7" };
      const init = { method: "POST", headers };
      return (await app.request(`https://assay.test/v0/runners/${uuid}/jobs`, init)).status;
    };
    return { asked, counted, poll };
  }

  test("from one address: limited before D1 is asked", async ({ expect }) => {
    const { uuid } = await createRunner([], admin);
    const { asked, poll } = await guarded();
    const statuses: number[] = [];
    for (let n = 0; n < 60; n++) {
      const key = `assay_runner_${String(n).padStart(30, "x")}`;
      statuses.push(await poll(uuid, key));
    }
    expect(statuses.filter((status) => status === 401).length).toBe(30);
    expect(statuses.slice(30)).toEqual(Array.from({ length: 30 }, () => 429));
    expect(asked.trips).toBe(30);
  });

  test("a fleet behind one address is not held back", async ({ expect }) => {
    const { counted, poll } = await guarded();
    for (let n = 0; n < 50; n++) {
      const { uuid, key } = await createRunner([], admin);
      expect(await poll(uuid, key)).toBe(200);
    }
    expect(counted).toEqual({ address: 0, runner: 0 });
  });
});

describe("a claim", () => {
  test("of a job: the runner, the candidates, the reservation, and one hop", async ({ expect }) => {
    const spec = await createSpec({}, admin);
    const [first, second] = [await createRunner([spec], admin), await createRunner([spec], admin)];
    await createJob({ spec: spec.uuid, node_count: 2 }, admin);
    const cold = await costOf(() => claim(first));
    expect(cold).toMatchObject({ status: 200, d1_round_trips: 3, object_hops: 1 });
    const warm = await costOf(() => claim(second));
    expect(warm, "the candidates are known").toMatchObject({ d1_round_trips: 2, object_hops: 1 });
    const again = await costOf(() => claim(second));
    expect(again, "the key is looked at in D1").toMatchObject({
      d1_round_trips: 1,
      object_hops: 1,
    });
  });

  test("of a job that filled up elsewhere: one of the fleet hears that from D1", async ({
    expect,
  }) => {
    const spec = await createSpec({}, admin);
    const runners: TestRunner[] = [];
    for (let n = 0; n < 5; n++) runners.push(await createRunner([spec], admin));
    const { asked, poll, time } = await isolateAt(Date.now());
    for (const runner of runners) await poll(runner);
    time.now += 3_000;
    const job = await createJob({ spec: spec.uuid, node_count: 2 }, admin);
    expect((await poll(runners[0] as TestRunner)).text).toContain(job.id);
    await takePlace(job);
    await flushed(job);
    asked.trips = 0;
    for (const runner of runners.slice(1)) expect((await poll(runner)).text).toBe("null");
    expect(asked.trips).toBe(1);
  });

  test("the reservation writes one row", async ({ expect }) => {
    const spec = await createSpec({}, admin);
    const runner = await createRunner([spec], admin);
    const { asked, poll, time } = await isolateAt(Date.now());
    await poll(runner);
    asked.rowsWritten = 0;
    time.now += 3_000;
    const job = await createJob({ spec: spec.uuid }, admin);
    expect((await poll(runner)).text).toContain(job.id);
    expect(asked.rowsWritten).toBe(1);
  });
});

describe("the facts of claims", () => {
  /** Rows that D1 reads for these specs, and what was found. */
  async function readFacts(specs: readonly TestSpec[], now = Date.now()) {
    let statement = { query: "", values: [] as unknown[] };
    const d1 = ownD1();
    d1.prepare = (query) => {
      const prepared = env.DB.prepare(query);
      const bind = prepared.bind.bind(prepared);
      prepared.bind = (...values) => {
        statement = { query, values };
        return bind(...values);
      };
      return prepared;
    };
    const uuids = specs.map(({ uuid }) => uuid);
    const db = openDatabase(d1, createMeter());
    const facts = await findFacts(db, uuids, now, { contactAfter: now - 150_000 });
    const { query, values } = statement;
    const { meta } = await env.DB.prepare(query)
      .bind(...values)
      .all();
    return { facts, rowsRead: meta.rows_read, query, values };
  }

  /** Open jobs of a person, a third of them ended. */
  async function jobsOf(owner: Person, spec: TestSpec, number: number, gang: "waiting" | null) {
    const newest = Date.now();
    const rows = times(number, (index) =>
      jobValues(owner, {
        id: nextId--,
        createdAt: newest - index,
        expiresAt: 9e15,
        state: index % 3 === 2 ? "completed" : "created",
        specUuid: spec.uuid,
        nodeCount: 4,
        gang,
      }),
    );
    await insertRows(jobs, rows);
  }
  let nextId = -1;

  test("one customer: the 50 oldest jobs, the same rows of 300 jobs and of 6,000", async ({
    expect,
  }) => {
    const costs: number[] = [];
    for (const number of [300, 6_000]) {
      const [spec, owner] = [await createSpec({}, admin), await createPerson()];
      await jobsOf(owner, spec, number, null);
      const { facts, rowsRead, query, values } = await readFacts([spec]);
      expect(facts.jobs).toHaveLength(50);
      expect(facts.isCut).toBe(true);
      const created = facts.jobs.map(({ createdAt }) => createdAt);
      expect(created).toEqual(created.toSorted((a, b) => a - b));
      costs.push(rowsRead);
      const details = await planOf(query, values);
      expect(details).toContain("USING INDEX jobs_open_by_spec (spec_uuid=? AND customer_id=?");
      expect(details).not.toMatch(/SCAN jobs|SCAN j /);
    }
    console.info(`facts of one customer's jobs: ${costs} rows read`);
    expect(costs[1]).toBe(costs[0]);
    expect(costs[0]).toBeLessThanOrEqual(400);
  });

  test("a customer with 6,000 jobs hides nobody: 10 customers, their 50 oldest jobs each at most, 5 of gangs of one size", async ({
    expect,
  }) => {
    const costs: number[] = [];
    for (const number of [300, 6_000]) {
      const spec = await createSpec({}, admin);
      for (let n = 0; n < 4; n++) await createRunner([spec], admin);
      await jobsOf(await createPerson(), spec, number, "waiting");
      const others = await Promise.all(times(9, () => createPerson()));
      for (const other of others) await jobsOf(other, spec, 30, null);
      const { facts, rowsRead } = await readFacts([spec]);
      const found = Map.groupBy(facts.jobs, ({ customerId }) => customerId);
      expect([...found.values()].map((list) => list.length)).toEqual([...times(9, () => 20), 5]);
      costs.push(rowsRead);
    }
    console.info(`facts of ten customers' jobs: ${costs} rows read`);
    // The end of an index range may touch a neighbour: one for each customer.
    expect(Math.abs((costs[1] ?? 0) - (costs[0] ?? 0))).toBeLessThanOrEqual(10);
    expect(costs[0]).toBeLessThanOrEqual(1_600);
  });
});
