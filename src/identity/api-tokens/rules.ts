/** Who may see, make and revoke whose API tokens. Each rule is a condition on the owner's row of `users`. */
import { and, isNull, type SQL, sql } from "drizzle-orm";
import { apiTokens, sessions, users } from "../../db/schema.ts";
import { ApiError, notFound, unauthorized } from "../../http/errors.ts";
import { nameOf, type Reference } from "../../http/reference.ts";
import type { Actor } from "../actor.ts";
import { isReferred } from "../named-rows.ts";
import { isMeant, isSelf, rolesUpTo } from "../people/rules.ts";
import { permission, type Rule } from "../rules.ts";

const MAX_TOKENS = 100;

function isManager({ role }: Actor): boolean {
  return role === "root_admin" || role === "customer_admin";
}

/** The owner that is meant: whom an administrator sees; for all others nobody but themselves. */
export function isOwner(actor: Actor, reference: Reference): SQL | undefined {
  return isManager(actor)
    ? isMeant(actor, reference)
    : and(meansLive(actor, reference), isSelf(actor));
}

/** What those who see nobody but themselves are told about everyone else, whether they are there or not. */
export function unseen(actor: Actor, reference: Reference): ApiError {
  return isManager(actor)
    ? notFound("User", nameOf(reference))
    : new ApiError("PERMISSION_DENIED", "Only administrators can do this for others");
}

/** A person's own tokens, and those of whoever an administrator manages. */
export function revocationRules(actor: Actor): Rule[] {
  const managed = JSON.stringify(rolesUpTo(actor.role));
  return [
    permission(
      sql`(${isSelf(actor)} or ${users.role} in (select value from json_each(${managed})))`,
      "The person's role is above yours",
    ),
  ];
}

/** The person that is to own a new token, whoever asks for it. */
export function meansLive({ userUuid }: Actor, reference: Reference): SQL | undefined {
  const isMe = "slug" in reference && reference.slug === "me";
  return and(isReferred(users, isMe ? { uuid: userUuid } : reference), isNull(users.deletedAt));
}

/** What an isolate remembers for 30 s must not become a token that stays: the session still has to be there. */
export function creationRules(actor: Actor, now: number): Rule[] {
  const session = sql`exists (select 1 from ${sessions} where ${sessions.uuid} = ${actor.credential.uuid} and ${sessions.expiresAt} > ${now})`;
  const live = sql`(select count(*) from ${apiTokens} where ${apiTokens.userId} = ${users.id} and ${apiTokens.revokedAt} is null)`;
  return [
    { holds: isSelf(actor), refusal: notYours },
    { holds: session, refusal: unauthorized },
    permission(
      sql`${live} < ${MAX_TOKENS}`,
      `There are ${MAX_TOKENS} API tokens already: revoke one first`,
    ),
  ];
}

/** The same for people who are there and who are not. */
export function notYours(): ApiError {
  const message = "An API token is shown to its owner alone: nobody creates one for others";
  return new ApiError("PERMISSION_DENIED", message);
}
