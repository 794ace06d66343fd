/** When cron looks at a job; for statements that write `jobs`. */
import { type SQL, sql } from "drizzle-orm";
import { MINUTE_MS } from "../lib/clock.ts";

/** A live job whose row was not written for so long is asked for what D1 may have missed (design §3.5). */
export const CHECK_EVERY_MS = 10 * MINUTE_MS;

/** The next look at this row: at its expiry, or after a while without a word of it; never once it has ended. */
export function nextCheck(now: number, endedAt: SQL | number | null): SQL<number | null> {
  const later = now + CHECK_EVERY_MS;
  return sql<number | null>`case when ${endedAt} is not null then null
    when expires_at > ${now} then min(expires_at, ${later}) else ${later} end`;
}
