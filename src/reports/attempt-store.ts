/** Counts attempts at a job's reports that did not end, in the rows of the job and its tasks. */
import { and, between, eq, gte, isNull, lt, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { jobs, tasks } from "../db/schema.ts";
import { taskIdRange } from "../lib/ids.ts";
import { reportable } from "./record-store.ts";

/**
 * Counts an attempt, before it begins: one that dies cannot count itself. One round trip.
 *
 * @param limit attempts from which no other begins; null for none
 * @returns false if nothing was counted: the limit is reached, or the job gets no report
 */
export async function countAttempt(
  db: Database,
  jobId: number,
  limit: number | null,
): Promise<boolean> {
  const counted = await db
    .update(jobs)
    .set({ reportAttempts: sql`${jobs.reportAttempts} + 1` })
    .where(
      and(
        eq(jobs.id, jobId),
        reportable,
        limit === null ? undefined : lt(jobs.reportAttempts, limit),
      ),
    )
    .returning({ id: jobs.id });
  return counted.length > 0;
}

/** Takes a counted attempt back. One round trip. */
export async function discountAttempt(db: Database, jobId: number): Promise<void> {
  await db
    .update(jobs)
    .set({ reportAttempts: sql`max(0, ${jobs.reportAttempts} - 1)` })
    .where(eq(jobs.id, jobId));
}

/**
 * Notes in the job, and in its tasks without a report, that their reports are given up. One round trip.
 *
 * @returns false for a job with fewer attempts than the limit, or that gets no report
 */
export async function giveUp(
  db: Database,
  jobId: number,
  { limit, reportError }: { limit: number; reportError: string },
): Promise<boolean> {
  const target = and(eq(jobs.id, jobId), reportable, gte(jobs.reportAttempts, limit));
  const [given] = await db.batch([
    db.update(jobs).set({ reportError }).where(target).returning({ id: jobs.id }),
    db
      .update(tasks)
      .set({ reportError })
      .where(
        and(
          between(tasks.id, ...taskIdRange(jobId)),
          isNull(tasks.reportHash),
          sql`exists (select 1 from ${jobs} where ${target})`,
        ),
      ),
  ]);
  return given.length > 0;
}
