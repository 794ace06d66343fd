import { sql } from "drizzle-orm";
import { type DrizzleD1Database, drizzle } from "drizzle-orm/d1";
import { retryPlatformCall, withTimeout } from "../lib/retry.ts";

/** D1 can hang: bounds every query. */
const QUERY_TIMEOUT_MS = 10_000;

/** Costs of one request. Tests assert these counts exactly; the request log shows them. */
export interface Meter {
  d1RoundTrips: number;
  objectHops: number;
  r2Calls: number;
}

export function createMeter(): Meter {
  return { d1RoundTrips: 0, objectHops: 0, r2Calls: 0 };
}

/** drizzle, with the client that it sends statements by. */
export type Database = DrizzleD1Database & { $client: D1Database };

/** The part of a D1 database or session that drizzle uses. */
type D1Like = Pick<D1Database, "prepare" | "batch">;

/** Attempts of a read. A write is tried once, since a failed attempt may have been committed. */
const READ_ATTEMPTS = 3;
const READS = /^\s*(?:select|with)\b/i;
const WRITES = /\b(?:insert|update|delete|replace)\b/i;

interface Statement {
  statement: D1PreparedStatement;
  isRead: boolean;
}

/**
 * A drizzle database whose every round trip is counted in `meter` and bounded in time. Reads that fail on the
 * platform's side are repeated; writes are not.
 */
export function openDatabase(d1: D1Like, meter: Meter): Database {
  const trip = <T>(isRead: boolean, call: () => Promise<T>): Promise<T> => {
    const attempt = () => {
      meter.d1RoundTrips++;
      return withTimeout(call(), QUERY_TIMEOUT_MS, "D1 query");
    };
    return isRead ? retryPlatformCall(attempt, { attempts: READ_ATTEMPTS }) : attempt();
  };
  const inner = new WeakMap<object, Statement>();
  const wrap = (statement: D1PreparedStatement, isRead: boolean) => {
    const metered = {
      bind: (...values: unknown[]) => wrap(statement.bind(...values), isRead),
      run: () => trip(isRead, () => statement.run()),
      all: () => trip(isRead, () => statement.all()),
      raw: () => trip(isRead, () => statement.raw()),
    };
    inner.set(metered, { statement, isRead });
    return metered;
  };
  const client = {
    prepare: (query: string) => wrap(d1.prepare(query), READS.test(query) && !WRITES.test(query)),
    batch: (statements: object[]) => {
      const inners = statements.map((statement) => inner.get(statement) ?? unknownStatement());
      return trip(
        inners.every(({ isRead }) => isRead),
        () => d1.batch(inners.map(({ statement }) => statement)),
      );
    },
  };
  // drizzle calls nothing but prepare, bind, run, all, raw and batch (drizzle-orm/d1/session.js).
  return drizzle(client as unknown as D1Database);
}

function unknownStatement(): never {
  throw new TypeError("A batch takes only statements prepared by the same database");
}

/** Throws unless the database answers. One round trip. */
export async function ping(db: Database): Promise<void> {
  await db.run(sql`SELECT 1`);
}

/** A request's two connections to the database, each opened on first use: many requests need none. */
export class Databases {
  readonly #d1: D1Database;
  readonly #meter: Meter;
  readonly #bookmark: string | null;
  #d1Session: D1DatabaseSession | undefined;
  #session: Database | undefined;
  #primary: Database | undefined;

  constructor(d1: D1Database, meter: Meter, bookmark: string | null) {
    this.#d1 = d1;
    this.#meter = meter;
    this.#bookmark = bookmark;
  }

  /** Sees the client's own earlier writes: follows the bookmark that the client sent. */
  get session(): Database {
    this.#d1Session ??= this.#d1.withSession(this.#bookmark ?? "first-primary");
    this.#session ??= openDatabase(this.#d1Session, this.#meter);
    return this.#session;
  }

  /** Always reads the primary: for callers, roles and keys. */
  get primary(): Database {
    this.#primary ??= openDatabase(this.#d1, this.#meter);
    return this.#primary;
  }

  /** The session's present bookmark; null when the session was not used. */
  bookmark(): string | null {
    return this.#d1Session?.getBookmark() ?? null;
  }
}
