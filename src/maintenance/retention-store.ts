/** D1 statements that remove old jobs. */
import { and, eq, isNotNull, isNull, lt, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { jobs, tasks } from "../db/schema.ts";
import { counterKey, scopeOf } from "../identity/actor.ts";
import { ANONYMOUS } from "../identity/anonymous.ts";
import { firstJobIdAt } from "../lib/ids.ts";

/** The oldest ended jobs without an account that were created before a time, ms. One round trip. */
export async function findOldAnonymousJobs(db: Database, createdBefore: number, limit: number) {
  return db
    .select({ id: jobs.id })
    .from(jobs)
    .where(
      and(
        eq(jobs.owner, counterKey(scopeOf(ANONYMOUS))),
        isNull(jobs.deletedAt),
        // Ids rise with time, so younger jobs are not even read.
        lt(jobs.id, firstJobIdAt(createdBefore + 1)),
        isNotNull(jobs.endedAt),
      ),
    )
    .orderBy(jobs.id)
    .limit(limit);
}

/**
 * Removes jobs with their tasks and results permanently; triggers update counters and tags. Only for jobs
 * whose objects have nothing left to flush. One batch, one round trip.
 */
export async function removeJobs(db: Database, ids: readonly number[]): Promise<void> {
  const removed = sql`json_each(${JSON.stringify(ids)})`;
  // A job's tasks have the 511 ids after its own.
  const ofRemoved = sql`between removed.value + 1 and removed.value + 511`;
  await db.batch([
    db
      .delete(tasks)
      .where(sql`id in (select t.id from ${removed} removed join tasks t on t.id ${ofRemoved})`),
    db.delete(jobs).where(sql`id in (select value from ${removed})`),
  ]);
}
