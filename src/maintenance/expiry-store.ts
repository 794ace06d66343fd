/** What cron reads and writes of live jobs. */
import { sql } from "drizzle-orm";
import { settledEvent } from "../coordinator/advance.ts";
import type { Database } from "../db/client.ts";
import { nextCheck } from "../db/job-check.ts";
import { jobs } from "../db/schema.ts";

/** The jobs of D1 alone (0), or of objects (1), that are due for a look, the longest due first. */
const due = (coordinated: 0 | 1, now: number, limit: number) =>
  sql`${jobs.id} in (select id from jobs where coordinated = ${sql.raw(String(coordinated))}
    and check_at <= ${now} order by check_at, id limit ${limit})`;

/**
 * Ends jobs that no node has joined, which D1 still owns (design §3.1), from the moment of their expiry.
 * What is due without having expired gets its next look: it has ended, or an older server wrote it. One
 * batch, one round trip, at most `limit` rows of each.
 */
export async function settleUnjoined(
  db: Database,
  now: number,
  limit: number,
): Promise<{ settled: number; passed: number }> {
  const isOpen = sql`ended_at is null and deleted_at is null`;
  const [passed, settled] = await db.batch([
    db
      .update(jobs)
      .set({ checkAt: sql`iif(${isOpen}, expires_at, null)` })
      .where(sql`${due(0, now, limit)} and (expires_at > ${now} or not (${isOpen}))`)
      .returning({ id: jobs.id }),
    db
      .update(jobs)
      .set({
        state: "aborted",
        endedAt: now,
        events: JSON.stringify([settledEvent("aborted", now)]),
        version: sql`${jobs.version} + 1`,
        flushedAt: now,
        checkAt: null,
      })
      .where(sql`${due(0, now, limit)} and expires_at <= ${now} and ${isOpen}`)
      .returning({ id: jobs.id }),
  ]);
  return { settled: settled.length, passed: passed.length };
}

/** A live job as D1 knows it. */
export interface Suspect {
  id: number;
  version: number;
  flushedAt: number;
}

/**
 * Takes the jobs whose objects are due for a look, and puts them at the end of the queue: whoever asks an
 * object next does so after a while, whatever becomes of this time. One round trip.
 */
export async function claimSuspects(db: Database, now: number, limit: number): Promise<Suspect[]> {
  const { id, version, flushedAt, endedAt } = jobs;
  const claimed = await db
    .update(jobs)
    .set({ checkAt: nextCheck(now, sql`ended_at`) })
    .where(due(1, now, limit))
    .returning({ id, version, flushedAt, endedAt });
  return claimed.flatMap(({ endedAt: ended, ...suspect }) => (ended === null ? [suspect] : []));
}
