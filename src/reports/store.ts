/** What decides whether a job gets reports. */
import { and, eq, isNull } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { jobs } from "../db/schema.ts";

/** The facts that decide about a report; null for an unknown or deleted job. One round trip. */
export async function findReportedJob(db: Database, jobId: number) {
  const [row] = await db
    .select({ id: jobs.id, userId: jobs.userId, endedAt: jobs.endedAt })
    .from(jobs)
    .where(and(eq(jobs.id, jobId), isNull(jobs.deletedAt)));
  return row ?? null;
}
