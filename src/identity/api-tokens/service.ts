import { type SQL, sql } from "drizzle-orm";
import type { CredentialListQuery } from "../../api/lists.ts";
import type { Database } from "../../db/client.ts";
import type { IdempotencyKey } from "../../db/idempotency.ts";
import { namedOrder } from "../../db/named-rows.ts";
import { apiTokens, users } from "../../db/schema.ts";
import type { Precondition } from "../../db/versions.ts";
import { notFound } from "../../http/errors.ts";
import { type PageOf, readPage } from "../../http/paging.ts";
import { type Clock, SECOND_MS } from "../../lib/clock.ts";
import type { AuditAction } from "../../lib/enums.ts";
import { hashOfKey } from "../../lib/keys.ts";
import type { Reference } from "../../lib/references.ts";
import { type Change, fieldsOf } from "../../resources/change.ts";
import { createOnce } from "../../resources/create.ts";
import { versionRule } from "../../resources/rules.ts";
import type { Actor } from "../actor.ts";
import { LONGEST_TTL_SECONDS, REVOKED_SEEN_MS } from "../lifetimes.ts";
import type { ActorContext } from "../origin.ts";
import { livePerson, ownOrVisible, unseenPerson } from "../people/permissions.ts";
import type { Identity } from "../service.ts";
import type { Tokens } from "../tokens.ts";
import { drawUserKey } from "../user-keys.ts";
import { type CredentialKind, WORDS } from "./kinds.ts";
import { creationRules, managementRule, notYours } from "./permissions.ts";
import type { CreateApiTokenInput, UpdateApiTokenInput } from "./schemas.ts";
import {
  type CredentialRow,
  eventOf,
  findCredential,
  insertCredential,
  listCredentials,
  type NewCredential,
  ownsLive,
  renameCredential,
  revokeCredential,
  versionOf,
} from "./store.ts";

interface ApiTokensDeps {
  identity: Identity;
  tokens: Tokens;
  clock: Clock;
  kind: CredentialKind;
}

/** API tokens, or keys. Each call is one D1 round trip, unless it says otherwise. */
export class ApiTokensService {
  readonly #deps: ApiTokensDeps;
  readonly #kind: CredentialKind;

  constructor(deps: ApiTokensDeps) {
    this.#deps = deps;
    this.#kind = deps.kind;
  }

  /** A page of a person's tokens. */
  list(
    db: Database,
    actor: Actor,
    reference: Reference,
    query: CredentialListQuery,
  ): Promise<PageOf<CredentialRow>> {
    // Revoked ones are few, and selected by their ids.
    const order = namedOrder<CredentialRow>(apiTokens, query, { isUnindexed: query.revoked });
    const owner = ownOrVisible(actor, reference);
    const revokedAfter = query.revoked ? this.#seenSince() : null;
    return readPage(query, order, async (window) => {
      const listed = await listCredentials(db, this.#kind, owner, query, revokedAfter, window);
      if (listed === null) throw unseenPerson(actor, reference);
      return listed;
    });
  }

  async view(
    db: Database,
    actor: Actor,
    reference: Reference,
    uuid: string,
  ): Promise<CredentialRow> {
    const owner = ownOrVisible(actor, reference);
    const found = await findCredential(db, this.#kind, owner, uuid, this.#seenSince());
    if (!found.hasOwner) throw unseenPerson(actor, reference);
    if (found.credential === null) throw this.#unknown(uuid);
    return found.credential;
  }

  /**
   * A token is derived, so a repeat answers the same; a key is stored as a hash, so a repeat answers null. One more round
   * trip for a repeat.
   */
  async create(
    db: Database,
    { actor, origin }: ActorContext,
    reference: Reference,
    { name, ttl, scope }: CreateApiTokenInput,
    key: IdempotencyKey | null,
  ): Promise<{ row: NewCredential; secret: string | null; replayed: boolean }> {
    const now = this.#deps.clock.now();
    const isKey = this.#kind === "key";
    const row: NewCredential = {
      uuid: crypto.randomUUID(),
      user: actor.userUuid,
      name,
      scope,
      keyId: isKey ? null : this.#deps.tokens.signingKeyId,
      createdAt: now,
      expiresAt: now + (ttl ?? LONGEST_TTL_SECONDS) * SECOND_MS,
    };
    const change = {
      table: users,
      target: livePerson(actor, reference),
      missing: () => notYours(this.#kind),
      rules: creationRules(actor, this.#kind, now),
      event: eventOf(this.#kind, WORDS[this.#kind].created, row.uuid),
      audit: { origin, now, details: { ttl: ttl ?? null, scope } },
    };
    const drawn = isKey ? drawUserKey() : null;
    const keyHash = drawn === null ? null : hashOfKey(drawn);
    const { created, replayed } = await createOnce(key, async () => {
      await insertCredential(db, change, key, row, keyHash);
      return row;
    });
    const secret = isKey ? (replayed ? null : drawn) : this.#tokenOf(created);
    return { row: created, secret, replayed };
  }

  /** Leaves the name unchanged where it is null or absent. */
  update(
    db: Database,
    context: ActorContext,
    reference: Reference,
    precondition: Precondition | null,
    uuid: string,
    input: UpdateApiTokenInput,
  ): Promise<CredentialRow> {
    const name = input.name ?? undefined;
    const details = { fields: fieldsOf({ name }) };
    const action = WORDS[this.#kind].updated;
    const change = this.#changeOf(action, context, reference, precondition, uuid, details);
    return renameCredential(db, this.#kind, change, uuid, name);
  }

  async revoke(
    db: Database,
    context: ActorContext,
    reference: Reference,
    precondition: Precondition | null,
    uuid: string,
  ): Promise<void> {
    const action = WORDS[this.#kind].revoked;
    const change = this.#changeOf(action, context, reference, precondition, uuid);
    this.#deps.identity.forget(await revokeCredential(db, this.#kind, change, uuid));
  }

  /** A change of a live token or key, decided on its owner's row. */
  #changeOf(
    action: AuditAction,
    { actor, origin }: ActorContext,
    reference: Reference,
    precondition: Precondition | null,
    uuid: string,
    details: object = {},
  ): Change {
    const row: { uuid: SQL; version: SQL } = { uuid: sql`${uuid}`, version: versionOf(uuid) };
    return {
      table: users,
      target: ownOrVisible(actor, reference),
      missing: () => unseenPerson(actor, reference),
      rules: [
        { holds: ownsLive(this.#kind, uuid), refusal: () => this.#unknown(uuid) },
        managementRule(actor),
        versionRule(this.#kind, row, precondition),
      ],
      event: eventOf(this.#kind, action, uuid),
      audit: { origin, now: this.#deps.clock.now(), details: { ...details } },
    };
  }

  #unknown(uuid: string) {
    return notFound(WORDS[this.#kind].name, uuid);
  }

  /** Those revoked before this time are no longer shown. */
  #seenSince(): number {
    return this.#deps.clock.now() - REVOKED_SEEN_MS;
  }

  #tokenOf({ uuid, user, keyId, createdAt, expiresAt }: NewCredential): string {
    const validity = { from: createdAt, until: expiresAt };
    // Every token has the id of its secret; keys are not derived.
    return this.#deps.tokens.derive("api", { sub: user, jti: uuid }, validity, keyId ?? "");
  }
}
