import { sql } from "drizzle-orm";
import { idempotencyKeys, sessions, signInFailures } from "../db/schema.ts";
import { IDEMPOTENCY_KEPT_MS } from "../http/idempotency.ts";
import { SIGN_IN_FAILURES_KEPT_MS } from "../identity/lifetimes.ts";
import { archiveKeyOf } from "../jobs/result-archive.ts";
import { DAY_MS, SECOND_MS } from "../lib/clock.ts";
import { withTimeout } from "../lib/retry.ts";
import { findOldAnonymousJobs, removeJobs } from "./retention-store.ts";
import type { Tick } from "./tick.ts";

/** Rows that one statement removes at most, and how many statements of a kind a tick makes. */
const ROWS_AT_ONCE = 1_000;
const BATCHES = 5;

/** Jobs that nobody has signed in for are gone after so long, with everything (contract §4). */
const ANONYMOUS_KEPT_MS = 7 * DAY_MS;
/** Each is removed for good, from every index: fewer at once. */
const JOBS_AT_ONCE = 50;
/** R2 can hang: no deletion may outlive this. */
const DELETE_TIMEOUT_MS = 30 * SECOND_MS;

/**
 * Removes what nobody can use any more: idempotency keys a day after their request, sessions whose tokens
 * have all expired, failed sign-ins that are forgotten. At most 5 round trips, 1,000 rows of each kind.
 */
export async function clearExpired({ db, clock, goOn }: Tick) {
  const now = clock.now();
  const sum = { keys: 0, sessions: 0, failures: 0 };
  const before = now - IDEMPOTENCY_KEPT_MS;
  const failedBefore = now - SIGN_IN_FAILURES_KEPT_MS;
  for (let batch = 0; batch < BATCHES && goOn(); batch++) {
    const [keys, expired, failures] = await db.batch([
      // Rows lie in the order in which they came: the oldest are the first, and no index has to say so.
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
          sql`account in (select account from sign_in_failures where retry_at <= ${failedBefore} order by retry_at limit ${ROWS_AT_ONCE})`,
        )
        .returning({ one: sql`1` }),
    ]);
    sum.keys += keys.length;
    sum.sessions += expired.length;
    sum.failures += failures.length;
    if (Math.max(keys.length, expired.length, failures.length) < ROWS_AT_ONCE) break;
  }
  return sum;
}

/**
 * Removes anonymous jobs for good, a week after their creation: their objects have forgotten them before.
 * What is in R2 goes first, so that nothing is left there that no row leads to. At most 10 round trips.
 */
export async function removeAnonymous({ db, bucket, clock, goOn }: Tick) {
  let removed = 0;
  for (let batch = 0; batch < BATCHES && goOn(); batch++) {
    const old = await findOldAnonymousJobs(db, clock.now() - ANONYMOUS_KEPT_MS, JOBS_AT_ONCE);
    if (old.length === 0) break;
    const archived = old.filter(({ archivedAt }) => archivedAt !== null);
    if (archived.length > 0) {
      const deletion = bucket.delete(archived.map(({ id }) => archiveKeyOf(id)));
      await withTimeout(deletion, DELETE_TIMEOUT_MS, "R2 deletion");
    }
    await removeJobs(
      db,
      old.map(({ id }) => id),
    );
    removed += old.length;
    if (old.length < JOBS_AT_ONCE) break;
  }
  return { removed };
}

/** Warns of a database that fills up: there is time to move results earlier, or customers elsewhere. */
export async function watchSize({ db, config }: Tick) {
  const { meta } = await db.run(sql`select 1`);
  const { size_after: bytes } = meta;
  if (bytes >= config.databaseWarningBytes) {
    const warning = { metric: "database_bytes", value: bytes, limit: config.databaseWarningBytes };
    console.warn(JSON.stringify({ level: "warn", ...warning }));
  }
  return { bytes };
}
