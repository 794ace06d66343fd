/** Reads what D1 knows of a settled job, for its reports. */
import { and, between, eq, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { fromJson } from "../db/json.ts";
import { measuredHardware } from "../db/measured-hardware.ts";
import { nodeVerdictText, readNodeVerdict } from "../db/node-verdict.ts";
import { customers, jobs, tasks } from "../db/schema.ts";
import { MIB } from "../lib/bytes.ts";
import { taskIdRange } from "../lib/ids.ts";
import type { NodeVerdict } from "../lib/stored-json.ts";
import { reportable } from "./store.ts";

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
  const [[job], first] = await db.batch([
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
    readTasks(db, jobId, 0),
  ]);
  if (job === undefined) return null;
  const all = [...first];
  // A job that is rated again meanwhile is read again: see `recordReports`.
  for (let at = all.at(-1)?.id; at !== undefined && all.length < job.currentNodes; ) {
    const page = await readTasks(db, jobId, at);
    all.push(...page);
    at = page.at(-1)?.id;
  }
  return { job, tasks: all };
}
