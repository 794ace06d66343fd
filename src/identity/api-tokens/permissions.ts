/** Permissions on API tokens: conditions and rules on the owner's row of `users`. */
import { and, type SQL, sql } from "drizzle-orm";
import { apiTokens, sessions, users } from "../../db/schema.ts";
import { ApiError, notFound, unauthorized } from "../../http/errors.ts";
import { nameOf, type Reference } from "../../lib/references.ts";
import { permission, type Rule } from "../../resources/rules.ts";
import type { Actor } from "../actor.ts";
import { livePerson, managedRoleFilter, selfFilter, visiblePerson } from "../people/permissions.ts";

const MAX_TOKENS = 100;

function isManager({ role }: Actor): boolean {
  return role === "root_admin" || role === "customer_admin";
}

/** Matches the owner that a reference names: administrators reach the people they see, others only themselves. */
export function ownerFilter(actor: Actor, reference: Reference): SQL | undefined {
  return isManager(actor)
    ? visiblePerson(actor, reference)
    : and(livePerson(actor, reference), selfFilter(actor));
}

/** The refusal where `ownerFilter` matches nobody; callers other than administrators learn nothing from it. */
export function unseenOwner(actor: Actor, reference: Reference): ApiError {
  return isManager(actor)
    ? notFound("User", nameOf(reference))
    : new ApiError("PERMISSION_DENIED", "Only administrators can do this for others");
}

/** People revoke their own tokens, administrators those of the people they manage. */
export function revocationRule(actor: Actor): Rule {
  return permission(
    sql`(${selfFilter(actor)} or ${managedRoleFilter(actor)})`,
    "The person's role is higher than yours",
  );
}

/**
 * People create tokens for themselves, at most `MAX_TOKENS`, in a session that still exists: a session that has
 * ended, but is still cached, must not create a token.
 */
export function creationRules(actor: Actor, now: number): Rule[] {
  const session = sql`exists (select 1 from ${sessions} where ${sessions.uuid} = ${actor.credential.uuid} and ${sessions.expiresAt} > ${now})`;
  const live = sql`(select count(*) from ${apiTokens} where ${apiTokens.userId} = ${users.id} and ${apiTokens.revokedAt} is null)`;
  return [
    { holds: selfFilter(actor), refusal: notYours },
    { holds: session, refusal: unauthorized },
    permission(
      sql`${live} < ${MAX_TOKENS}`,
      `There are ${MAX_TOKENS} API tokens already: revoke one first`,
    ),
  ];
}

/** The same refusal whether the person exists or not. */
export function notYours(): ApiError {
  const message = "You can create API tokens only for yourself";
  return new ApiError("PERMISSION_DENIED", message);
}
