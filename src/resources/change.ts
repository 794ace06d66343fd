/** Changes of resources: only if all rules hold, with an entry in the audit log, in one batch. */
import { and, type SQL, sql } from "drizzle-orm";
import type { BatchResponse } from "drizzle-orm/batch";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";
import type { Database } from "../db/client.ts";
import { uniqueViolation } from "../db/errors.ts";
import { batchAfter, type IdempotencyKey, reserveKey, type Statements } from "../db/idempotency.ts";
import { ApiError } from "../http/errors.ts";
import { type AuditContext, type AuditEvent, auditOfRows } from "./audit.ts";
import { allHold, checkRules, type Rule, ruleResults } from "./rules.ts";

export interface Change {
  /** The table of the row that is changed, or that decides the change. */
  table: SQLiteTable;
  /** Matches that row, at most one. */
  target: SQL | undefined;
  /** The refusal when no row matches. */
  missing(): ApiError;
  rules: readonly Rule[];
  event: AuditEvent;
  audit: AuditContext;
  /** For a request that may be repeated: its key, and the facts that `createOnce` replays. */
  once?: { key: IdempotencyKey | null; facts: SQL<string> };
}

/**
 * Runs the statements of a change, which must change nothing unless all rules hold; throws the refusal of the
 * first rule that does not. One batch, one round trip. Fails on a key used before: see `uniqueViolation`.
 *
 * @param statements made from the condition that the row matches and all rules hold. A statement sees the
 *   changes of those before it, so the last one changes the columns that rules read
 * @returns the results of the statements
 */
export async function changeIf<Batch extends Statements>(
  db: Database,
  { table, target, missing, rules, event, audit, once }: Change,
  statements: (allowed: SQL | undefined, from: SQL) => Batch,
): Promise<BatchResponse<Batch>> {
  const allowed = and(target, allHold(rules));
  const from = sql`from ${table} where ${allowed}`;
  const reserved = once === undefined ? [] : reserveKey(db, once.key, once.facts, audit.now, from);
  const before = db
    .select({ ruleResults: ruleResults(rules) })
    .from(table)
    .where(target);
  const [rows, , ...results] = await batchAfter(db, reserved, [
    before,
    auditOfRows(db, event, audit, from),
    ...statements(allowed, from),
  ]);
  const [row] = rows;
  if (row === undefined) throw missing();
  checkRules(rules, row.ruleResults);
  return results as BatchResponse<Batch>; // the results of `statements`, in their order
}

/** The row that a statement has stored. */
export function storedRow<Row>([row]: readonly Row[]): Row {
  if (row === undefined) throw new Error("A statement that had to store a row stored none");
  return row;
}

/** The names of the fields that a request sets, for the audit log. */
export function fieldsOf(changes: object): string[] {
  return Object.entries(changes).flatMap(([field, value]) => (value === undefined ? [] : [field]));
}

/** Runs an update whose only unique column is the slug; refuses a slug that is taken. */
export async function refuseTakenSlug<Row>(
  kind: string,
  slug: string | undefined,
  update: () => Promise<Row>,
): Promise<Row> {
  try {
    return await update();
  } catch (error) {
    if (uniqueViolation(error) === null) throw error;
    throw slugTaken(kind, slug ?? "");
  }
}

export function slugTaken(kind: string, slug: string): ApiError {
  return new ApiError("RESOURCE_ALREADY_EXISTS", `${kind} with slug '${slug}' already exists`);
}
