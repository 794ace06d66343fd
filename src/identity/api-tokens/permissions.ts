/** Permissions on API tokens and keys: rules on the owner's row of `users`. */
import { sql } from "drizzle-orm";
import { apiTokens, sessions, users } from "../../db/schema.ts";
import { ApiError, unauthorized } from "../../http/errors.ts";
import { permission, type Rule } from "../../resources/rules.ts";
import { type Actor, credentialId } from "../actor.ts";
import { managedRoleFilter, selfFilter } from "../people/permissions.ts";
import { type CredentialKind, WORDS } from "./kinds.ts";
import { ofKind } from "./store.ts";

const MAX_LIVE = 100;

/** People rename and revoke their own, administrators those of the people they manage. */
export function managementRule(actor: Actor): Rule {
  return permission(
    sql`(${selfFilter(actor)} or ${managedRoleFilter(actor)})`,
    "The person's role is higher than yours",
  );
}

/**
 * People create tokens and keys for themselves, at most `MAX_LIVE` of each, in a session that still exists: a session
 * that has ended, but is still cached, must not create one.
 */
export function creationRules(actor: Actor, kind: CredentialKind, now: number): Rule[] {
  const { plural } = WORDS[kind];
  const session = sql`exists (select 1 from ${sessions} where ${sessions.uuid} = ${credentialId(actor.credential)} and ${sessions.expiresAt} > ${now})`;
  const live = sql`(select count(*) from ${apiTokens} where ${apiTokens.userId} = ${users.id} and ${apiTokens.revokedAt} is null and ${ofKind(kind)})`;
  return [
    { holds: selfFilter(actor), refusal: () => notYours(kind) },
    { holds: session, refusal: unauthorized },
    permission(
      sql`${live} < ${MAX_LIVE}`,
      `There are ${MAX_LIVE} ${plural} already: revoke one first`,
    ),
  ];
}

/** The same refusal whether the person exists or not. */
export function notYours(kind: CredentialKind): ApiError {
  const message = `You can create ${WORDS[kind].plural} only for yourself`;
  return new ApiError("PERMISSION_DENIED", message);
}
