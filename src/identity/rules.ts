/**
 * Rules on the row that a request changes. They are tested by the statement that changes it, so that no
 * race gets between; the row as it was before says which one did not hold.
 */
import { and, type SQL, type SQLWrapper, sql } from "drizzle-orm";
import type { Precondition } from "../http/entity-tag.ts";
import { ApiError } from "../http/errors.ts";
import { isInVersion } from "../http/version-match.ts";
import { ANONYMOUS } from "./anonymous.ts";

export interface Rule {
  holds: SQL;
  refusal(): ApiError;
}

/** All of them hold. */
export function allHold(rules: readonly Rule[]): SQL | undefined {
  return and(...rules.map(({ holds }) => holds));
}

/** A column that says which rules hold, for `checkRules`. */
export function verdictOf(rules: readonly Rule[]) {
  const each = rules.map(({ holds }) => sql`((${holds}) is true)`);
  return sql<string>`json_array(${sql.join(each, sql`, `)})`.as("verdict");
}

/** Throws the refusal of the first rule that did not hold. */
export function checkRules(rules: readonly Rule[], verdict: string): void {
  const held: unknown[] = JSON.parse(verdict);
  const broken = rules.find((_rule, at) => held[at] !== 1);
  if (broken !== undefined) throw broken.refusal();
}

/** That the row is in a version that `If-Match` names; no rule where none was sent. */
export function versionRules(
  kind: string,
  row: { uuid: SQLWrapper; version: SQLWrapper },
  precondition: Precondition | null,
): Rule[] {
  const holds = isInVersion(row, precondition);
  if (holds === undefined) return [];
  const message = `The ${kind} has changed since the version you name; read it again`;
  return [{ holds, refusal: () => new ApiError("PRECONDITION_FAILED", message) }];
}

/** A rule of permission. */
export function permission(holds: SQL, message: string): Rule {
  return { holds, refusal: () => new ApiError("PERMISSION_DENIED", message) };
}

/** That a person or a customer is not the one that stands for everybody without an account. */
export function notAnonymous(table: { id: SQLWrapper }): Rule {
  return permission(
    sql`${table.id} <> ${ANONYMOUS.userId}`,
    "This stands for everybody without an account: nobody changes it",
  );
}

/**
 * That the customer of this id, if there is one, takes people: who belonged to that of jobs without an
 * account could see everybody's.
 */
export function takesPeople(customerId: SQLWrapper): Rule {
  return permission(
    sql`${customerId} is not ${ANONYMOUS.customerId}`,
    "Nobody belongs to the customer of jobs without an account",
  );
}
