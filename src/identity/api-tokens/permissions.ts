/** Permissions on API tokens: conditions and rules on the owner's row of `users`. */
import { sql } from "drizzle-orm";
import { apiTokens, sessions, users } from "../../db/schema.ts";
import { ApiError, unauthorized } from "../../http/errors.ts";
import { permission, type Rule } from "../../resources/rules.ts";
import type { Actor } from "../actor.ts";
import { managedRoleFilter, selfFilter } from "../people/permissions.ts";

const MAX_TOKENS = 100;

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
