/** Instruments: they wait for background work, count the cost of a request, and move the clock. */
import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { onTestFinished, vi } from "vitest";
import { DAY_MS, systemClock } from "../../../src/lib/clock.ts";
import { detail, type Json, poll, type Reply } from "./client.ts";
import "./loaded.ts";
import { jobRow } from "./rows.ts";
import { eventually } from "./time.ts";

export function coordinatorOf(job: { id: string }) {
  return env.COORDINATOR.get(env.COORDINATOR.idFromName(job.id));
}

/**
 * Waits until D1 has the job's current version and its object knows so, and until the bodies of an ended job are in R2;
 * the object does all of it on its own.
 */
export async function flushed(job: { id: string; token: string }): Promise<void> {
  const { version } = (await poll(job)).body;
  await eventually(async () => {
    const row = await jobRow(job);
    if (row.version !== version) throw new Error(`D1 has version ${row.version}, not ${version}`);
    // No row before the first contact, nor after the object's storage is deleted.
    const acknowledged = await runInDurableObject(
      coordinatorOf(job),
      (_object, { storage }) =>
        storage.sql
          .exec<{ flushed_version: number }>("SELECT flushed_version FROM job")
          .toArray()[0],
    );
    if (acknowledged !== undefined && acknowledged.flushed_version < version)
      throw new Error(`the object has heard of version ${acknowledged.flushed_version} alone`);
    if (row.coordinated && row.endedAt !== null && row.bodyBytes === null)
      throw new Error("the bodies are not in R2");
  });
}

/** R2 refuses every report, until the spy is restored; what jobs have sent it takes. */
export function refuseReports() {
  const put = env.BUCKET.put.bind(env.BUCKET);
  return vi.spyOn(env.BUCKET, "put").mockImplementation((async (
    ...args: Parameters<R2Bucket["put"]>
  ) => {
    if (args[0].startsWith("reports/")) throw new Error("R2 is away");
    return put(...args);
  }) as R2Bucket["put"]); // one of its overloads
}

/** Waits until a settled job has been rated, or found to have nothing to rate. */
export async function rated(job: { id: string }): Promise<void> {
  await eventually(async () => {
    const row = await jobRow(job);
    if (row.ratedAt === null) throw new Error("not rated yet");
  });
}

/** Waits until a settled job has its reports. Returns the job's detail. */
export async function reported(job: Parameters<typeof detail>[0]): Promise<Reply<Json>> {
  await eventually(async () => {
    const row = await jobRow(job);
    if (row.reportHash === null) throw new Error("not reported yet");
  });
  return detail(job);
}

/** D1 by a binding of the caller's own: objects of other tests' jobs do not use it. */
export function ownD1(): D1Database {
  return {
    prepare: (query) => env.DB.prepare(query),
    batch: (statements) => env.DB.batch(statements),
    exec: (query) => env.DB.exec(query),
    withSession: (bookmark) => env.DB.withSession(bookmark),
    dump: () => env.DB.dump(),
  };
}

/** Carries out a batch of D1. */
type RunBatch = () => Promise<D1Result[]>;

/**
 * Puts a function in the place of each batch that concerns a job, until the test ends. All other batches
 * run as ever: objects of other tests' jobs may still rate and report them.
 *
 * @returns the function as a mock, which counts those batches; `restore` ends it before the test does
 */
export function onBatchesOf(
  job: { id: string },
  act: (run: RunBatch) => Promise<D1Result[]> = (run) => run(),
) {
  const first = Number(job.id);
  const prepare = env.DB.prepare.bind(env.DB);
  const batch = env.DB.batch.bind(env.DB);
  const own = new WeakSet<D1PreparedStatement>();
  const acted = vi.fn(act);
  const preparing = vi.spyOn(env.DB, "prepare").mockImplementation((query) => {
    const statement = prepare(query);
    const bind = statement.bind.bind(statement);
    statement.bind = (...values: unknown[]) => {
      const bound = bind(...values);
      // A job's tasks are the ids after its own.
      const isOwn = values.some(
        (value) => typeof value === "number" && value >= first && value <= first + 511,
      );
      if (isOwn) own.add(bound);
      return bound;
    };
    return statement;
  });
  const batching = vi.spyOn(env.DB, "batch").mockImplementation(async (statements) => {
    const run = () => batch(statements);
    const isOwn = statements.some((statement) => own.has(statement));
    // A batch of D1 is of one type of rows to the caller alone.
    return (await (isOwn ? acted(run) : run())) as never;
  });
  const restore = () => {
    preparing.mockRestore();
    batching.mockRestore();
  };
  onTestFinished(restore);
  return { batches: acted, restore };
}

/** The cost of a request, from its log line. */
export interface Cost {
  route: string;
  status: number;
  d1_round_trips: number;
  object_hops: number;
  r2_calls: number;
}

/** Runs a call and reads the request log: the Worker and its tests share one console. */
export async function costOf(run: () => Promise<unknown>): Promise<Cost> {
  const lines: Cost[] = [];
  const spy = vi.spyOn(console, "log").mockImplementation((line: string) => {
    lines.push(JSON.parse(line));
  });
  try {
    await run();
  } finally {
    spy.mockRestore();
  }
  const [line, ...more] = lines;
  if (line === undefined || more.length > 0)
    throw new Error(`expected one log line, got ${lines.length}`);
  return line;
}

/** D1's work for a call, per statement. */
export interface Traffic<T> {
  reply: T;
  /** Rows read. */
  read: number[];
  /** Rows written, including those of indexes and triggers. */
  written: number[];
  statements: { query: string; values: unknown[] }[];
}

interface Noted {
  statement: D1PreparedStatement;
  query: string;
  values: unknown[];
}

/** Runs a call and tells what D1 has done for it. */
export async function rowsReadBy<T>(run: () => Promise<T>): Promise<Traffic<T>> {
  const withSession = env.DB.withSession.bind(env.DB);
  const traffic: Omit<Traffic<T>, "reply"> = { read: [], written: [], statements: [] };
  const inner = new Map<D1PreparedStatement, Noted>();
  const note = (noted: Noted | undefined, { meta }: D1Result) => {
    traffic.read.push(meta.rows_read);
    traffic.written.push(meta.rows_written);
    if (noted === undefined) return;
    traffic.statements.push({ query: noted.query, values: noted.values });
  };
  const noting = (statement: D1PreparedStatement, query: string, values: unknown[]) => {
    // The calls that drizzle makes on its own, outside a batch.
    const noted = {
      bind: (...bound: unknown[]) => noting(statement.bind(...bound), query, bound),
      raw: async () => {
        const rows = await statement.raw();
        // Raw rows come without their cost: a statement that changes nothing is run once more for it.
        if (/^\s*(?:select|with)\b/i.test(query)) {
          note({ statement, query, values }, await statement.all());
        }
        return rows;
      },
      run: () => statement.run(),
      all: async () => {
        const result = await statement.all();
        note({ statement, query, values }, result);
        return result;
      },
    } as unknown as D1PreparedStatement;
    inner.set(noted, { statement, query, values });
    return noted;
  };
  const spy = vi.spyOn(env.DB, "withSession").mockImplementation((bookmark) => {
    const real = withSession(bookmark);
    return {
      prepare: (query: string) => noting(real.prepare(query), query, []),
      getBookmark: () => real.getBookmark(),
      batch: async <Row>(batch: D1PreparedStatement[]) => {
        const known = batch.map((each) => inner.get(each));
        const results = await real.batch<Row>(
          batch.map((each, at) => known[at]?.statement ?? each),
        );
        for (const [at, result] of results.entries()) note(known[at], result);
        return results;
      },
    } satisfies D1DatabaseSession;
  });
  try {
    return { reply: await run(), ...traffic };
  } finally {
    spy.mockRestore();
  }
}

/** SQLite's plan of each statement, one line a step. */
export async function plansOf({ statements }: Pick<Traffic<unknown>, "statements">) {
  const plans: string[] = [];
  for (const { query, values } of statements) plans.push(await planOf(query, values));
  return plans;
}

/** SQLite's plan of a statement, one line a step. */
export async function planOf(query: string, values: unknown[] = []): Promise<string> {
  const explained = env.DB.prepare(`EXPLAIN QUERY PLAN ${query}`).bind(...values);
  const { results } = await explained.all<{ detail: string }>();
  return results.map(({ detail }) => detail).join("\n");
}

/**
 * A time to which a test may set the server's clock: alarms that are set then never fire by themselves,
 * since the platform goes by the machine's clock.
 */
export function farAhead(): number {
  return Date.now() + 400 * DAY_MS;
}

/** The server's clock, to be set as the test likes, until it ends. */
export function travel(): { to: (ms: number) => void } {
  const clock = vi.spyOn(systemClock, "now");
  onTestFinished(() => clock.mockRestore());
  return { to: (ms) => clock.mockReturnValue(ms) };
}
