/** D1 statements of cron for live jobs. */
import { sql } from "drizzle-orm";
import { settledEvent } from "../coordinator/life/advance.ts";
import { nextCheck } from "../coordinator/projection/job-check.ts";
import type { Database } from "../db/client.ts";
import { jobs } from "../db/schema.ts";

/** Jobs due for a check, the longest due first: in D1 alone (`coordinated` 0), or with an object (1). */
const due = (coordinated: 0 | 1, now: number, limit: number) =>
  sql`${jobs.id} in (select id from jobs where coordinated = ${sql.raw(String(coordinated))}
    and check_at <= ${now} order by check_at, id limit ${limit})`;

/**
 * Ends expired jobs that no node has joined, which D1 therefore owns. Due jobs that have not expired get their
 * next check: they have ended, or an older server wrote them. One batch, one round trip, at most `limit` rows
 * of each kind.
 */
export async function settleUnjoined(
  db: Database,
  now: number,
  limit: number,
): Promise<{ settled: number; passed: number }> {
  const open = sql`ended_at is null and deleted_at is null`;
  const [passed, settled] = await db.batch([
    db
      .update(jobs)
      .set({ checkAt: sql`iif(${open}, expires_at, null)` })
      .where(sql`${due(0, now, limit)} and (expires_at > ${now} or not (${open}))`)
      .returning({ id: jobs.id }),
    db
      .update(jobs)
      .set({
        state: "aborted",
        endedAt: now,
        events: [settledEvent("aborted", now)],
        version: sql`${jobs.version} + 1`,
        flushedAt: now,
        checkAt: null,
      })
      .where(sql`${due(0, now, limit)} and expires_at <= ${now} and ${open}`)
      .returning({ id: jobs.id }),
  ]);
  return { settled: settled.length, passed: passed.length };
}

/** A job whose row in D1 may be out of date, or whose bodies are not in R2 yet. */
export interface Suspect {
  id: number;
  version: number;
  flushedAt: number;
  /** It has ended, and D1 does not know its bodies in R2. */
  lacksBodies: boolean;
}

/**
 * Takes the jobs whose objects are due for a check, and puts them at the end of the queue first, so that an
 * object that hangs is asked again only after a while. One round trip.
 */
export async function takeSuspects(db: Database, now: number, limit: number): Promise<Suspect[]> {
  const { id, version, flushedAt, endedAt, bodyBytes } = jobs;
  const rows = await db
    .update(jobs)
    .set({ checkAt: nextCheck(now, sql`ended_at`) })
    .where(due(1, now, limit))
    .returning({ id, version, flushedAt, endedAt, bodyBytes });
  return rows.flatMap(({ endedAt: ended, bodyBytes: stored, ...suspect }) =>
    ended === null || stored === null ? [{ ...suspect, lacksBodies: ended !== null }] : [],
  );
}
