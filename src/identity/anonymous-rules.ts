/** Rules that protect the person and the customer that own jobs without an account. */
import { type SQLWrapper, sql } from "drizzle-orm";
import { permission, type Rule } from "../resources/rules.ts";
import { ANONYMOUS } from "./anonymous.ts";

/** The row is not the person, or the customer, that owns jobs without an account. */
export function notAnonymous(table: { id: SQLWrapper }): Rule {
  return permission(
    sql`${table.id} <> ${ANONYMOUS.userId}`,
    "The owner of jobs without an account cannot be changed",
  );
}

/**
 * The customer can have people. The customer of jobs without an account cannot: its people could see all of
 * these jobs.
 */
export function takesPeople(customerId: SQLWrapper): Rule {
  return permission(
    sql`${customerId} is not ${ANONYMOUS.customerId}`,
    "The customer of jobs without an account cannot have people",
  );
}
