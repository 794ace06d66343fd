import { and, eq, isNull, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import type { IdempotencyKey } from "../../db/idempotency.ts";
import { insertFrom } from "../../db/insert-from.ts";
import type { PageWindow } from "../../db/keyset.ts";
import { countRows, inWindow, type NameFilter, nameFilter } from "../../db/named-rows.ts";
import { apiTokens, users } from "../../db/schema.ts";
import type { AuditAction, TokenScope } from "../../lib/enums.ts";
import type { AuditEvent } from "../../resources/audit.ts";
import { type Change, changeIf } from "../../resources/change.ts";

/** The facts from which a token is derived. */
export interface NewApiToken {
  uuid: string;
  /** The owner's UUID. */
  user: string;
  name: string;
  scope: TokenScope;
  keyId: string;
  createdAt: number;
  expiresAt: number | null;
}

export interface ApiTokenRow extends Omit<NewApiToken, "keyId"> {
  lastUsedAt: number | null;
}

const tokenColumns = {
  uuid: apiTokens.uuid,
  user: sql<string>`(select u.uuid from users u where u.id = user_id)`.as("user"),
  name: apiTokens.name,
  scope: apiTokens.scope,
  createdAt: apiTokens.createdAt,
  expiresAt: apiTokens.expiresAt,
  lastUsedAt: apiTokens.lastUsedAt,
};

/** Matches the live tokens of an owner, by an equality, so that the index is read in its order. */
function liveTokensOf(owner: SQL | undefined): SQL | undefined {
  const ownerId = sql`(select ${users.id} from ${users} where ${owner})`;
  return and(sql`${apiTokens.userId} = ${ownerId}`, isNull(apiTokens.revokedAt));
}

/** Matches a row of `users` that owns a live token of this UUID. */
export function ownsToken(uuid: string): SQL {
  return sql`exists (select 1 from ${apiTokens} where ${apiTokens.uuid} = ${uuid} and ${apiTokens.userId} = ${users.id} and ${apiTokens.revokedAt} is null)`;
}

/** An action on a token, for the audit trail. The statement has to read the owner's row of `users`. */
export function tokenEvent(action: AuditAction, uuid: string): AuditEvent {
  return {
    action,
    subject: { kind: "api_token", id: uuid },
    customerId: sql`${users.customerId}`,
  };
}

/** A page of an owner's tokens; null when no owner matches. One batch, one round trip. */
export async function listApiTokens(
  db: Database,
  owner: SQL | undefined,
  filter: NameFilter,
  window: PageWindow,
): Promise<{ rows: ApiTokenRow[]; total: number } | null> {
  const { name, uuid } = apiTokens;
  const listed = and(liveTokensOf(owner), nameFilter(filter, { name, searched: [name, uuid] }));
  const [owners, rows, totals] = await db.batch([
    db.select({ uuid: users.uuid }).from(users).where(owner),
    inWindow(db.select(tokenColumns).from(apiTokens).$dynamic(), listed, window),
    // A person has at most a hundred: counting is cheap.
    countRows(db, apiTokens, listed),
  ]);
  return owners.length === 0 ? null : { rows, total: totals[0]?.total ?? 0 };
}

/** A token and its owner, as far as they exist. One batch, one round trip. */
export async function findApiToken(
  db: Database,
  owner: SQL | undefined,
  uuid: string,
): Promise<{ hasOwner: boolean; token: ApiTokenRow | null }> {
  const [owners, tokens] = await db.batch([
    db.select({ uuid: users.uuid }).from(users).where(owner),
    db
      .select(tokenColumns)
      .from(apiTokens)
      .where(and(eq(apiTokens.uuid, uuid), liveTokensOf(owner))),
  ]);
  return { hasOwner: owners.length > 0, token: tokens[0] ?? null };
}

/**
 * Stores a token of the owner whom a change matches. One batch, one round trip. Fails on a key used
 * before: see `uniqueViolation`.
 */
export async function insertApiToken(
  db: Database,
  change: Change,
  key: IdempotencyKey | null,
  token: NewApiToken,
): Promise<void> {
  const { user: _owner, ...columns } = token;
  const row = { ...columns, userId: users.id };
  const facts = sql<string>`${JSON.stringify(token)}`;
  await changeIf(db, { ...change, once: { key, facts } }, (_allowed, from) => [
    insertFrom(db, apiTokens, row, from),
  ]);
}

/** Revokes a token of the owner whom a change matches; answers the owner's UUID. One batch, one round trip. */
export async function revokeApiToken(db: Database, change: Change, uuid: string): Promise<string> {
  const [owners] = await changeIf(db, change, (allowed) => [
    db.select({ uuid: users.uuid }).from(users).where(allowed),
    db
      .update(apiTokens)
      .set({ revokedAt: change.audit.now })
      .where(and(eq(apiTokens.uuid, uuid), liveTokensOf(allowed))),
  ]);
  const [owner] = owners;
  if (owner === undefined) throw new Error("A token was revoked without an owner");
  return owner.uuid;
}
