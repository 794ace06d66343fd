/** Reads and writes of cron's sweep: jobs with missing reports, and deleted jobs with reports. */
import { between, eq, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { reports } from "../db/schema/reports.ts";
import { jobs, tasks } from "../db/schema.ts";
import { taskIdRange } from "../lib/ids.ts";

/**
 * Settled jobs without a report that have not been given up, latest end first, so that a report that cannot be made delays no later job.
 * A job with an object is left out if it ended after `objectsBefore`, since its object rates it and makes the
 * report. One round trip.
 */
export async function findUnreported(
  db: Database,
  { endedAfter, objectsBefore }: { endedAfter: number; objectsBefore: number },
  limit: number,
): Promise<number[]> {
  const rows = await db.all<{ id: number }>(sql`
    select id from jobs
    where ended_at is not null and report_hash is null and report_error is null and user_id <> 0 and deleted_at is null
      and ended_at > ${endedAfter} and (coordinated = 0 or ended_at <= ${objectsBefore})
    order by ended_at desc limit ${limit}`);
  return rows.map(({ id }) => id);
}

/** Jobs deleted before a time, ms, that still have files in R2, earliest deletion first. One round trip. */
export async function findDeleted(
  db: Database,
  deletedBefore: number,
  limit: number,
): Promise<number[]> {
  const rows = await db.all<{ id: number }>(sql`
    select id from jobs where deleted_at <= ${deletedBefore} and deleted_at is not null
      and (report_hash is not null or body_bytes > 0)
    order by deleted_at limit ${limit}`);
  return rows.map(({ id }) => id);
}

/** Removes the rows of a job's reports, and the places of its bodies, once the files are gone. One round trip. */
export async function forgetReports(db: Database, jobId: number): Promise<void> {
  await db.batch([
    db.delete(reports).where(eq(reports.jobId, jobId)),
    db
      .update(tasks)
      .set({ reportHash: null, bodies: [], bodyOffset: null })
      .where(between(tasks.id, ...taskIdRange(jobId))),
    db.update(jobs).set({ reportHash: null, bodyBytes: 0 }).where(eq(jobs.id, jobId)),
  ]);
}
