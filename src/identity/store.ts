import { and, eq, gt, isNull, lte, or, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { apiTokens, sessions, users } from "../db/schema.ts";
import { MINUTE_MS } from "../lib/clock.ts";
import type { TokenScope } from "../lib/enums.ts";
import type { Credential } from "./actor.ts";

const ownerColumns = {
  id: users.id,
  uuid: users.uuid,
  customerId: users.customerId,
  role: users.role,
  locked: users.locked,
};

/** The owner of a session that has not ended. One round trip. */
export async function findSessionOwner(db: Database, sessionUuid: string, now: number) {
  const [row] = await db
    .select({ ...ownerColumns, signedInAt: sessions.createdAt, scope: sql<TokenScope>`'write'` })
    .from(sessions)
    .innerJoin(users, eq(users.id, sessions.userId))
    .where(
      and(eq(sessions.uuid, sessionUuid), gt(sessions.expiresAt, now), isNull(users.deletedAt)),
    );
  return row ?? null;
}

/** The owner of a valid API token or key; records its use, at most once a minute. One round trip. */
export async function findApiTokenOwner(
  db: Database,
  credential: Exclude<Credential, { kind: "session" }>,
  now: number,
) {
  const works = and(
    credential.kind === "user_key"
      ? eq(apiTokens.keyHash, credential.hash)
      : and(eq(apiTokens.uuid, credential.uuid), isNull(apiTokens.keyHash)),
    isNull(apiTokens.revokedAt),
    gt(apiTokens.expiresAt, now),
  );
  const [, rows] = await db.batch([
    db
      .update(apiTokens)
      .set({ lastUsedAt: now })
      .where(
        and(
          works,
          or(isNull(apiTokens.lastUsedAt), lte(apiTokens.lastUsedAt, now - MINUTE_MS)),
          sql`exists (select 1 from ${users} where ${users.id} = ${apiTokens.userId} and not ${users.locked} and ${users.deletedAt} is null)`,
        ),
      ),
    db
      .select({ ...ownerColumns, signedInAt: sql<null>`null`, scope: apiTokens.scope })
      .from(apiTokens)
      .innerJoin(users, eq(users.id, apiTokens.userId))
      .where(and(works, isNull(users.deletedAt))),
  ]);
  return rows[0] ?? null;
}
