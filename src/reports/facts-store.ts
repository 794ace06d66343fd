/** The facts of a job that its reports show, and the record of what was made of them. Loaded with the drawing. */
import { and, between, eq, isNotNull, isNull, ne, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { unhex } from "../db/hex.ts";
import { insertFrom } from "../db/insert-from.ts";
import { measuredHardware } from "../db/measured-hardware.ts";
import { nodeVerdict } from "../db/node-verdict.ts";
import { reports } from "../db/schema/reports.ts";
import { taskFigures } from "../db/schema/scoreboard.ts";
import { customers, jobs, tasks, users } from "../db/schema.ts";
import type { RatedMetric } from "../lib/enums.ts";
import { taskIdRange } from "../lib/ids.ts";
import type { NodeVerdict, Provenance } from "../lib/stored-json.ts";

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
  | "paper"
  | "provider"
  | "region"
  | "verdict"
  | "reportHash"
> & {
  customer: string;
  /** Name of the job's owner; empty for a deleted person. */
  person: string;
  order: string | null;
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
  history: PastFigures[];
}

/** Figures of a node's machine, per GPU, in this job or an earlier one of the same owner. */
export interface PastFigures {
  /** The node's task in this job. */
  taskId: number;
  /** The end of the job that they are of, ms. */
  at: number;
  values: Readonly<Record<RatedMetric, number | null>>;
  methods: Provenance["methods"];
}

/** Jobs of a machine that a report shows. */
const MAX_JOBS = 10;

/** The last figures of each node's machine, as the same model, for the same person and customer. */
function historyOf(db: Database, range: ReturnType<typeof taskIdRange>) {
  const { at, bf16Tflops, memoryBandwidthGbs, methods } = taskFigures;
  // Their columns, as the index of a machine's figures has them.
  const last = sql`(select p.task_id from task_figures p where p.user_id = own.user_id and p.customer_id = own.customer_id and p.machine_uuid = own.machine_uuid and p.model = own.model and (p.at, p.task_id) <= (own.at, own.task_id) and coalesce(p.bf16_tflops, p.memory_bandwidth_gbs, p.parts) is not null order by p.at desc, p.task_id desc limit ${MAX_JOBS})`;
  return db
    .select({
      taskId: sql<number>`own.task_id`.as("own_task_id"),
      at,
      bf16: bf16Tflops,
      memory: memoryBandwidthGbs,
      methods,
    })
    .from(sql`task_figures own`)
    .innerJoin(taskFigures, sql`${taskFigures.taskId} in ${last}`)
    .where(sql`own.task_id between ${range[0]} and ${range[1]}`);
}

/** The row of a new report. */
export type ReportRow = Omit<typeof reports.$inferSelect, "version">;

/** Null for a job that gets no report: unknown, deleted, not settled, or without an account. One round trip. */
export async function findFacts(db: Database, jobId: number): Promise<JobFacts | null> {
  const range = taskIdRange(jobId);
  const [[job], taskRows, past] = await db.batch([
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
        paper: jobs.paper,
        provider: jobs.provider,
        region: jobs.region,
        order: jobs.orderReference,
        person: sql<string>`${users.name}`.as("person_name"),
        verdict: jobs.verdict,
        verdictText: sql<string | null>`${jobs.verdict}`.as("verdict_text"),
        reportHash: jobs.reportHash,
      })
      .from(jobs)
      .innerJoin(customers, eq(customers.id, jobs.customerId))
      .innerJoin(users, eq(users.id, jobs.userId))
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
    historyOf(db, range),
  ]);
  if (job === undefined) return null;
  const history = past.map(({ taskId, at, bf16, memory, methods }) => {
    return { taskId, at, values: { bf16_tflops: bf16, memory_bandwidth_gbs: memory }, methods };
  });
  return { job, tasks: taskRows, history };
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
  { isLast }: { isLast: boolean },
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
  const [, , , unchanged] = await db.batch([
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
