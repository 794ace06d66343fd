import { eq, sql } from "drizzle-orm";
import { bodiesKey } from "../db/bodies.ts";
import { IDEMPOTENCY_KEY_LIFETIME_MS } from "../db/idempotency.ts";
import {
  apiTokens,
  customerUsage,
  idempotencyKeys,
  sessions,
  signInFailures,
} from "../db/schema.ts";
import { ANONYMOUS } from "../identity/anonymous.ts";
import { REVOKED_SEEN_MS, SIGN_IN_FAILURES_LIFETIME_MS } from "../identity/lifetimes.ts";
import { DAY_MS } from "../lib/clock.ts";
import { logEvent } from "../lib/log.ts";
import { findOldAnonymousJobs, removeJobs } from "./retention-store.ts";
import type { StepContext } from "./step.ts";

/** Rows that one statement removes at most. */
const ROWS_AT_ONCE = 1_000;
/** Statements of one kind in a tick. */
const BATCHES = 5;

/** Jobs without an account are removed after this time, with their tasks and results. */
const ANONYMOUS_KEPT_MS = 7 * DAY_MS;
/** Fewer than other rows, since each job is removed from many indexes. */
const JOBS_AT_ONCE = 50;

/**
 * Removes expired rows: idempotency keys a day after their request, sessions without a valid token, old failed
 * sign-ins, and API tokens and keys that were revoked a month ago. At most 5 round trips, each for 1,000 rows of every kind.
 */
export async function clearExpired({ db, clock, goOn }: StepContext) {
  const now = clock.now();
  const sum = { keys: 0, sessions: 0, failures: 0, revoked: 0 };
  const before = now - IDEMPOTENCY_KEY_LIFETIME_MS;
  const revokedBefore = now - REVOKED_SEEN_MS;
  const failedBefore = now - SIGN_IN_FAILURES_LIFETIME_MS;
  for (let batch = 0; batch < BATCHES && goOn(); batch++) {
    const [keys, expired, failures, revoked] = await db.batch([
      // Row ids rise with time, so the oldest rows need no index.
      db
        .delete(idempotencyKeys)
        .where(
          sql`created_at <= ${before} and rowid in (select rowid from idempotency_keys order by rowid
            limit iif((select created_at from idempotency_keys order by rowid limit 1) <= ${before}, ${ROWS_AT_ONCE}, 0))`,
        )
        .returning({ one: sql`1` }),
      db
        .delete(sessions)
        .where(
          sql`id in (select id from sessions where expires_at <= ${now} order by expires_at limit ${ROWS_AT_ONCE})`,
        )
        .returning({ one: sql`1` }),
      db
        .delete(signInFailures)
        .where(
          sql`rowid in (select rowid from sign_in_failures where retry_at <= ${failedBefore} order by retry_at limit ${ROWS_AT_ONCE})`,
        )
        .returning({ one: sql`1` }),
      db
        .delete(apiTokens)
        .where(
          sql`id in (select id from api_tokens where revoked_at <= ${revokedBefore} order by revoked_at limit ${ROWS_AT_ONCE})`,
        )
        .returning({ one: sql`1` }),
    ]);
    sum.keys += keys.length;
    sum.sessions += expired.length;
    sum.failures += failures.length;
    sum.revoked += revoked.length;
    const removed = [keys, expired, failures, revoked];
    if (removed.every(({ length }) => length < ROWS_AT_ONCE)) break;
  }
  return sum;
}

/**
 * Removes jobs without an account permanently, a week after their creation; their coordinators are empty by
 * then. Results in R2 are removed first, so that none stays there without a row. At most 10 round trips.
 */
export async function removeAnonymous({ db, bucket, clock, goOn }: StepContext) {
  let removed = 0;
  for (let batch = 0; batch < BATCHES && goOn(); batch++) {
    const old = await findOldAnonymousJobs(db, clock.now() - ANONYMOUS_KEPT_MS, JOBS_AT_ONCE);
    if (old.length === 0) break;
    const ids = old.map(({ id }) => id);
    await bucket.delete(ids.map(bodiesKey));
    await removeJobs(db, ids);
    removed += old.length;
    if (old.length < JOBS_AT_ONCE) break;
  }
  return { removed };
}

/**
 * Warns of a database that fills up while there is time to move customers elsewhere, and closes the creation of jobs
 * without an account until it is smaller. One round trip, and one more to close or open.
 */
export async function watchSize({ db, config }: StepContext) {
  const { isClosed, customerId } = customerUsage;
  const ofAnonymous = eq(customerId, ANONYMOUS.customerId);
  const { meta, results } = await db.run(
    sql`select ${isClosed} closed from ${customerUsage} where ${ofAnonymous}`,
  );
  const { size_after: bytes } = meta;
  const isLarge = bytes >= config.databaseWarningBytes;
  if (isLarge) logEvent("warn", "database_large", { bytes, limit: config.databaseWarningBytes });
  const [row] = results as { closed: number }[]; // the column above
  if (isLarge !== (row?.closed === 1)) {
    await db
      .insert(customerUsage)
      .values({ customerId: ANONYMOUS.customerId, isClosed: isLarge })
      .onConflictDoUpdate({ target: customerId, set: { isClosed: isLarge } });
  }
  return { bytes };
}
