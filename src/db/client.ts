import { sql } from "drizzle-orm";
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import { withTimeout } from "../lib/retry.ts";

/** D1 can hang (pitfalls of the platform): no query may outlive this. */
const QUERY_TIMEOUT_MS = 10_000;

/** What one request cost. Tests assert these counts exactly; the request log shows them. */
export interface Meter {
  d1RoundTrips: number;
  objectHops: number;
}

export function createMeter(): Meter {
  return { d1RoundTrips: 0, objectHops: 0 };
}

export type Database = DrizzleD1Database;

/** What drizzle uses of a D1 database or of a D1 session. */
type D1Like = Pick<D1Database, "prepare" | "batch">;

/** A drizzle database whose every round trip is counted in `meter` and bounded in time. */
export function openDatabase(d1: D1Like, meter: Meter): Database {
  const trip = <T>(call: () => Promise<T>): Promise<T> => {
    meter.d1RoundTrips++;
    return withTimeout(call(), QUERY_TIMEOUT_MS, "D1 query");
  };
  const inner = new WeakMap<object, D1PreparedStatement>();
  const wrap = (statement: D1PreparedStatement) => {
    const metered = {
      bind: (...values: unknown[]) => wrap(statement.bind(...values)),
      run: () => trip(() => statement.run()),
      all: () => trip(() => statement.all()),
      raw: () => trip(() => statement.raw()),
    };
    inner.set(metered, statement);
    return metered;
  };
  const client = {
    prepare: (query: string) => wrap(d1.prepare(query)),
    batch: (statements: object[]) =>
      trip(() =>
        d1.batch(statements.map((statement) => inner.get(statement) ?? unknownStatement())),
      ),
  };
  // drizzle calls nothing but prepare, bind, run, all, raw and batch (drizzle-orm/d1/session.js).
  return drizzle(client as unknown as D1Database);
}

function unknownStatement(): never {
  throw new TypeError("A batch takes only statements prepared by the same database");
}

/** One read, one round trip: does the database answer? */
export async function ping(db: Database): Promise<void> {
  await db.run(sql`SELECT 1`);
}
