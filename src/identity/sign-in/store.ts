import { and, eq, gt, isNull, lte, not, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { insertFrom } from "../../db/insert-from.ts";
import { sessions, users } from "../../db/schema.ts";
import type { AuditAction } from "../../lib/enums.ts";
import {
  type AuditContext,
  type AuditEvent,
  auditOfChange,
  auditOfRefusal,
  auditOfRows,
  type RefusalEvent,
} from "../../resources/audit.ts";
import { clearExpiredFailures, clearFailures, rememberAddress } from "./attempts.ts";

const live = and(isNull(users.deletedAt), not(users.locked));

/** Records a failed attempt in the audit log. One batch, one round trip. */
export async function recordFailure(
  db: Database,
  event: RefusalEvent,
  audit: AuditContext,
): Promise<void> {
  await db.batch([auditOfRefusal(db, event, audit), clearExpiredFailures(db, audit.now)]);
}

export interface NewSession {
  uuid: string;
  userId: number;
  expiresAt: number;
}

/**
 * Begins a session; answers false if the person is not live any more, or has another password than the checked
 * one. Ends expired sessions, clears failures, makes the address known, and stores the password's newer hash, if any. One batch, one round
 * trip.
 */
export async function beginSession(
  db: Database,
  session: NewSession,
  personUuid: string,
  password: { checked: string; rehashed: string | null },
  event: AuditEvent,
  audit: AuditContext,
): Promise<boolean> {
  const { now, origin } = audit;
  const unchanged = and(
    eq(users.id, session.userId),
    eq(users.passwordHash, password.checked),
    live,
  );
  const ifUnchanged = sql`where exists (select 1 from ${users} where ${unchanged})`;
  const [begun] = await db.batch([
    insertFrom(db, sessions, { ...session, createdAt: now }, ifUnchanged).returning({
      id: sessions.id,
    }),
    auditOfChange(db, event, audit),
    clearFailures(db, personUuid, origin.address),
    ...rememberAddress(db, unchanged, origin.address, now),
    db
      .delete(sessions)
      .where(and(eq(sessions.userId, session.userId), lte(sessions.expiresAt, now))),
    ...(password.rehashed === null
      ? []
      : [db.update(users).set({ passwordHash: password.rehashed }).where(unchanged)]),
  ]);
  return begun.length === 1;
}

/**
 * Moves a session to its next refresh token; answers false if the session is not at `generation`. A later
 * generation means that an old token was sent again, which ends the session. One batch, one round trip.
 */
export async function advanceSession(
  db: Database,
  sessionUuid: string,
  generation: number,
  expiresAt: number,
  audit: AuditContext,
): Promise<boolean> {
  const own = eq(sessions.uuid, sessionUuid);
  const reused = and(own, gt(sessions.generation, generation));
  const [, , advanced] = await db.batch([
    auditOfSession(db, "refresh_token_reused", reused, audit),
    db.delete(sessions).where(reused),
    db
      .update(sessions)
      .set({ generation: generation + 1, expiresAt })
      .where(
        and(
          own,
          eq(sessions.generation, generation),
          gt(sessions.expiresAt, audit.now),
          sql`exists (select 1 from ${users} where ${and(eq(users.id, sessions.userId), live)})`,
        ),
      )
      .returning({ id: sessions.id }),
  ]);
  return advanced.length === 1;
}

/** Ends a session. One batch, one round trip. */
export async function endSession(
  db: Database,
  sessionUuid: string,
  audit: AuditContext,
): Promise<void> {
  const own = eq(sessions.uuid, sessionUuid);
  await db.batch([auditOfSession(db, "signed_out", own, audit), db.delete(sessions).where(own)]);
}

/** Records the end of sessions, for the person's administrators. It goes before the statement that ends them. */
function auditOfSession(
  db: Database,
  action: AuditAction,
  ended: SQL | undefined,
  audit: AuditContext,
) {
  const event = {
    action,
    subject: { kind: "session" as const, id: sql`${sessions.uuid}` },
    customerId: sql`${users.customerId}`,
  };
  const from = sql`from ${sessions} join ${users} on ${users.id} = ${sessions.userId} where ${ended}`;
  return auditOfRows(db, event, audit, from);
}
