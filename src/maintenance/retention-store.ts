/** What retention reads and writes of jobs. */
import { and, eq, isNotNull, isNull, lt, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { jobs, taskResults, tasks } from "../db/schema.ts";
import { ANONYMOUS } from "../identity/anonymous.ts";
import { firstJobIdAt } from "../lib/ids.ts";

/** Of those created before a time, ms, the oldest that have ended. One round trip. */
export async function findOldAnonymousJobs(db: Database, createdBefore: number, limit: number) {
  return db
    .select({ id: jobs.id, archivedAt: jobs.archivedAt })
    .from(jobs)
    .where(
      and(
        eq(jobs.userId, ANONYMOUS.userId),
        isNull(jobs.deletedAt),
        // Ids rise with time: younger jobs are not even looked at.
        lt(jobs.id, firstJobIdAt(createdBefore + 1)),
        isNotNull(jobs.endedAt),
      ),
    )
    .orderBy(jobs.id)
    .limit(limit);
}

/**
 * Removes jobs with their tasks and results, for good; triggers take them out of counters and tags. Only
 * for jobs whose objects have nothing more to say. One batch, one round trip.
 */
export async function removeJobs(db: Database, ids: readonly number[]): Promise<void> {
  const given = sql`json_each(${JSON.stringify(ids)})`;
  // A job's tasks have the 511 ids after its own.
  const ofThem = sql`between given.value + 1 and given.value + 511`;
  await db.batch([
    db
      .delete(taskResults)
      .where(
        sql`rowid in (select r.rowid from ${given} given join task_results r on r.task_id ${ofThem})`,
      ),
    db
      .delete(tasks)
      .where(sql`id in (select t.id from ${given} given join tasks t on t.id ${ofThem})`),
    db.delete(jobs).where(sql`id in (select value from ${given})`),
  ]);
}
