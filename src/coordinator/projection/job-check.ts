/** Time of cron's next check of a job, for statements that write `jobs`. */
import { type SQL, sql } from "drizzle-orm";
import { MINUTE_MS } from "../../lib/clock.ts";

/** Cron asks the object of a live job whose row was not written for this long, as D1 may lack a change. */
export const CHECK_EVERY_MS = 10 * MINUTE_MS;

/**
 * Time of the next check, ms: the job's expiry, or `CHECK_EVERY_MS` without a write; null for an ended job whose bodies
 * are in R2.
 */
export function nextCheck(now: number, endedAt: SQL | number | null): SQL<number | null> {
  const later = now + CHECK_EVERY_MS;
  return sql<
    number | null
  >`case when ${endedAt} is not null then iif(body_bytes is null, ${later}, null)
    when expires_at > ${now} then min(expires_at, ${later}) else ${later} end`;
}
