/** Passwords of people, and links to set them. */
import { and, eq, isNull, not, type SQL, type SQLWrapper, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import type { IdempotencyKey } from "../../db/idempotency.ts";
import { nextVersion } from "../../db/named-rows.ts";
import { sessions, users } from "../../db/schema.ts";
import { type AuditContext, type AuditEvent, auditOfRows } from "../../resources/audit.ts";
import { type Change, changeIf, storedRow } from "../../resources/change.ts";
import { clearFailures, rememberAddress } from "../sign-in/attempts.ts";

const live = and(isNull(users.deletedAt), not(users.locked));

/** The facts from which a link to set a password is derived. */
export interface LinkFacts {
  uuid: string;
  /** The time of the password that the link replaces. */
  passwordChangedAt: number;
  /** Id of the link. */
  jti: string;
  keyId: string;
  createdAt: number;
}

/**
 * Records that a link is made for a person, if all rules hold; answers its facts. One batch, one round
 * trip. Fails on a key used before: see `uniqueViolation`.
 */
export async function recordLink(
  db: Database,
  change: Change,
  key: IdempotencyKey | null,
  { jti, keyId }: Pick<LinkFacts, "jti" | "keyId">,
): Promise<LinkFacts> {
  const { now } = change.audit;
  const facts = sql<string>`json_object('uuid', ${users.uuid}, 'passwordChangedAt', ${users.passwordChangedAt}, 'jti', ${jti}, 'keyId', ${keyId}, 'createdAt', ${now})`;
  const [rows] = await changeIf(db, { ...change, once: { key, facts } }, (allowed) => [
    db
      .select({ uuid: users.uuid, passwordChangedAt: users.passwordChangedAt })
      .from(users)
      .where(allowed),
  ]);
  return { ...storedRow(rows), jti, keyId, createdAt: now };
}

/** The password to replace, by its hash or by the time when it was set. */
export type ReplacedPassword =
  | { userId: number; userUuid: string; passwordHash: string; keptSession: string }
  | { uuid: string; passwordChangedAt: number };

/**
 * Sets a person's password and ends all sessions except `keptSession`. Answers false, without a change, if the
 * present password is not the one to replace. A link makes the address known. One batch, one round trip.
 */
export async function replacePassword(
  db: Database,
  replaced: ReplacedPassword,
  passwordHash: string,
  audit: AuditContext,
): Promise<boolean> {
  const isOwn = "userId" in replaced;
  const { address } = audit.origin;
  const allowed = and(
    live,
    isOwn
      ? and(eq(users.id, replaced.userId), eq(users.passwordHash, replaced.passwordHash))
      : and(eq(users.uuid, replaced.uuid), eq(users.passwordChangedAt, replaced.passwordChangedAt)),
  );
  const event: AuditEvent = {
    action: "password_changed",
    subject: { kind: "user", id: sql`${users.uuid}` },
    customerId: sql`${users.customerId}`,
  };
  const [, , changed] = await db.batch([
    auditOfRows(db, event, audit, sql`from ${users} where ${allowed}`),
    endSessions(db, allowed, isOwn ? replaced.keptSession : null),
    db
      .update(users)
      .set({ ...newPassword(passwordHash, audit.now), ...nextVersion(users, audit.now) })
      .where(allowed)
      .returning({ uuid: users.uuid }),
    ...(isOwn
      ? [clearFailures(db, replaced.userUuid, address)]
      : // The holder of a link has shown who they are: attackers cannot keep them out by trying passwords.
        rememberAddress(
          db,
          and(eq(users.uuid, replaced.uuid), eq(users.passwordHash, passwordHash)),
          address,
          audit.now,
        )),
  ]);
  return changed.length === 1;
}

/** Ends the sessions of people, except one if its UUID is given. */
export function endSessions(db: Database, people: SQL | undefined, except: string | null = null) {
  const others = except === null ? undefined : sql`${sessions.uuid} <> ${except}`;
  return db.delete(sessions).where(and(belongsTo(sessions.userId, people), others));
}

export function belongsTo(column: SQLWrapper, people: SQL | undefined): SQL {
  return sql`${column} in (select ${users.id} from ${users} where ${people})`;
}

/** The columns of a new password. Links refer to a password by its time, so no two have the same. */
export function newPassword(passwordHash: string, now: number) {
  return { passwordHash, passwordChangedAt: sql`max(${now}, ${users.passwordChangedAt} + 1)` };
}
