/** What moving results to R2 reads and writes in D1. */
import { and, between, eq, isNull, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { jobs, taskResults } from "../db/schema.ts";
import { taskIdRange } from "../lib/ids.ts";

/** Jobs that ended before a time, ms, and whose results D1 still holds, the first to end first. */
export async function findUnarchived(
  db: Database,
  endedBefore: number,
  limit: number,
): Promise<number[]> {
  const rows = await db
    .select({ id: jobs.id })
    .from(jobs)
    .where(sql`archived_at is null and ended_at is not null and ended_at <= ${endedBefore}`)
    .orderBy(jobs.endedAt, jobs.id)
    .limit(limit);
  return rows.map(({ id }) => id);
}

const { taskId, position, results } = taskResults;

/** How large each result of a job is, in the order in which they are kept. */
export async function sizesOf(db: Database, jobId: number) {
  return db
    .select({ taskId, position, bytes: sql<number>`octet_length(${results})` })
    .from(taskResults)
    .where(and(between(taskId, ...taskIdRange(jobId)), isNull(taskResults.archiveOffset)))
    .orderBy(taskId, position);
}

/** Results by their slots, in the same order. */
export async function readResults(
  db: Database,
  slots: readonly { taskId: number; position: number }[],
) {
  const wanted = JSON.stringify(slots.map((slot) => [slot.taskId, slot.position]));
  return db
    .select({ taskId, position, results })
    .from(taskResults)
    .where(
      sql`(${taskId}, ${position}) in (select value ->> 0, value ->> 1 from json_each(${wanted}))`,
    )
    .orderBy(taskId, position);
}

/** Where in the job's object a result is. */
export type Place = [taskId: number, position: number, offset: number, bytes: number];

/**
 * D1 lets go of what R2 has, and knows where. A job without results has nothing there, and is not looked
 * at again either. One batch, one round trip.
 */
export async function markArchived(
  db: Database,
  jobId: number,
  places: readonly Place[],
  now: number,
): Promise<void> {
  const place = sql`(select value ->> 0 as task_id, value ->> 1 as position, value ->> 2 as start, value ->> 3 as bytes
    from json_each(${JSON.stringify(places)})) place`;
  await db.batch([
    db
      .update(taskResults)
      .set({
        results: "",
        archiveOffset: sql`place.start`,
        archiveBytes: sql`place.bytes`,
      })
      .from(place)
      .where(
        and(
          eq(taskId, sql`place.task_id`),
          eq(position, sql`place.position`),
          isNull(taskResults.archiveOffset),
        ),
      ),
    db
      .update(jobs)
      .set({ archivedAt: now })
      .where(and(eq(jobs.id, jobId), isNull(jobs.archivedAt))),
  ]);
}
