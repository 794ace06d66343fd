/** Reads of reports, for those who open or check them. */
import { and, eq, isNull, ne, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { reportKeys, reports } from "../db/schema/reports.ts";
import { jobs } from "../db/schema.ts";

/** A hash that the database chooses. */
function hexOf(expression: SQL): SQL<string | null> {
  return sql`${expression}`.mapWith(reports.hash);
}

/** The newest report of a job or of a task. */
export interface ReportFile {
  jobId: number;
  /** Name of the job. */
  name: string;
  /** Null while none has been made. */
  hash: string | null;
  isSettled: boolean;
}

/** Null for a job or task that is unknown, deleted, or without an account. One round trip. */
export async function findFile(
  db: Database,
  { jobId, taskId }: { jobId: number; taskId: number | null },
): Promise<ReportFile | null> {
  const hash =
    taskId === null
      ? sql`${jobs.reportHash}`
      : sql`(select t.report_hash from tasks t where t.id = ${taskId})`;
  const taskExists =
    taskId === null ? undefined : sql`exists (select 1 from tasks t where t.id = ${taskId})`;
  const [row] = await db
    .select({
      jobId: jobs.id,
      name: jobs.name,
      hash: hexOf(hash).as("hash"),
      endedAt: jobs.endedAt,
    })
    .from(jobs)
    .where(and(eq(jobs.id, jobId), isNull(jobs.deletedAt), ne(jobs.userId, 0), taskExists));
  return row === undefined ? null : { ...row, isSettled: row.endedAt !== null };
}

/** A report with the present state of its job; null for an unknown report or a deleted job. One round trip. */
export async function findReport(db: Database, hash: string) {
  const latest = sql`iif(${reports.rank} is null, ${jobs.reportHash},
    (select t.report_hash from tasks t where t.id = ${reports.jobId} + 1 + ${reports.rank}))`;
  const [row] = await db
    .select({
      hash: reports.hash,
      jobId: reports.jobId,
      rank: reports.rank,
      version: reports.version,
      fileSha256: reports.fileSha256,
      bytes: reports.bytes,
      status: reports.status,
      madeAt: reports.madeAt,
      isReplayed: reports.isReplayed,
      dataOffset: reports.dataOffset,
      dataBytes: reports.dataBytes,
      kid: sql<
        string | null
      >`(select ${reportKeys.kid} from ${reportKeys} where ${reportKeys.id} = ${reports.keyId})`.as(
        "signing_kid",
      ),
      createdAt: jobs.createdAt,
      startedAt: jobs.startedAt,
      endedAt: jobs.endedAt,
      state: jobs.state,
      latest: hexOf(latest).as("latest"),
    })
    .from(reports)
    .innerJoin(jobs, eq(jobs.id, reports.jobId))
    .where(and(eq(reports.hash, hash), isNull(jobs.deletedAt)));
  return row ?? null;
}

export type ReportRecord = NonNullable<Awaited<ReturnType<typeof findReport>>>;
