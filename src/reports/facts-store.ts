/** Reads what D1 knows of a settled job, for its reports. */
import { and, between, eq, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { fromJson } from "../db/json.ts";
import { measuredHardware } from "../db/measured-hardware.ts";
import { nodeVerdictText, readNodeVerdict } from "../db/node-verdict.ts";
import { taskFigures } from "../db/schema/scoreboard.ts";
import { customers, jobs, tasks, users } from "../db/schema.ts";
import { MIB } from "../lib/bytes.ts";
import type { RatedMetric } from "../lib/enums.ts";
import { taskIdRange } from "../lib/ids.ts";
import type { NodeVerdict, Provenance } from "../lib/stored-json.ts";
import { reportable } from "./record-store.ts";

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
function readHistory(db: Database, range: ReturnType<typeof taskIdRange>) {
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

/** Bound of the longest columns of one read, as they are stored: parsed, they take many times as much memory. */
const READ_BYTES = MIB / 2;

// A report tells of straggling GPUs by the findings that they have become.
const reportedVerdict = fromJson<NodeVerdict | null>(
  sql`json_set(${nodeVerdictText}, '$[4][2]', null)`,
  readNodeVerdict,
).as("node_verdict");

/**
 * The tasks of a job behind an id, as many as the bound allows: of a job of 256 nodes in which everything went wrong,
 * the verdicts and reasons of all take 6 MB.
 */
function readTasks(db: Database, jobId: number, after: number) {
  const [first, last] = taskIdRange(jobId);
  const own = between(tasks.id, Math.max(first, after + 1), last);
  const bytes = sql`octet_length(${tasks.steps}) + coalesce(octet_length(${tasks.verdict}), 0)`;
  const sized = sql`select ${tasks.id} task_id, sum(${bytes}) over (order by ${tasks.id}) upto, row_number() over (order by ${tasks.id}) number from ${tasks} where ${own}`;
  const until = sql`(select max(task_id) from (${sized}) where upto <= ${READ_BYTES} or number = 1)`;
  return db
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
      verdict: reportedVerdict,
      reportHash: tasks.reportHash,
      bodies: tasks.bodies,
      bodyOffset: tasks.bodyOffset,
    })
    .from(tasks)
    .where(and(own, sql`${tasks.id} <= ${until}`))
    .orderBy(tasks.id);
}

/**
 * Null for a job that gets no report: unknown, deleted, not settled, or without an account. One round trip; more for a
 * job whose tasks are beyond the bound of one read.
 */
export async function findFacts(db: Database, jobId: number): Promise<JobFacts | null> {
  const [[job], first, past] = await db.batch([
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
    readTasks(db, jobId, 0),
    readHistory(db, taskIdRange(jobId)),
  ]);
  if (job === undefined) return null;
  const all = [...first];
  // A job that is rated again meanwhile is read again: see `recordReports`.
  for (let at = all.at(-1)?.id; at !== undefined && all.length < job.currentNodes; ) {
    const page = await readTasks(db, jobId, at);
    all.push(...page);
    at = page.at(-1)?.id;
  }
  const history = past.map(({ taskId, at, bf16, memory, methods }) => {
    return { taskId, at, values: { bf16_tflops: bf16, memory_bandwidth_gbs: memory }, methods };
  });
  return { job, tasks: all, history };
}
