import { createHash } from "node:crypto";
import { and, eq, is, lte, SQL, sql } from "drizzle-orm";
import type { BatchItem, BatchResponse } from "drizzle-orm/batch";
import type { Context } from "hono";
import { routePath } from "hono/route";
import type { Database } from "../db/client.ts";
import { idempotencyKeys } from "../db/schema.ts";
import { HOUR_MS } from "../lib/clock.ts";
import { canonicalJson } from "../lib/json.ts";
import type { RequestEnv } from "./context.ts";
import { ApiError, invalidField } from "./errors.ts";

/** How long a repeat is known for one (contract §2). */
export const IDEMPOTENCY_KEPT_MS = 24 * HOUR_MS;
const VISIBLE = /^[\x21-\x7e]{1,255}$/;

/** A caller's word that requests with this key are one request. */
export interface IdempotencyClaim {
  /** The caller and the route: keys of others never meet. */
  scope: string;
  key: string;
  /** Of the request's content. */
  fingerprint: string;
  /** Where the first request is read: a replica might not have it yet. */
  primary: Database;
}

/** Reads `Idempotency-Key` of an authenticated POST that creates; null when none was sent. */
export function readIdempotencyKey<Env extends RequestEnv>(
  c: Context<Env>,
  body: unknown,
): IdempotencyClaim | null {
  const key = c.req.header("idempotency-key");
  if (key === undefined) return null;
  if (!VISIBLE.test(key)) {
    throw invalidField(
      "Idempotency-Key",
      "Idempotency-Key must be 1 to 255 visible ASCII characters",
    );
  }
  const principal = c.get("principal");
  return {
    scope: `${principal?.kind}:${principal?.id} ${c.req.method} ${routePath(c)}`,
    key,
    fingerprint: createHash("sha256").update(canonicalJson(body)).digest("base64url"),
    primary: c.get("databases").primary,
  };
}

/**
 * Statements that go first into the batch that creates: a key used before fails the whole batch with a
 * unique violation of `idempotency_keys`, before any other rule can; see `isRepeat`.
 *
 * @param facts what the reply is built from again, never a secret: an object, or an expression for its
 *   JSON where the database decides a part of it
 */
export function claimStatements(
  db: Database,
  claim: IdempotencyClaim,
  facts: object | SQL<string>,
  now: number,
) {
  const { scope, key, fingerprint } = claim;
  const expired = and(
    eq(idempotencyKeys.scope, scope),
    eq(idempotencyKeys.key, key),
    lte(idempotencyKeys.createdAt, now - IDEMPOTENCY_KEPT_MS),
  );
  return [
    db.delete(idempotencyKeys).where(expired),
    db.insert(idempotencyKeys).values({
      ...{ scope, key, fingerprint },
      facts: is(facts, SQL) ? facts : JSON.stringify(facts),
      createdAt: now,
    }),
  ] as const;
}

/**
 * As `claimStatements`, where what is created depends on rows: the key is taken only if `from` has one.
 * A key used before fails the batch whether it has or not: what the first request found may be gone.
 *
 * @param from `from … where …`, with one row at most; `facts` may use its columns
 */
export function claimFrom(
  db: Database,
  claim: IdempotencyClaim,
  facts: SQL<string>,
  now: number,
  from: SQL,
) {
  const { scope, key, fingerprint } = claim;
  const [clear] = claimStatements(db, claim, facts, now);
  const repeat = sql`where exists (select 1 from ${idempotencyKeys} where ${idempotencyKeys.scope} = ${scope} and ${idempotencyKeys.key} = ${key})`;
  return [
    clear,
    db
      .insert(idempotencyKeys)
      .select(
        sql`select ${scope}, ${key}, ${fingerprint}, ${facts}, ${now} ${from} union all select ${scope}, ${key}, ${fingerprint}, '', ${now} ${repeat}`,
      ),
  ] as const;
}

type Statements = readonly [BatchItem<"sqlite">, ...BatchItem<"sqlite">[]];

/** A batch behind the statements of a claim, if there is one; answers what its own statements did. */
export async function batchOnce<Batch extends Statements>(
  db: Database,
  claimed: readonly [BatchItem<"sqlite">, BatchItem<"sqlite">] | null,
  statements: Batch,
): Promise<BatchResponse<Batch>> {
  if (claimed === null) return db.batch(statements);
  const [, , ...own] = await db.batch([...claimed, ...statements]);
  return own as BatchResponse<Batch>; // one result for each statement, in their order
}

/** Whether a unique violation means that the key was used before. */
export function isRepeat(violatedColumns: string): boolean {
  return violatedColumns.includes("idempotency_keys.");
}

/** The facts stored with the first request. Throws 422 when that one had another content. One round trip. */
export async function findFirst(claim: IdempotencyClaim): Promise<unknown> {
  const { scope, key, fingerprint, primary } = claim;
  const [first] = await primary
    .select()
    .from(idempotencyKeys)
    .where(and(eq(idempotencyKeys.scope, scope), eq(idempotencyKeys.key, key)));
  if (first === undefined) throw new Error("An idempotency key that was taken is gone");
  if (first.fingerprint !== fingerprint) {
    const message = "This Idempotency-Key was used before for another request; use a new one";
    throw new ApiError("IDEMPOTENCY_KEY_REUSED", message);
  }
  return JSON.parse(first.facts);
}
