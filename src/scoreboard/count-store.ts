/** Reads how many GPUs machines showed in their last jobs. */
import { type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { fromJson } from "../db/json.ts";
import { measuredCount } from "../db/measured-hardware.ts";
import { figuresPath } from "../db/packed.ts";
import { jobs, tasks } from "../db/schema.ts";

/** The GPUs of a machine in its last job that stated them, with the end of that job, ms; null for no such job. */
type LastCount = readonly [count: number, at: number] | null;

export interface CountRow {
  taskId: number;
  /** Of jobs of the same person and customer. */
  own: LastCount;
  /** Of the runner's claims, whoever owned the jobs; null for a machine that is no runner. */
  runner: LastCount;
}

/** Earlier tasks of a machine that are looked through for one that stated its GPUs. */
const MAX_EARLIER = 10;

/** The last counts of GPUs before each of these tasks. */
export function lastCounts(db: Database, ids: readonly number[], isClaimed: boolean) {
  const at = sql`coalesce(${tasks.endedAt}, ${tasks.createdAt})`;
  // A recording has the GPUs of another machine.
  const isReplayed = sql`coalesce(${tasks.figures} ->> ${sql.raw(`'${figuresPath.withheld}'`)}, '') like '%"r"%'`;
  const before = sql`${tasks.deletedAt} is null and not ${isReplayed} and ${tasks.machineUuid} = node.machine_uuid and (${tasks.createdAt}, ${tasks.jobId}, ${tasks.rank}) < (node.created_at, node.job_id, node.rank)`;
  const last = (which: SQL) =>
    sql`(select json_array(count, at) from (select ${measuredCount} count, ${at} at from ${tasks} where ${before} and ${which} order by ${tasks.createdAt} desc, ${tasks.jobId} desc, ${tasks.rank} desc limit ${MAX_EARLIER}) where count is not null limit 1)`;
  // What a machine says in a job with a token is not the runner's word.
  const claimed = sql`exists (select 1 from ${jobs} where ${jobs.id} = ${tasks.jobId} and ${jobs.specUuid} is not null)`;
  return db
    .select({
      taskId: sql<number>`node.id`.as("node_task_id"),
      own: fromJson<LastCount>(last(sql`${tasks.owner} = node.owner`)).as("own_count"),
      runner: fromJson<LastCount>(isClaimed ? last(claimed) : sql`null`).as("runner_count"),
    })
    .from(sql`json_each(${JSON.stringify(ids)}) each join tasks node on node.id = each.value`);
}
