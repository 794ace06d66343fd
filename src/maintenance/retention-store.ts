/** What retention reads and writes of jobs. */
import { and, eq, isNotNull, isNull, lte, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { jobs, taskResults, tasks } from "../db/schema.ts";

/** Whose jobs are made without an account. */
const ANONYMOUS_USER_ID = 0;

/** Of those created before a time, ms, the oldest that have ended. One round trip. */
export async function findOldAnonymousJobs(db: Database, createdBefore: number, limit: number) {
  return db
    .select({ id: jobs.id, archivedAt: jobs.archivedAt })
    .from(jobs)
    .where(
      and(
        eq(jobs.userId, ANONYMOUS_USER_ID),
        isNull(jobs.deletedAt),
        lte(jobs.createdAt, createdBefore),
        isNotNull(jobs.endedAt),
      ),
    )
    .orderBy(jobs.createdAt, jobs.id)
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
