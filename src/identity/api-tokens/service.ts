import { sql } from "drizzle-orm";
import type { NamedListQuery } from "../../api/lists.ts";
import type { Database } from "../../db/client.ts";
import type { IdempotencyKey } from "../../db/idempotency.ts";
import { namedOrder } from "../../db/named-rows.ts";
import { apiTokens, users } from "../../db/schema.ts";
import type { Precondition } from "../../db/versions.ts";
import { notFound } from "../../http/errors.ts";
import { type PageOf, readPage } from "../../http/paging.ts";
import { type Clock, SECOND_MS } from "../../lib/clock.ts";
import type { Reference } from "../../lib/references.ts";
import { createOnce } from "../../resources/create.ts";
import { versionRule } from "../../resources/rules.ts";
import type { Actor } from "../actor.ts";
import type { ActorContext } from "../origin.ts";
import { livePerson, ownOrVisible, unseenPerson } from "../people/permissions.ts";
import type { Identity } from "../service.ts";
import type { Tokens } from "../tokens.ts";
import { creationRules, notYours, revocationRule } from "./permissions.ts";
import type { CreateApiTokenInput } from "./schemas.ts";
import {
  type ApiTokenRow,
  findApiToken,
  insertApiToken,
  listApiTokens,
  type NewApiToken,
  ownsToken,
  revokeApiToken,
  tokenEvent,
} from "./store.ts";
import { API_TOKEN_VERSION } from "./wire.ts";

export interface ApiTokensDeps {
  identity: Identity;
  tokens: Tokens;
  clock: Clock;
}

/** Each call is one D1 round trip, unless it says otherwise. */
export class ApiTokensService {
  readonly #deps: ApiTokensDeps;

  constructor(deps: ApiTokensDeps) {
    this.#deps = deps;
  }

  /** A page of a person's tokens. */
  list(
    db: Database,
    actor: Actor,
    reference: Reference,
    query: NamedListQuery,
  ): Promise<PageOf<ApiTokenRow>> {
    return readPage(query, namedOrder<ApiTokenRow>(apiTokens, query), async (window) => {
      const listed = await listApiTokens(db, ownOrVisible(actor, reference), query, window);
      if (listed === null) throw unseenPerson(actor, reference);
      return listed;
    });
  }

  async view(db: Database, actor: Actor, reference: Reference, uuid: string): Promise<ApiTokenRow> {
    const { hasOwner, token } = await findApiToken(db, ownOrVisible(actor, reference), uuid);
    if (!hasOwner) throw unseenPerson(actor, reference);
    if (token === null) throw notFound("Token", uuid);
    return token;
  }

  /** The token is derived, so a repeat answers the same. One more round trip for a repeat. */
  async create(
    db: Database,
    { actor, origin }: ActorContext,
    reference: Reference,
    { name, ttl, scope }: CreateApiTokenInput,
    key: IdempotencyKey | null,
  ): Promise<{ row: NewApiToken; token: string; replayed: boolean }> {
    const now = this.#deps.clock.now();
    const row: NewApiToken = {
      uuid: crypto.randomUUID(),
      user: actor.userUuid,
      name,
      scope,
      keyId: this.#deps.tokens.signingKeyId,
      createdAt: now,
      expiresAt: ttl === undefined || ttl === null ? null : now + ttl * SECOND_MS,
    };
    const change = {
      table: users,
      target: livePerson(actor, reference),
      missing: notYours,
      rules: creationRules(actor, now),
      event: tokenEvent("api_token_created", row.uuid),
      audit: { origin, now, details: { ttl: ttl ?? null, scope } },
    };
    const { created, replayed } = await createOnce(key, async () => {
      await insertApiToken(db, change, key, row);
      return row;
    });
    return { row: created, token: await this.#tokenOf(created), replayed };
  }

  async revoke(
    db: Database,
    { actor, origin }: ActorContext,
    reference: Reference,
    precondition: Precondition | null,
    uuid: string,
  ): Promise<void> {
    const version = sql.raw(String(API_TOKEN_VERSION));
    const change = {
      table: users,
      target: ownOrVisible(actor, reference),
      missing: () => unseenPerson(actor, reference),
      rules: [
        { holds: ownsToken(uuid), refusal: () => notFound("Token", uuid) },
        revocationRule(actor),
        versionRule("token", { uuid: sql`${uuid}`, version }, precondition),
      ],
      event: tokenEvent("api_token_revoked", uuid),
      audit: { origin, now: this.#deps.clock.now() },
    };
    this.#deps.identity.forget(await revokeApiToken(db, change, uuid));
  }

  #tokenOf({ uuid, user, keyId, createdAt, expiresAt }: NewApiToken): Promise<string> {
    const validity = { from: createdAt, until: expiresAt };
    return this.#deps.tokens.derive("api", { sub: user, jti: uuid }, validity, keyId);
  }
}
