/**
 * Rules on the row that a request changes. The statement that changes the row tests them, so that no other
 * request comes between; the row as it was before shows the rules that did not hold.
 */
import { and, type SQL, type SQLWrapper, sql } from "drizzle-orm";
import { inVersion, type Precondition } from "../db/versions.ts";
import { ApiError } from "../http/errors.ts";

export interface Rule {
  /** A condition on the row; null counts as false. */
  holds: SQL;
  refusal(): ApiError;
}

/** The condition that all rules hold. */
export function allHold(rules: readonly Rule[]): SQL | undefined {
  return and(...rules.map(({ holds }) => holds));
}

/** A column with the result of each rule, for `checkRules`: a JSON array of 0 and 1. */
export function ruleResults(rules: readonly Rule[]) {
  const each = rules.map(({ holds }) => sql`((${holds}) is true)`);
  return sql<string>`json_array(${sql.join(each, sql`, `)})`.as("rule_results");
}

/** Throws the refusal of the first rule that did not hold. */
export function checkRules(rules: readonly Rule[], ruleResults: string): void {
  const results: unknown[] = JSON.parse(ruleResults);
  const broken = rules.find((_rule, at) => results[at] !== 1);
  if (broken !== undefined) throw broken.refusal();
}

/** The row is in a version that `If-Match` names. */
export function versionRule(
  kind: string,
  row: { uuid: SQLWrapper; version: SQLWrapper },
  precondition: Precondition | null,
): Rule {
  return { holds: inVersion(row, precondition), refusal: () => changedSince(kind) };
}

/** The 412 for a resource in another version than `If-Match` names. */
export function changedSince(kind: string): ApiError {
  const message = `The ${kind} has changed since the version you name; read it again`;
  return new ApiError("PRECONDITION_FAILED", message);
}

/** A rule that answers `PERMISSION_DENIED`. */
export function permission(holds: SQL, message: string): Rule {
  return { holds, refusal: () => new ApiError("PERMISSION_DENIED", message) };
}
