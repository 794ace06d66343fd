/** 100,000 expired jobs: all settled after a bounded number of ticks, each within its budget. */
import { env } from "cloudflare:workers";
import { and, count, gte, isNotNull, like, sql } from "drizzle-orm";
import { onTestFinished, test, vi } from "vitest";
import { jobs } from "../../../src/db/schema.ts";
import { DAY_MS, MINUTE_MS, SECOND_MS } from "../../../src/lib/clock.ts";
import { readConfig } from "../../../src/lib/config.ts";
import { runTick } from "../../../src/maintenance/tick.ts";
import type { ServiceDeps } from "../../../src/services.ts";
import { patient } from "../../patience.ts";
import { createPerson } from "../harness/factories.ts";
import { countOf, db, insertRows, jobCountsOf, jobValues, times } from "../harness/rows.ts";

/** D1's own, and those with an object; at the head of the queue such that nobody can reach. */
const UNJOINED = 80_000;
const JOINED = 20_000;
const UNREACHABLE = 500;
const HANGING = 100;
/** On the paid plan an invocation may make 1,000 queries and 1,000 subrequests. */
const MAX_STATEMENTS = 250;
const MAX_SUBREQUESTS = 700;

const NOW = Date.UTC(2026, 0, 10);
const EXPIRED = NOW - 3_600_000;

async function fill(): Promise<void> {
  const owner = await createPerson();
  const expired = times(UNJOINED + JOINED, (number) => {
    const dueAt = EXPIRED + Math.floor(number / 100);
    return jobValues(owner, {
      id: number * 512,
      name: `job ${number}`,
      nodeCount: 2,
      createdAt: EXPIRED - DAY_MS,
      expiresAt: dueAt,
      state: number < JOINED ? "running" : "created",
      flushedAt: EXPIRED - DAY_MS,
      coordinated: number < JOINED,
      checkAt: dueAt,
    });
  });
  await insertRows(jobs, expired);
}

/** D1 that counts what is asked of it. */
function counting(): { d1: D1Database; counts: { statements: number; trips: number } } {
  const counts = { statements: 0, trips: 0 };
  const inner = new WeakMap<object, D1PreparedStatement>();
  const count = <T>(statements: number, call: () => T): T => {
    counts.statements += statements;
    counts.trips++;
    return call();
  };
  const wrap = (statement: D1PreparedStatement): D1PreparedStatement => {
    const counted = {
      bind: (...values: unknown[]) => wrap(statement.bind(...values)),
      all: () => count(1, () => statement.all()),
      run: () => count(1, () => statement.run()),
      raw: () => count(1, () => statement.raw()),
    } as unknown as D1PreparedStatement; // has all of a statement that the database handle uses
    inner.set(counted, statement);
    return counted;
  };
  const d1 = {
    prepare: (query: string) => wrap(env.DB.prepare(query)),
    batch: (statements: D1PreparedStatement[]) =>
      count(statements.length, () => env.DB.batch(statements.map((s) => inner.get(s) ?? s))),
  } as unknown as D1Database; // has all of a database that the application uses
  return { d1, counts };
}

test("100,000 expired jobs, hundreds of them out of reach", {
  timeout: patient(1_200_000),
}, async ({ expect }) => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  // Hanging calls are given up: their time-out is over at once.
  const wait = globalThis.setTimeout;
  const now = vi.spyOn(globalThis, "setTimeout");
  now.mockImplementation(((done: () => void, ms: number) =>
    wait(done, ms === 5 * SECOND_MS ? 20 : ms)) as typeof setTimeout);
  onTestFinished(() => void vi.restoreAllMocks());
  await fill();

  const asked = new Map<number, number>();
  let answered: number[] = [];
  let hops = 0;
  /** Objects that settle when they are asked, and whose flush comes after it. */
  const coordinators = {
    idFromName: (name: string) => ({ name }),
    get: ({ name }: { name: string }) => ({
      reconcile: async (jobId: number) => {
        asked.set(jobId, (asked.get(jobId) ?? 0) + 1);
        hops++;
        const rank = Number(name) / 512;
        if (rank < HANGING) return new Promise(() => {});
        if (rank < UNREACHABLE) throw new Error("Network connection lost.");
        answered.push(jobId);
        return { ok: true, version: 1, wasBehind: false };
      },
    }),
  } as unknown as ServiceDeps["coordinators"]; // has all of a namespace that the client uses

  const open = () => countOf(jobs, and(isNotNull(jobs.checkAt), gte(jobs.id, UNREACHABLE * 512)));
  let ticks = 0;
  const most = { statements: 0, calls: 0 };
  // Those out of reach come again only after all others: they cost nobody a turn.
  const MAX_TICKS = Math.ceil(JOINED / 500);
  while (ticks < MAX_TICKS && (ticks < UNJOINED / 5_000 || (await open()) > 0)) {
    const { d1, counts } = counting();
    const at = NOW + ticks * MINUTE_MS;
    await runTick({
      d1,
      bucket: env.BUCKET,
      coordinators,
      assets: env.ASSETS,
      lobbies: env.LOBBY,
      config: readConfig(env),
      clock: { now: () => at },
    });
    ticks++;
    expect(hops, `tick ${ticks}`).toBeLessThanOrEqual(500);
    most.statements = Math.max(most.statements, counts.statements);
    most.calls = Math.max(most.calls, counts.trips + hops);
    expect(counts.statements, `tick ${ticks}`).toBeLessThanOrEqual(MAX_STATEMENTS);
    expect(counts.trips + hops, `tick ${ticks}`).toBeLessThanOrEqual(MAX_SUBREQUESTS);
    await db
      .update(jobs)
      .set({ state: "aborted", endedAt: at, version: sql`${jobs.version} + 1`, checkAt: null })
      .where(sql`${jobs.id} in (select value from json_each(${JSON.stringify(answered)}))`);
    answered = [];
    hops = 0;
  }
  console.info(
    `${UNJOINED + JOINED} jobs in ${ticks} ticks of at most ${most.statements} D1 statements and ${most.calls} calls`,
  );
  expect(await open()).toBe(0);
  const { coordinated, state, version } = jobs;
  const settled = await db
    .select({ coordinated, state, version, jobs: count() })
    .from(jobs)
    .where(like(jobs.name, "job %"))
    .groupBy(coordinated, state, version)
    .orderBy(coordinated, state);
  expect(settled).toEqual([
    { coordinated: false, state: "aborted", version: 1, jobs: UNJOINED },
    { coordinated: true, state: "aborted", version: 1, jobs: JOINED - UNREACHABLE },
    { coordinated: true, state: "running", version: 0, jobs: UNREACHABLE },
  ]);
  const counted = await jobCountsOf("all");
  expect(counted.filter(({ jobs }) => jobs > 0)).toEqual([
    { state: "aborted", jobs: UNJOINED + JOINED - UNREACHABLE },
    { state: "running", jobs: UNREACHABLE },
  ]);
  for (const [jobId, times] of asked) {
    // The unreachable come again after ten minutes, the others never.
    const most = jobId / 512 < UNREACHABLE ? Math.ceil(ticks / 10) : 1;
    expect(times, `job ${jobId}`).toBeLessThanOrEqual(most);
  }
  expect(asked.size).toBe(JOINED);
});
