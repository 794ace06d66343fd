import { and, between, eq, isNotNull, isNull, ne, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { reports } from "../db/schema/reports.ts";
import { customers, jobs, taskResults, tasks } from "../db/schema.ts";
import { taskIdRange } from "../lib/ids.ts";

/** Jobs that get reports: settled, not deleted, and somebody's. */
const reportable = and(isNotNull(jobs.endedAt), isNull(jobs.deletedAt), ne(jobs.userId, 0));

/** What a report needs of a job's row. */
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
> & { customer: string };

/** A task without its inventory, which can be large. */
export type TaskFacts = Pick<
  typeof tasks.$inferSelect,
  | "id"
  | "rank"
  | "machineUuid"
  | "machineIp"
  | "gpuModel"
  | "gpuCount"
  | "state"
  | "failedMessage"
  | "steps"
  | "createdAt"
  | "startedAt"
  | "endedAt"
  | "verdict"
  | "reportHash"
> & {
  /** Of its inventory and its results. */
  bytes: number;
};

/** What D1 knows of a job, without what its nodes sent. */
export interface JobFacts {
  job: JobFactsRow;
  /** By rank. */
  tasks: TaskFacts[];
}

/** A report that was made, as its row. */
export type ReportRow = Omit<typeof reports.$inferSelect, "version">;

/** Null when the job gets no report: unknown, deleted, not settled, or nobody's. One round trip. */
export async function findFacts(db: Database, jobId: number): Promise<JobFacts | null> {
  const range = taskIdRange(jobId);
  const sent = sql<number>`(select coalesce(sum(coalesce(r.archive_bytes, octet_length(r.results))), 0) from task_results r where r.task_id = ${tasks.id})`;
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
        gpuModel: tasks.gpuModel,
        gpuCount: tasks.gpuCount,
        state: tasks.state,
        failedMessage: tasks.failedMessage,
        steps: tasks.steps,
        createdAt: tasks.createdAt,
        startedAt: tasks.startedAt,
        endedAt: tasks.endedAt,
        verdict: tasks.verdict,
        reportHash: tasks.reportHash,
        bytes: sql<number>`coalesce(octet_length(${tasks.inventory}), 0) + ${sent}`.as("bytes"),
      })
      .from(tasks)
      .where(between(tasks.id, ...range))
      .orderBy(tasks.id),
  ]);
  return job === undefined ? null : { job, tasks: taskRows };
}

/** A result as D1 keeps it: its JSON may have moved to R2. */
export type StoredResult = typeof taskResults.$inferSelect;

/** What the nodes of some tasks sent: inventories and results. One round trip. */
export async function readSent(db: Database, [first, last]: [number, number]) {
  const [inventories, results] = await db.batch([
    db
      .select({ id: tasks.id, inventory: tasks.inventory })
      .from(tasks)
      .where(between(tasks.id, first, last)),
    db
      .select()
      .from(taskResults)
      .where(between(taskResults.taskId, first, last))
      .orderBy(taskResults.taskId, taskResults.position),
  ]);
  return { inventories, results };
}

/**
 * Notes reports whose files are in R2, and makes each the newest of its job or node. Repeating it changes
 * nothing. One batch, one round trip.
 */
export async function recordReports(
  db: Database,
  jobId: number,
  made: readonly ReportRow[],
): Promise<void> {
  const rows = JSON.stringify(made);
  const field = (name: keyof ReportRow): SQL => sql.raw(`value ->> '$.${name}'`);
  const isLive = sql`exists (select 1 from jobs where id = ${jobId} and deleted_at is null)`;
  const hashOf = (rank: SQL) =>
    sql`(select ${field("hash")} from json_each(${rows}) where ${field("rank")} is ${rank})`;
  const ids = sql`(select ${jobId} + 1 + ${field("rank")} from json_each(${rows}) where ${field("rank")} is not null)`;
  const nodeHash = hashOf(sql`tasks.rank`);
  const jobHash = hashOf(sql`null`);
  await db.batch([
    db
      .insert(reports)
      // In the order of the table's columns.
      .select(sql`
        select ${field("hash")}, ${jobId}, ${field("rank")},
          1 + (select count(*) from reports r where r.job_id = ${jobId} and r.rank is ${field("rank")}),
          ${field("fileSha256")}, ${field("bytes")}, ${field("status")}, ${field("madeAt")}
        from json_each(${rows}) where ${isLive}`)
      .onConflictDoNothing(),
    db
      .update(tasks)
      .set({ reportHash: nodeHash })
      .where(sql`${tasks.id} in ${ids} and ${tasks.reportHash} is not ${nodeHash} and ${isLive}`),
    db
      .update(jobs)
      .set({ reportHash: jobHash })
      .where(
        sql`${jobs.id} = ${jobId} and ${jobs.deletedAt} is null and ${jobHash} is not null and ${jobs.reportHash} is not ${jobHash}`,
      ),
  ]);
}

/** Null when there is no such job, or it is deleted. One round trip. */
export async function findReportedJob(db: Database, jobId: number) {
  const { id, userId, endedAt } = jobs;
  const [row] = await db
    .select({ id, userId, endedAt })
    .from(jobs)
    .where(and(eq(jobs.id, jobId), isNull(jobs.deletedAt)));
  return row ?? null;
}

/** What a link to a file leads to: the newest report of a job, or of a task. */
export interface ReportFile {
  jobId: number;
  /** The job's. */
  name: string;
  /** Null while none has been made. */
  hash: string | null;
  isSettled: boolean;
}

/** Null when there is no such job, it is deleted, or it is nobody's. One round trip. */
export async function findFile(
  db: Database,
  { jobId, taskId }: { jobId: number; taskId: number | null },
): Promise<ReportFile | null> {
  const hash =
    taskId === null
      ? sql<string | null>`${jobs.reportHash}`
      : sql<string | null>`(select t.report_hash from tasks t where t.id = ${taskId})`;
  const isThere =
    taskId === null ? undefined : sql`exists (select 1 from tasks t where t.id = ${taskId})`;
  const [row] = await db
    .select({ jobId: jobs.id, name: jobs.name, hash: hash.as("hash"), endedAt: jobs.endedAt })
    .from(jobs)
    .where(and(eq(jobs.id, jobId), isNull(jobs.deletedAt), ne(jobs.userId, 0), isThere));
  return row === undefined ? null : { ...row, isSettled: row.endedAt !== null };
}

/** A report with what is true of it now; null when it never was, or its job is gone. One round trip. */
export async function findReport(db: Database, hash: string) {
  const latest = sql<string | null>`iif(${reports.rank} is null, ${jobs.reportHash},
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
      createdAt: jobs.createdAt,
      startedAt: jobs.startedAt,
      endedAt: jobs.endedAt,
      state: jobs.state,
      latest: latest.as("latest"),
    })
    .from(reports)
    .innerJoin(jobs, eq(jobs.id, reports.jobId))
    .where(and(eq(reports.hash, hash), isNull(jobs.deletedAt)));
  return row ?? null;
}

export type FoundReport = NonNullable<Awaited<ReturnType<typeof findReport>>>;

/**
 * Settled jobs without a report, the latest ended first: none that cannot be made keeps others waiting. Those
 * that have an object count only once they ended before a time, ms: it may still be at work. One round trip.
 */
export async function findUnreported(
  db: Database,
  ended: { after: number; before: number },
  limit: number,
): Promise<number[]> {
  const rows = await db.all<{ id: number }>(sql`
    select id from jobs
    where ended_at is not null and report_hash is null and user_id <> 0 and deleted_at is null
      and ended_at > ${ended.after} and (coordinated = 0 or ended_at <= ${ended.before})
    order by ended_at desc limit ${limit}`);
  return rows.map(({ id }) => id);
}
