import { and, eq, is, lte, SQL, sql } from "drizzle-orm";
import type { BatchItem, BatchResponse } from "drizzle-orm/batch";
import { HOUR_MS } from "../lib/clock.ts";
import type { Database } from "./client.ts";
import { insertFrom } from "./insert-from.ts";
import { idempotencyKeys } from "./schema.ts";

/** Repeats of a request are recognised for this long (docs/contract.md, "HTTP rules"). */
export const IDEMPOTENCY_KEY_LIFETIME_MS = 24 * HOUR_MS;

/** A caller's promise that all requests with this key are one request. */
export interface IdempotencyKey {
  /** The caller and the route, so that keys of different callers never meet. */
  scope: string;
  key: string;
  /** A hash of the request's content. */
  fingerprint: string;
  /** Reads the first request: a replica might not have it yet. */
  primary: Database;
}

export type Statements = readonly [BatchItem<"sqlite">, ...BatchItem<"sqlite">[]];

/**
 * The statements that reserve a key; none without a key. They go first into the batch that creates: a key used
 * before fails the whole batch with a unique violation, before any other rule can; see `isRepeat`.
 *
 * @param facts a repeat's reply is built from them. They are stored, so they hold no secret: an object, or an
 *   expression for its JSON where the database decides a part of it
 * @param from `from … where …` with at most one row: the key is reserved only if there is a row, and `facts`
 *   may use its columns. A key used before fails the batch even if the row is gone
 */
export function reserveKey(
  db: Database,
  idempotencyKey: IdempotencyKey | null,
  facts: object | SQL<string>,
  now: number,
  from?: SQL,
): BatchItem<"sqlite">[] {
  if (idempotencyKey === null) return [];
  const { scope, key, fingerprint } = idempotencyKey;
  const sameKey = and(eq(idempotencyKeys.scope, scope), eq(idempotencyKeys.key, key));
  const row = {
    scope,
    key,
    fingerprint,
    facts: is(facts, SQL) ? facts : JSON.stringify(facts),
    createdAt: now,
  };
  const clear = db
    .delete(idempotencyKeys)
    .where(and(sameKey, lte(idempotencyKeys.createdAt, now - IDEMPOTENCY_KEY_LIFETIME_MS)));
  if (from === undefined) return [clear, db.insert(idempotencyKeys).values(row)];
  const failRepeat = insertFrom(
    db,
    idempotencyKeys,
    { ...row, facts: "" },
    sql`from ${idempotencyKeys} where ${sameKey}`,
  );
  return [clear, failRepeat, insertFrom(db, idempotencyKeys, row, from)];
}

/** Runs a batch after the statements of `reserveKey`; answers the results of its own statements. */
export async function batchAfter<Batch extends Statements>(
  db: Database,
  reserved: readonly BatchItem<"sqlite">[],
  statements: Batch,
): Promise<BatchResponse<Batch>> {
  const all: BatchItem<"sqlite">[] = [...reserved, ...statements];
  // Not empty, since `statements` is not.
  const results: unknown[] = await db.batch(all as [BatchItem<"sqlite">, ...BatchItem<"sqlite">[]]);
  // A batch answers one result for each statement, in their order.
  return results.slice(reserved.length) as BatchResponse<Batch>;
}

/** The unique violation is that of a key used before. */
export function isRepeat(violatedColumns: string): boolean {
  return violatedColumns.includes("idempotency_keys.");
}

/** Reads the stored facts of the first request with this key. One round trip. */
export async function findFirstRequest({
  scope,
  key,
  primary,
}: IdempotencyKey): Promise<{ fingerprint: string; facts: unknown }> {
  const [first] = await primary
    .select({ fingerprint: idempotencyKeys.fingerprint, facts: idempotencyKeys.facts })
    .from(idempotencyKeys)
    .where(and(eq(idempotencyKeys.scope, scope), eq(idempotencyKeys.key, key)));
  if (first === undefined) throw new Error("A reserved idempotency key is gone");
  return { fingerprint: first.fingerprint, facts: JSON.parse(first.facts) };
}
