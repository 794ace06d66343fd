import { and, eq, isNull, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { apiTokens, users } from "../../db/schema.ts";
import { batchOnce, claimFrom, type IdempotencyClaim } from "../../http/idempotency.ts";
import type { PageWindow } from "../../http/keyset-page.ts";
import type { NamedListQuery } from "../../http/list-query.ts";
import { type Act, auditOfRows } from "../audit.ts";
import { filtered } from "../named-rows.ts";
import { allHold, type Rule, verdictOf } from "../rules.ts";

/** What a token is derived from. */
export interface NewApiToken {
  uuid: string;
  /** The owner's UUID. */
  user: string;
  name: string;
  keyId: string;
  createdAt: number;
  expiresAt: number | null;
}

export interface ApiTokenRow extends Omit<NewApiToken, "keyId"> {
  lastUsedAt: number | null;
}

const shown = {
  uuid: apiTokens.uuid,
  user: sql<string>`(select u.uuid from users u where u.id = user_id)`.as("user"),
  name: apiTokens.name,
  createdAt: apiTokens.createdAt,
  expiresAt: apiTokens.expiresAt,
  lastUsedAt: apiTokens.lastUsedAt,
};

/** Of one owner: with an equality, the index is read in its own order. */
function isLiveOf(owner: SQL | undefined): SQL | undefined {
  const id = sql`(select ${users.id} from ${users} where ${owner})`;
  return and(sql`${apiTokens.userId} = ${id}`, isNull(apiTokens.revokedAt));
}

const ownerOf = (db: Database, owner: SQL | undefined) =>
  db.select({ uuid: users.uuid }).from(users).where(owner);

/** A page of an owner's tokens; null when nobody is meant. One batch, one round trip. */
export async function listApiTokens(
  db: Database,
  owner: SQL | undefined,
  filter: Pick<NamedListQuery, "name" | "search">,
  { where, orderBy, limit, offset }: PageWindow,
): Promise<{ rows: ApiTokenRow[]; total: number } | null> {
  const { name, uuid } = apiTokens;
  const listed = and(isLiveOf(owner), filtered(filter, { name, searched: [name, uuid] }));
  const [owners, rows, totals] = await db.batch([
    ownerOf(db, owner),
    db
      .select(shown)
      .from(apiTokens)
      .where(and(listed, where))
      .orderBy(...orderBy)
      .limit(limit)
      .offset(offset),
    // A person has few enough to count.
    db.select({ total: sql<number>`count(*)` }).from(apiTokens).where(listed),
  ]);
  return owners.length === 0 ? null : { rows, total: totals[0]?.total ?? 0 };
}

/** Whether somebody is meant, and the token if there is one. One batch, one round trip. */
export async function findApiToken(
  db: Database,
  owner: SQL | undefined,
  uuid: string,
): Promise<{ hasOwner: boolean; token: ApiTokenRow | null }> {
  const [owners, tokens] = await db.batch([
    ownerOf(db, owner),
    db
      .select(shown)
      .from(apiTokens)
      .where(and(eq(apiTokens.uuid, uuid), isLiveOf(owner))),
  ]);
  return { hasOwner: owners.length > 0, token: tokens[0] ?? null };
}

/**
 * Stores a token of the owner that is meant, if all rules hold; answers which did, null when nobody is
 * meant. One batch, one round trip. Fails on a key used before: see `uniqueViolation`.
 */
export async function insertApiToken(
  db: Database,
  owner: SQL | undefined,
  rules: readonly Rule[],
  row: NewApiToken,
  claim: IdempotencyClaim | null,
  { origin, now, details }: Act,
): Promise<string | null> {
  const { uuid, name, keyId, createdAt, expiresAt } = row;
  const from = sql`from ${users} where ${and(owner, allHold(rules))}`;
  const facts = sql<string>`${JSON.stringify(row)}`;
  const event = {
    action: "api_token_created" as const,
    subject: { kind: "api_token" as const, id: uuid },
    customerId: sql`${users.customerId}`,
    details,
  };
  // The token is added last: until then all statements count the same ones.
  const [before] = await batchOnce(
    db,
    claim === null ? null : claimFrom(db, claim, facts, now, from),
    [
      db
        .select({ verdict: verdictOf(rules) })
        .from(users)
        .where(owner),
      auditOfRows(db, origin, event, now, from),
      db
        .insert(apiTokens)
        .select(
          sql`select null, ${uuid}, ${users.id}, ${name}, ${keyId}, ${createdAt}, ${expiresAt}, null, null ${from}`,
        ),
    ],
  );
  return before[0]?.verdict ?? null;
}

/** What a revocation met: which rules on owner and token held; null for one that is not there. */
export interface Revoked {
  owner: { verdict: string; uuid: string } | null;
  token: { verdict: string } | null;
}

/** Revokes a token, if all rules on it and on its owner hold. One batch, one round trip. */
export async function revokeApiToken(
  db: Database,
  owner: SQL | undefined,
  uuid: string,
  rules: { owner: readonly Rule[]; token: readonly Rule[] },
  { origin, now, details }: Act,
): Promise<Revoked> {
  const own = and(eq(apiTokens.uuid, uuid), isLiveOf(owner));
  const allowed = and(
    eq(apiTokens.uuid, uuid),
    isLiveOf(and(owner, allHold(rules.owner))),
    allHold(rules.token),
  );
  const event = {
    action: "api_token_revoked" as const,
    subject: { kind: "api_token" as const, id: uuid },
    customerId: sql`(select u.customer_id from users u where u.id = ${apiTokens.userId})`,
    details,
  };
  const [owners, tokens] = await db.batch([
    db
      .select({ verdict: verdictOf(rules.owner), uuid: users.uuid })
      .from(users)
      .where(owner),
    db
      .select({ verdict: verdictOf(rules.token) })
      .from(apiTokens)
      .where(own),
    auditOfRows(db, origin, event, now, sql`from ${apiTokens} where ${allowed}`),
    db.update(apiTokens).set({ revokedAt: now }).where(allowed),
  ]);
  return { owner: owners[0] ?? null, token: tokens[0] ?? null };
}
