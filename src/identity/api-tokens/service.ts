import { sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { uniqueViolation } from "../../db/errors.ts";
import { apiTokens } from "../../db/schema.ts";
import type { Precondition } from "../../http/entity-tag.ts";
import { ApiError, notFound } from "../../http/errors.ts";
import { findFirst, type IdempotencyClaim, isRepeat } from "../../http/idempotency.ts";
import { type PageOf, readPage } from "../../http/keyset-page.ts";
import type { NamedListQuery } from "../../http/list-query.ts";
import { namedOrder } from "../../http/named-order.ts";
import type { Reference } from "../../http/reference.ts";
import { type Clock, SECOND_MS } from "../../lib/clock.ts";
import type { Actor } from "../actor.ts";
import type { Asking } from "../people/service.ts";
import { checkRules, versionRules } from "../rules.ts";
import type { Identity } from "../service.ts";
import type { Tokens } from "../tokens.ts";
import { creationRules, isOwner, meansLive, notYours, revocationRules, unseen } from "./rules.ts";
import type { CreateApiTokenInput } from "./schemas.ts";
import {
  type ApiTokenRow,
  findApiToken,
  insertApiToken,
  listApiTokens,
  type NewApiToken,
  revokeApiToken,
} from "./store.ts";
import { API_TOKEN_VERSION } from "./wire.ts";

export interface ApiTokensDeps {
  identity: Identity;
  tokens: Tokens;
  clock: Clock;
}

export type ApiTokensService = ReturnType<typeof createApiTokensService>;

/** Each call is one D1 round trip, unless it says otherwise. */
export function createApiTokensService({ identity, tokens, clock }: ApiTokensDeps) {
  const tokenOf = ({ uuid, user, keyId, createdAt, expiresAt }: NewApiToken) =>
    tokens.derive("api", { sub: user, jti: uuid }, { from: createdAt, until: expiresAt }, keyId);

  return {
    /** A page of a person's tokens. */
    list(
      db: Database,
      actor: Actor,
      reference: Reference,
      query: NamedListQuery,
    ): Promise<PageOf<ApiTokenRow>> {
      return readPage(query, namedOrder<ApiTokenRow>(apiTokens, query), async (window) => {
        const found = await listApiTokens(db, isOwner(actor, reference), query, window);
        if (found === null) throw unseen(actor, reference);
        return found;
      });
    },

    async view(
      db: Database,
      actor: Actor,
      reference: Reference,
      uuid: string,
    ): Promise<ApiTokenRow> {
      const { hasOwner, token } = await findApiToken(db, isOwner(actor, reference), uuid);
      if (!hasOwner) throw unseen(actor, reference);
      if (token === null) throw notFound("Token", uuid);
      return token;
    },

    /**
     * Stores a token, or finds the one that the same request has stored before: one more round trip
     * then. Either way the token itself is derived.
     */
    async create(
      db: Database,
      { actor, origin }: Asking,
      reference: Reference,
      { name, ttl }: CreateApiTokenInput,
      claim: IdempotencyClaim | null,
    ): Promise<{ row: NewApiToken; token: string; replayed: boolean }> {
      if (actor.credential.kind !== "session") {
        // One that has leaked must not outlive its revocation.
        const message = "An API token cannot create another one: sign in";
        throw new ApiError("PERMISSION_DENIED", message);
      }
      const now = clock.now();
      const expiresAt = ttl === undefined || ttl === null ? null : now + ttl * SECOND_MS;
      const row: NewApiToken = {
        ...{ uuid: crypto.randomUUID(), user: actor.userUuid, name },
        ...{ keyId: tokens.signingKeyId, createdAt: now, expiresAt },
      };
      const rules = creationRules(actor, now);
      const act = { origin, now, details: { ttl: ttl ?? null } };
      try {
        const owner = meansLive(actor, reference);
        const verdict = await insertApiToken(db, owner, rules, row, claim, act);
        if (verdict === null) throw notYours();
        checkRules(rules, verdict);
        return { row, token: await tokenOf(row), replayed: false };
      } catch (error) {
        const taken = uniqueViolation(error);
        if (claim === null || taken === null || !isRepeat(taken)) throw error;
        // Stored by `insertApiToken` as the row that it was.
        const first = (await findFirst(claim)) as NewApiToken;
        return { row: first, token: await tokenOf(first), replayed: true };
      }
    },

    async revoke(
      db: Database,
      { actor, origin }: Asking,
      reference: Reference,
      precondition: Precondition | null,
      uuid: string,
    ): Promise<void> {
      const versioned = { uuid: apiTokens.uuid, version: sql.raw(String(API_TOKEN_VERSION)) };
      const rules = {
        owner: revocationRules(actor),
        token: versionRules("token", versioned, precondition),
      };
      const act = { origin, now: clock.now(), details: {} };
      const { owner, token } = await revokeApiToken(
        db,
        isOwner(actor, reference),
        uuid,
        rules,
        act,
      );
      if (owner === null) throw unseen(actor, reference);
      if (token === null) throw notFound("Token", uuid);
      checkRules(rules.owner, owner.verdict);
      checkRules(rules.token, token.verdict);
      identity.forget(owner.uuid);
    },
  };
}
