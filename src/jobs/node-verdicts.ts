/** The verdicts of nodes in a list of jobs: the first of them come with the page, others while the reply is sent. */
import { type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { fromJson } from "../db/json.ts";
import { nodeVerdictText, readNodeVerdict } from "../db/node-verdict.ts";
import { tasks } from "../db/schema.ts";
import type { Later } from "../http/raw-json.ts";
import { MIB } from "../lib/bytes.ts";
import type { NodeVerdict } from "../lib/stored-json.ts";
import { toPerformanceNode } from "../scoreboard/verdict-wire.ts";

/** Bound of the verdicts of one read, as they are stored: about 2 MiB of JSON. */
const READ_BYTES = MIB / 2;

/** A node's verdict in a list. */
export interface ListedNode {
  taskId: number;
  jobId: number;
  /** Null in the only row of a job whose verdicts are read later. */
  verdict: NodeVerdict | null;
  /** Bytes of all verdicts of the job. */
  bytes: number;
}

const bytes = sql`octet_length(${tasks.verdict})`;
// Looked up last, so that no text beyond the bound is touched.
const verdict = sql`(select ${nodeVerdictText} from ${tasks} where ${tasks.id} = task_id)`;

/** @param ids the jobs, in a column `id` */
const sized = (ids: SQL, upto: SQL, after = 0) =>
  sql`(select ${tasks.id} task_id, ${tasks.jobId} job_id, sum(${bytes}) over (${upto}) upto, sum(${bytes}) over (partition by ${tasks.jobId}) bytes, row_number() over (partition by ${tasks.jobId} order by ${tasks.id}) number from (${ids}) page cross join ${tasks} on ${tasks.id} between page.id + 1 and page.id + 511 where ${tasks.verdict} is not null and ${tasks.id} > ${after})`;

const isFirst = sql`(upto <= ${READ_BYTES} or number = 1)`;

/** The node verdicts of these jobs, by rank: those of whole jobs up to the bound, and a row for each other job. */
export function firstVerdicts(db: Database, ids: SQL) {
  return db
    .select({
      taskId: sql<number>`task_id`.as("node_task_id"),
      jobId: sql<number>`job_id`.as("node_job_id"),
      verdict: fromJson<NodeVerdict | null>(
        sql`case when upto <= ${READ_BYTES} then ${verdict} end`,
        readNodeVerdict,
      ).as("node_verdict"),
      bytes: sql<number>`bytes`.as("node_bytes"),
    })
    .from(sized(ids, sql`order by ${tasks.jobId}`))
    .where(isFirst)
    .orderBy(sql`task_id`);
}

interface ReadNode {
  jobId: number;
  taskId: number;
  /** JSON for `readNodeVerdict`. */
  verdict: string;
  /** Bytes of the job's verdicts behind this one. */
  rest: number;
}

/** Node verdicts of jobs, by rank; of each job at most the bound. One round trip. */
function readVerdicts(db: Database, jobIds: readonly number[], after: number) {
  const ids = sql`select value id from json_each(${JSON.stringify(jobIds)})`;
  const upto = sql`partition by ${tasks.jobId} order by ${tasks.id}`;
  return db.all<ReadNode>(
    sql`select job_id jobId, task_id taskId, ${verdict} verdict, bytes - upto rest from ${sized(ids, upto, after)} where ${isFirst} order by task_id`,
  );
}

/** The nodes of each job of a page, in hand or read later. */
export function nodesByJob(
  db: Database,
  page: readonly { id: number }[],
  nodes: readonly ListedNode[],
): (jobId: number) => readonly ListedNode[] | Later {
  const byJob = Map.groupBy(nodes, ({ jobId }) => jobId);
  const isLater = ({ verdict }: ListedNode) => verdict === null;
  const waiting = page.flatMap(({ id }) => byJob.get(id)?.filter(isLater) ?? []);
  const readLater = laterVerdicts(db, waiting);
  return (jobId) => {
    const known = byJob.get(jobId) ?? [];
    return known.some(isLater) ? readLater(jobId) : known;
  };
}

/**
 * Reads the verdicts of jobs while the reply is sent, in groups of jobs up to the bound; a job above it is read in parts.
 * Nothing is read before the client wants it.
 *
 * @param jobs in the order of the reply
 * @returns the items of a job's list
 */
function laterVerdicts(
  db: Database,
  jobs: readonly { jobId: number; bytes: number }[],
): (jobId: number) => Later {
  const waiting = [...jobs];
  let group = new Map<number, ReadNode[]>();
  const nextGroup = () => {
    const ids: number[] = [];
    let sum = 0;
    for (const { jobId, bytes } of waiting) {
      sum += bytes;
      if (sum > READ_BYTES && ids.length > 0) break;
      ids.push(jobId);
    }
    waiting.splice(0, ids.length);
    return ids;
  };
  return (jobId) => ({
    async *later() {
      if (waiting[0]?.jobId === jobId) {
        group = Map.groupBy(await readVerdicts(db, nextGroup(), 0), (node) => node.jobId);
      }
      let nodes = group.get(jobId) ?? [];
      group.delete(jobId);
      let separator = "";
      while (nodes.length > 0) {
        for (const { taskId: id, verdict: text } of nodes) {
          const verdict = readNodeVerdict(JSON.parse(text));
          yield separator + JSON.stringify(toPerformanceNode({ id, verdict }));
          separator = ",";
        }
        const last = nodes.at(-1);
        nodes =
          last === undefined || last.rest === 0 ? [] : await readVerdicts(db, [jobId], last.taskId);
      }
    },
  });
}
