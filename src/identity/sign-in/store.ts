import { and, eq, gt, inArray, isNull, lte, not, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { sessions, signInFailures, users } from "../../db/schema.ts";
import {
  type AuditAction,
  type AuditEvent,
  auditOfChange,
  auditOfRefusal,
  auditOfRows,
  type Origin,
} from "../audit.ts";
import { SIGN_IN_FAILURES_KEPT_MS } from "../lifetimes.ts";

/** Each failure clears away at most so many forgotten ones: more than it adds, and never all at once. */
const CLEARED_AT_ONCE = 100;

const isLive = and(isNull(users.deletedAt), not(users.locked));

/** How failures in a row make an account wait. */
export interface Waiting {
  freeFailures: number;
  firstWaitMs: number;
  longestWaitMs: number;
  /** How many failures count as one. */
  scale: number;
}

/**
 * The person with this e-mail address, compared without case, and until when sign-in to the account has
 * to wait, whether there is such a person or not; null when it need not. The attempt counts as a failure
 * until it turns out to be none: of many at the same time, each one meets the wait of those before it.
 * One batch, one round trip.
 */
export async function beginAttempt(
  db: Database,
  email: string,
  account: string,
  { freeFailures, firstWaitMs, longestWaitMs, scale }: Waiting,
  now: number,
) {
  const { failures, retryAt } = signInFailures;
  const isForgotten = sql`${retryAt} <= ${now - SIGN_IN_FAILURES_KEPT_MS}`;
  const counted = sql`case when ${isForgotten} then 1 else ${failures} + 1 end`;
  const doublings = sql`((${counted}) / ${scale} - ${freeFailures} - 1)`;
  const wait = sql`case when ${doublings} < 0 then 0 else min(${longestWaitMs}, ${firstWaitMs} << min(${doublings}, 20)) end`;
  const [people, admitted, waiting] = await db.batch([
    db
      .select({
        id: users.id,
        uuid: users.uuid,
        customerId: users.customerId,
        locked: users.locked,
        passwordHash: users.passwordHash,
      })
      .from(users)
      .where(and(eq(sql`lower(${users.email})`, sql`lower(${email})`), isNull(users.deletedAt))),
    db
      .insert(signInFailures)
      .values({ account, failures: 1, retryAt: now })
      .onConflictDoUpdate({
        target: signInFailures.account,
        set: { failures: counted, retryAt: sql`${now} + ${wait}` },
        setWhere: lte(retryAt, now),
      })
      .returning({ failures }),
    db.select({ retryAt }).from(signInFailures).where(eq(signInFailures.account, account)),
  ]);
  return {
    person: people[0] ?? null,
    waitsUntil: admitted.length === 1 ? null : (waiting[0]?.retryAt ?? now),
  };
}

/** Notes in the trail that an attempt has failed. One batch, one round trip. */
export async function recordFailure(
  db: Database,
  { origin, event, now }: { origin: Origin; event: AuditEvent; now: number },
): Promise<void> {
  const forgotten = db
    .select({ account: signInFailures.account })
    .from(signInFailures)
    .where(lte(signInFailures.retryAt, now - SIGN_IN_FAILURES_KEPT_MS))
    .limit(CLEARED_AT_ONCE);
  await db.batch([
    auditOfRefusal(db, origin, event, now),
    db.delete(signInFailures).where(inArray(signInFailures.account, forgotten)),
  ]);
}

export interface NewSession {
  uuid: string;
  userId: number;
  expiresAt: number;
}

/**
 * Begins a session, if the person is still live and the password still the one that was checked. Ends
 * expired ones, forgets failures, and stores the password's newer hash if there is one. One batch, one
 * round trip.
 */
export async function beginSession(
  db: Database,
  session: NewSession,
  account: string,
  password: { checked: string; rehashed: string | null },
  { origin, event, now }: { origin: Origin; event: AuditEvent; now: number },
): Promise<boolean> {
  const unchanged = and(
    eq(users.id, session.userId),
    eq(users.passwordHash, password.checked),
    isLive,
  );
  const begin = db
    .insert(sessions)
    .select(
      sql`select null, ${session.uuid}, ${session.userId}, 1, ${now}, ${session.expiresAt} where exists (select 1 from ${users} where ${unchanged})`,
    )
    .returning({ id: sessions.id });
  const [begun] = await db.batch([
    begin,
    auditOfChange(db, origin, event, now),
    db.delete(signInFailures).where(eq(signInFailures.account, account)),
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
 * Moves a session to its next refresh token, if it is at `generation`; one that is further on has been
 * told an old token and ends. Answers the person's UUID, or null. One batch, one round trip.
 */
export async function advanceSession(
  db: Database,
  sessionUuid: string,
  generation: number,
  expiresAt: number,
  { origin, now }: { origin: Origin; now: number },
): Promise<boolean> {
  const own = eq(sessions.uuid, sessionUuid);
  const reused = and(own, gt(sessions.generation, generation));
  const [, , advanced] = await db.batch([
    auditOfSession(db, "refresh_token_reused", reused, { origin, now }),
    db.delete(sessions).where(reused),
    db
      .update(sessions)
      .set({ generation: generation + 1, expiresAt })
      .where(
        and(
          own,
          eq(sessions.generation, generation),
          gt(sessions.expiresAt, now),
          sql`exists (select 1 from ${users} where ${and(eq(users.id, sessions.userId), isLive)})`,
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
  { origin, now }: { origin: Origin; now: number },
): Promise<void> {
  const own = eq(sessions.uuid, sessionUuid);
  await db.batch([
    auditOfSession(db, "signed_out", own, { origin, now }),
    db.delete(sessions).where(own),
  ]);
}

/** Whoever administers the person reads it. Goes before the statement that ends the session. */
function auditOfSession(
  db: Database,
  action: AuditAction,
  ended: SQL | undefined,
  { origin, now }: { origin: Origin; now: number },
) {
  const event = {
    action,
    subject: { kind: "session" as const, id: sql`${sessions.uuid}` },
    customerId: sql`${users.customerId}`,
  };
  const from = sql`from ${sessions} join ${users} on ${users.id} = ${sessions.userId} where ${ended}`;
  return auditOfRows(db, origin, event, now, from);
}
