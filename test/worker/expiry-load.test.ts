/** 100,000 expired jobs: all settled after a bounded number of ticks, each within its budget. */
import { env } from "cloudflare:workers";
import { onTestFinished, test, vi } from "vitest";
import type { AppDeps } from "../../src/app.ts";
import { MINUTE_MS, SECOND_MS } from "../../src/lib/clock.ts";
import { readConfig } from "../../src/lib/config.ts";
import { runTick } from "../../src/maintenance/tick.ts";
import { createPerson } from "./harness.ts";

/** D1's own, and those with an object; at the head of the queue such that nobody can reach. */
const UNJOINED = 80_000;
const JOINED = 20_000;
const UNREACHABLE = 500;
const HANGING = 100;
/** What an invocation may do on the paid plan is 1,000 queries and 1,000 subrequests. */
const MAX_STATEMENTS = 200;
const MAX_SUBREQUESTS = 700;

const NOW = Date.UTC(2026, 0, 10);
const EXPIRED = NOW - 3_600_000;

async function fill(): Promise<void> {
  const owner = await createPerson();
  const step = 20_000;
  for (let from = 0; from < UNJOINED + JOINED; from += step) {
    await env.DB.prepare(
      `WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1 + ?2)
       INSERT INTO jobs (id, customer_id, user_id, name, node_count, sequence, tags, token_key_id, created_at,
         expires_at, state, flushed_at, coordinated, check_at)
       SELECT i * 512, ?3, ?4, 'job ' || i, 2, '[]', '[]', 'k', ?5 - 86400000, ?5 + i / 100,
         iif(i < ?6, 'running', 'created'), ?5 - 86400000, i < ?6, ?5 + i / 100 FROM n`,
    )
      .bind(from, step, owner.customerId, owner.id, EXPIRED, JOINED)
      .run();
  }
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
    } as unknown as D1PreparedStatement; // what the database handle uses of a statement
    inner.set(counted, statement);
    return counted;
  };
  const d1 = {
    prepare: (query: string) => wrap(env.DB.prepare(query)),
    batch: (statements: D1PreparedStatement[]) =>
      count(statements.length, () => env.DB.batch(statements.map((s) => inner.get(s) ?? s))),
  } as unknown as D1Database; // as above
  return { d1, counts };
}

test("100,000 expired jobs, hundreds of them out of reach", { timeout: 240_000 }, async ({
  expect,
}) => {
  vi.spyOn(console, "warn").mockImplementation(() => {});
  // What hangs is given up: its time-out is over at once.
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
  } as unknown as AppDeps["coordinators"]; // what the client uses of a namespace

  const open = async () => {
    const row = await env.DB.prepare(
      "SELECT count(*) AS n FROM jobs WHERE check_at IS NOT NULL AND id >= ?",
    )
      .bind(UNREACHABLE * 512)
      .first<{ n: number }>();
    return row?.n ?? 0;
  };
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
      config: readConfig(env),
      clock: { now: () => at },
    });
    ticks++;
    expect(hops, `tick ${ticks}`).toBeLessThanOrEqual(500);
    most.statements = Math.max(most.statements, counts.statements);
    most.calls = Math.max(most.calls, counts.trips + hops);
    expect(counts.statements, `tick ${ticks}`).toBeLessThanOrEqual(MAX_STATEMENTS);
    expect(counts.trips + hops, `tick ${ticks}`).toBeLessThanOrEqual(MAX_SUBREQUESTS);
    await env.DB.prepare(
      `UPDATE jobs SET state = 'aborted', ended_at = ?2, version = version + 1, check_at = NULL
       WHERE id IN (SELECT value FROM json_each(?1))`,
    )
      .bind(JSON.stringify(answered), at)
      .run();
    answered = [];
    hops = 0;
  }
  console.info(
    `${UNJOINED + JOINED} jobs in ${ticks} ticks of at most ${most.statements} D1 statements and ${most.calls} calls`,
  );
  expect(await open()).toBe(0);
  const { results } = await env.DB.prepare(
    `SELECT coordinated, state, version, count(*) AS n FROM jobs WHERE name LIKE 'job %' GROUP BY 1, 2, 3 ORDER BY 1, 2`,
  ).all();
  expect(results).toEqual([
    { coordinated: 0, state: "aborted", version: 1, n: UNJOINED },
    { coordinated: 1, state: "aborted", version: 1, n: JOINED - UNREACHABLE },
    { coordinated: 1, state: "running", version: 0, n: UNREACHABLE },
  ]);
  const counted = await env.DB.prepare(
    "SELECT state, jobs FROM job_counts WHERE scope = 'all' AND jobs > 0 ORDER BY state",
  ).all();
  expect(counted.results).toEqual([
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
