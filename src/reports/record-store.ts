/** The record of what reports were made. Loaded with the drawing, which no other request needs. */
import { and, eq, isNotNull, isNull, ne, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { unhex } from "../db/hex.ts";
import { insertFrom } from "../db/insert-from.ts";
import { reportKeys, reports } from "../db/schema/reports.ts";
import { jobs, tasks } from "../db/schema.ts";
import { noteKey } from "./key-store.ts";
import type { Signer } from "./signing.ts";

/** Jobs that get reports: settled, not deleted, and created with an account. */
export const reportable = and(isNotNull(jobs.endedAt), isNull(jobs.deletedAt), ne(jobs.userId, 0));

/** The row of a new report. */
export type ReportRow = Omit<typeof reports.$inferSelect, "version" | "keyId">;

/**
 * Records reports whose files are in R2, and makes each the newest of its job or node; with the last of them, the
 * job's attempts are over, and no report is missing any more. Nothing is recorded if
 * the job was rated again or deleted since it was read, so that a slow run never replaces a newer verdict by an
 * older one. Safe to repeat. One batch, one round trip.
 *
 * @returns false when the job has changed and nothing was recorded
 */
export async function recordReports(
  db: Database,
  { id: jobId, verdictText }: { id: number; verdictText: string | null },
  made: readonly ReportRow[],
  { isLast, signer, now }: { isLast: boolean; signer: Signer | null; now: number },
): Promise<boolean> {
  const rows = JSON.stringify(made);
  const field = (name: keyof ReportRow): SQL => sql.raw(`value ->> '$.${name}'`);
  const unchangedJob = and(
    eq(jobs.id, jobId),
    isNull(jobs.deletedAt),
    sql`${jobs.verdict} is ${verdictText}`,
  );
  const ifUnchanged = sql`exists (select 1 from ${jobs} where ${unchangedJob})`;
  const hashOf = (rank: SQL) =>
    sql`(select ${unhex(field("hash"))} from json_each(${rows}) where ${field("rank")} is ${rank})`;
  const ids = sql`(select ${jobId} + 1 + ${field("rank")} from json_each(${rows}) where ${field("rank")} is not null)`;
  const nodeHash = hashOf(sql`tasks.rank`);
  const jobHash = hashOf(sql`null`);
  // An attempt that has recorded something is the first of its row.
  const attempts = isLast ? 0 : 1;
  const error = isLast ? null : sql`${jobs.reportError}`;
  const [, , , , , unchanged] = await db.batch([
    ...noteKey(db, rows, signer, now),
    insertFrom(
      db,
      reports,
      {
        hash: unhex(field("hash")),
        jobId,
        rank: field("rank"),
        version: sql`1 + (select count(*) from reports r where r.job_id = ${jobId} and r.rank is ${field("rank")})`,
        fileSha256: unhex(field("fileSha256")),
        bytes: field("bytes"),
        status: field("status"),
        madeAt: field("madeAt"),
        isReplayed: field("isReplayed"),
        keyId: sql`(select ${reportKeys.id} from ${reportKeys} where ${reportKeys.kid} = ${signer?.kid ?? null})`,
        dataOffset: field("dataOffset"),
        dataBytes: field("dataBytes"),
      },
      sql`from json_each(${rows}) where ${ifUnchanged}`,
    ).onConflictDoNothing(),
    db
      .update(tasks)
      .set({ reportHash: nodeHash, reportError: null })
      .where(
        sql`${tasks.id} in ${ids} and ${tasks.reportHash} is not ${nodeHash} and ${ifUnchanged}`,
      ),
    db
      .update(jobs)
      .set({
        reportHash: sql`coalesce(${jobHash}, ${jobs.reportHash})`,
        reportAttempts: attempts,
        reportError: error,
      })
      .where(
        and(
          unchangedJob,
          sql`(${jobHash} is not null and ${jobs.reportHash} is not ${jobHash} or ${jobs.reportAttempts} <> ${attempts} or ${jobs.reportError} is not ${error})`,
        ),
      ),
    db.select({ id: jobs.id }).from(jobs).where(unchangedJob),
  ]);
  return unchanged.length > 0;
}
