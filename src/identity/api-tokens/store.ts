import { and, eq, gt, isNotNull, isNull, or, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import type { IdempotencyKey } from "../../db/idempotency.ts";
import { insertFrom } from "../../db/insert-from.ts";
import type { PageWindow } from "../../db/keyset.ts";
import { countRows, inWindow, type NameFilter, nameFilter } from "../../db/named-rows.ts";
import { apiTokens, users } from "../../db/schema.ts";
import type { AuditAction, TokenScope } from "../../lib/enums.ts";
import type { AuditEvent } from "../../resources/audit.ts";
import { type Change, changeIf, storedRow } from "../../resources/change.ts";
import { type CredentialKind, WORDS } from "./kinds.ts";

/** A list considers at most this many revoked ones of a person, the newest. */
export const MAX_REVOKED_SEEN = 1_000;

/** What every reply shows. */
interface CredentialFacts {
  uuid: string;
  /** The owner's UUID. */
  user: string;
  name: string;
  scope: TokenScope;
  createdAt: number;
  expiresAt: number;
}

/** A new token or key. Tokens are derived from these facts. */
export interface NewCredential extends CredentialFacts {
  /** Null for a key. */
  keyId: string | null;
}

export interface CredentialRow extends CredentialFacts {
  lastUsedAt: number | null;
  revokedAt: number | null;
  version: number;
}

const columns = {
  uuid: apiTokens.uuid,
  user: sql<string>`(select u.uuid from users u where u.id = user_id)`.as("user"),
  name: apiTokens.name,
  scope: apiTokens.scope,
  createdAt: apiTokens.createdAt,
  expiresAt: apiTokens.expiresAt,
  lastUsedAt: apiTokens.lastUsedAt,
  revokedAt: apiTokens.revokedAt,
  version: apiTokens.version,
};

export function ofKind(kind: CredentialKind): SQL {
  return kind === "key" ? isNotNull(apiTokens.keyHash) : isNull(apiTokens.keyHash);
}

/** Matches the rows of an owner, by an equality, so that the index is read in its order. */
function ofOwner(kind: CredentialKind, owner: SQL | undefined): SQL | undefined {
  const ownerId = sql`(select ${users.id} from ${users} where ${owner})`;
  return and(sql`${apiTokens.userId} = ${ownerId}`, ofKind(kind));
}

function liveOf(kind: CredentialKind, owner: SQL | undefined): SQL | undefined {
  return and(ofOwner(kind, owner), isNull(apiTokens.revokedAt));
}

/** Matches the newest revoked rows of an owner, by their ids: few, so that no index may serve their order. */
function revokedOf(kind: CredentialKind, owner: SQL | undefined, after: number): SQL {
  const revoked = and(ofOwner(kind, owner), gt(apiTokens.revokedAt, after));
  return sql`${apiTokens.id} in (select ${apiTokens.id} from ${apiTokens} where ${revoked} order by ${apiTokens.revokedAt} desc limit ${MAX_REVOKED_SEEN})`;
}

/** Matches a row of `users` that owns a live token or key of this UUID. */
export function ownsLive(kind: CredentialKind, uuid: string): SQL {
  return sql`exists (select 1 from ${apiTokens} where ${apiTokens.uuid} = ${uuid} and ${apiTokens.userId} = ${users.id} and ${apiTokens.revokedAt} is null and ${ofKind(kind)})`;
}

/** The version of a row, for rules on its owner's row of `users`. */
export function versionOf(uuid: string): SQL {
  return sql`(select ${apiTokens.version} from ${apiTokens} where ${apiTokens.uuid} = ${uuid})`;
}

/** An action on a token or key, for the audit log. The statement has to read the owner's row of `users`. */
export function eventOf(kind: CredentialKind, action: AuditAction, uuid: string): AuditEvent {
  return {
    action,
    subject: { kind: WORDS[kind].subject, id: uuid },
    customerId: sql`${users.customerId}`,
  };
}

/**
 * A page of an owner's tokens or keys; null when no owner matches. One batch, one round trip.
 *
 * @param revokedAfter lists those revoked after this time, ms; null for the live ones
 */
export async function listCredentials(
  db: Database,
  kind: CredentialKind,
  owner: SQL | undefined,
  filter: NameFilter,
  revokedAfter: number | null,
  window: PageWindow,
): Promise<{ rows: CredentialRow[]; total: number } | null> {
  const { name, uuid } = apiTokens;
  const listed = and(
    revokedAfter === null ? liveOf(kind, owner) : revokedOf(kind, owner, revokedAfter),
    nameFilter(filter, { name, searched: [name, uuid] }),
  );
  const [owners, rows, totals] = await db.batch([
    db.select({ uuid: users.uuid }).from(users).where(owner),
    inWindow(db.select(columns).from(apiTokens).$dynamic(), listed, window),
    // A person has at most a hundred live ones: counting is cheap.
    countRows(db, apiTokens, listed),
  ]);
  return owners.length === 0 ? null : { rows, total: totals[0]?.total ?? 0 };
}

/**
 * A token or key and its owner, as far as they exist. One batch, one round trip.
 *
 * @param revokedAfter those revoked before this time, ms, are not found
 */
export async function findCredential(
  db: Database,
  kind: CredentialKind,
  owner: SQL | undefined,
  uuid: string,
  revokedAfter: number,
): Promise<{ hasOwner: boolean; credential: CredentialRow | null }> {
  const seen = or(isNull(apiTokens.revokedAt), gt(apiTokens.revokedAt, revokedAfter));
  const [owners, rows] = await db.batch([
    db.select({ uuid: users.uuid }).from(users).where(owner),
    db
      .select(columns)
      .from(apiTokens)
      .where(and(eq(apiTokens.uuid, uuid), ofOwner(kind, owner), seen)),
  ]);
  return { hasOwner: owners.length > 0, credential: rows[0] ?? null };
}

/**
 * Stores a token or key of the owner whom a change matches. One batch, one round trip. Fails on an idempotency key used
 * before: see `uniqueViolation`.
 *
 * @param keyHash null for a token
 */
export async function insertCredential(
  db: Database,
  change: Change,
  key: IdempotencyKey | null,
  credential: NewCredential,
  keyHash: string | null,
): Promise<void> {
  const { user: _owner, ...values } = credential;
  const row = { ...values, keyHash, userId: users.id };
  const facts = sql<string>`${JSON.stringify(credential)}`;
  await changeIf(db, { ...change, once: { key, facts } }, (_allowed, from) => [
    insertFrom(db, apiTokens, row, from),
  ]);
}

/**
 * Renames a live token or key of the owner whom a change matches; undefined only counts as a change. One batch, one round
 * trip.
 */
export async function renameCredential(
  db: Database,
  kind: CredentialKind,
  change: Change,
  uuid: string,
  name: string | undefined,
): Promise<CredentialRow> {
  const [updated] = await changeIf(db, change, (allowed) => [
    db
      .update(apiTokens)
      .set({ ...(name === undefined ? {} : { name }), version: sql`${apiTokens.version} + 1` })
      .where(and(eq(apiTokens.uuid, uuid), liveOf(kind, allowed)))
      .returning(columns),
  ]);
  return storedRow(updated);
}

/** Revokes one of the owner whom a change matches; answers the owner's UUID. One batch, one round trip. */
export async function revokeCredential(
  db: Database,
  kind: CredentialKind,
  change: Change,
  uuid: string,
): Promise<string> {
  const [owners] = await changeIf(db, change, (allowed) => [
    db.select({ uuid: users.uuid }).from(users).where(allowed),
    db
      .update(apiTokens)
      .set({ revokedAt: change.audit.now, version: sql`${apiTokens.version} + 1` })
      .where(and(eq(apiTokens.uuid, uuid), liveOf(kind, allowed))),
  ]);
  return storedRow(owners).uuid;
}
