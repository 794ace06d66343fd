import { and, between, eq, isNotNull, isNull, ne, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { unhex } from "../db/hex.ts";
import { insertFrom } from "../db/insert-from.ts";
import { measuredHardware } from "../db/measured-hardware.ts";
import { nodeVerdict } from "../db/node-verdict.ts";
import { reportKeys, reports } from "../db/schema/reports.ts";
import { customers, jobs, tasks } from "../db/schema.ts";
import { taskIdRange } from "../lib/ids.ts";
import type { NodeVerdict } from "../lib/stored-json.ts";
import { noteKey } from "./key-store.ts";
import type { Signer } from "./signing.ts";

/** Jobs that get reports: settled, not deleted, and created with an account. */
export const reportable = and(isNotNull(jobs.endedAt), isNull(jobs.deletedAt), ne(jobs.userId, 0));

/** The columns of a job's row that its report uses. */
export type JobFactsRow = Pick<
  typeof jobs.$inferSelect,
  | "id"
  | "name"
  | "description"
  | "tags"
  | "sequence"
  | "state"
  | "steps"
  | "events"
  | "nodeCount"
  | "currentNodes"
  | "createdAt"
  | "startedAt"
  | "endedAt"
  | "origin"
  | "verdict"
  | "reportHash"
> & {
  customer: string;
  /** The stored text of the verdict: any other text is another verdict. */
  verdictText: string | null;
};

/** A task; its inventory and results are in R2. */
export type TaskFacts = Pick<
  typeof tasks.$inferSelect,
  | "id"
  | "rank"
  | "machineUuid"
  | "machineIp"
  | "gpuModel"
  | "gpuCount"
  | "gpuModels"
  | "state"
  | "failedMessage"
  | "steps"
  | "createdAt"
  | "startedAt"
  | "endedAt"
  | "reportHash"
  | "bodies"
  | "bodyOffset"
> & { verdict: NodeVerdict | null };

/** A job and its tasks, without inventories and results, which are in R2. */
export interface JobFacts {
  job: JobFactsRow;
  /** By rank. */
  tasks: TaskFacts[];
}

/** The row of a new report. */
export type ReportRow = Omit<typeof reports.$inferSelect, "version" | "keyId">;

/** Null for a job that gets no report: unknown, deleted, not settled, or without an account. One round trip. */
export async function findFacts(db: Database, jobId: number): Promise<JobFacts | null> {
  const range = taskIdRange(jobId);
  const [[job], taskRows] = await db.batch([
    db
      .select({
        id: jobs.id,
        name: sql<string>`${jobs.name}`.as("job_name"),
        customer: sql<string>`${customers.name}`.as("customer_name"),
        description: jobs.description,
        tags: jobs.tags,
        sequence: jobs.sequence,
        state: jobs.state,
        steps: jobs.steps,
        events: jobs.events,
        nodeCount: jobs.nodeCount,
        currentNodes: jobs.currentNodes,
        createdAt: sql<number>`${jobs.createdAt}`.as("job_created_at"),
        startedAt: jobs.startedAt,
        endedAt: jobs.endedAt,
        origin: jobs.origin,
        verdict: jobs.verdict,
        verdictText: sql<string | null>`${jobs.verdict}`.as("verdict_text"),
        reportHash: jobs.reportHash,
      })
      .from(jobs)
      .innerJoin(customers, eq(customers.id, jobs.customerId))
      .where(and(eq(jobs.id, jobId), reportable)),
    db
      .select({
        id: tasks.id,
        rank: tasks.rank,
        machineUuid: tasks.machineUuid,
        machineIp: tasks.machineIp,
        ...measuredHardware,
        state: tasks.state,
        failedMessage: tasks.failedMessage,
        steps: tasks.steps,
        createdAt: tasks.createdAt,
        startedAt: tasks.startedAt,
        endedAt: tasks.endedAt,
        verdict: nodeVerdict,
        reportHash: tasks.reportHash,
        bodies: tasks.bodies,
        bodyOffset: tasks.bodyOffset,
      })
      .from(tasks)
      .where(between(tasks.id, ...range))
      .orderBy(tasks.id),
  ]);
  return job === undefined ? null : { job, tasks: taskRows };
}

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
  { id: jobId, verdictText }: Pick<JobFactsRow, "id" | "verdictText">,
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

/** A hash that the database chooses. */
function hexOf(expression: SQL): SQL<string | null> {
  return sql`${expression}`.mapWith(reports.hash);
}

/** The facts that decide about a report; null for an unknown or deleted job. One round trip. */
export async function findReportedJob(db: Database, jobId: number) {
  const [row] = await db
    .select({ id: jobs.id, userId: jobs.userId, endedAt: jobs.endedAt })
    .from(jobs)
    .where(and(eq(jobs.id, jobId), isNull(jobs.deletedAt)));
  return row ?? null;
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
