import {
  and,
  type Column,
  count,
  desc,
  eq,
  getTableColumns,
  isNull,
  type SQL,
  sql,
} from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { fromPacked } from "../../db/forms.ts";
import { fromJson } from "../../db/json.ts";
import type { KeysetOrder, PageWindow } from "../../db/keyset.ts";
import { measuredHardware } from "../../db/measured-hardware.ts";
import { unindexed } from "../../db/named-rows.ts";
import { nodeVerdict } from "../../db/node-verdict.ts";
import { findings, nodeVerdictPath } from "../../db/packed-verdicts.ts";
import { findingCounts, jobs, taskCounts, tasks } from "../../db/schema.ts";
import { counterKey, type Scope } from "../../identity/actor.ts";
import type { JobState, PerformanceStatus, SpecCheckStatus } from "../../lib/enums.ts";
import { jobIdOf, taskIdRange } from "../../lib/ids.ts";
import type { Finding, NodeVerdict, SequenceStep } from "../../lib/stored-json.ts";
import { isStored, visibleTo } from "../store.ts";

export interface TaskFilter {
  jobId?: number | undefined;
  state?: JobState | undefined;
  machineIp?: string | undefined;
  machineUuid?: string | undefined;
  performanceStatus?: PerformanceStatus | undefined;
  specStatus?: SpecCheckStatus | undefined;
  hasFindings?: true | undefined;
}

/** A task in a list: without the verdict, which can be large. */
export type ListedTaskRow = Omit<typeof tasks.$inferSelect, "verdict"> & {
  /** Null unless results are requested. */
  sequence: SequenceStep[] | null;
  /** Null for none, and before the task is rated. */
  findings: Finding[] | null;
};

const { verdict: _verdict, ...columns } = getTableColumns(tasks);
const storedFindings = sql`${tasks.verdict} -> ${sql.raw(`'${nodeVerdictPath.findings}'`)}`;
const listedColumns = {
  ...columns,
  findings: fromPacked(findings, storedFindings).as("findings"),
};

/** Filters in the order of their selectivity: the first one given chooses the range of an index. */
const LEADING = [
  "jobId",
  "machineUuid",
  "machineIp",
  "hasFindings",
  "performanceStatus",
  "specStatus",
  "state",
] as const;

/**
 * Matches the tasks of a list. One filter leads, together with the scope, and uses its index; the others only
 * test its rows, so that the database picks no other index.
 */
function taskFilter(scope: Scope, filter: TaskFilter): SQL | undefined {
  const leading = LEADING.find((name) => filter[name] !== undefined);
  const filters = LEADING.map((name) => {
    const value = filter[name];
    if (value === undefined) return undefined;
    const of = (column: Column) => (name === leading ? column : unindexed(column));
    // As the indexes have it.
    if (name === "hasFindings") return sql`${of(tasks.findingCount)} > 0`;
    return sql`${of(tasks[name])} = ${value}`;
  });
  return and(
    isNull(tasks.deletedAt),
    inScope(scope, { isIndexed: leading !== "jobId" }),
    ...filters,
  );
}

/** @param options `isIndexed`: false for the tasks of one job, which all have the same scope */
function inScope(scope: Scope, { isIndexed }: { isIndexed: boolean }): SQL {
  const column = (indexed: SQL) => (isIndexed ? indexed : unindexed(indexed));
  switch (scope.kind) {
    case "user":
      return sql`${column(sql`${tasks.owner}`)} = ${counterKey(scope)}`;
    case "customer":
      return sql`${column(sql`${tasks.customerId}`)} = ${scope.customerId}`;
    case "all":
      return sql`true`;
  }
}

/** Orders by joining time, then job and rank, which is the order of ids in columns of the indexes. */
export function orderOf(
  { jobId }: TaskFilter,
  descending: boolean,
): Omit<KeysetOrder<Pick<ListedTaskRow, "createdAt" | "jobId" | "rank">>, "list"> {
  const time = { column: sql`${tasks.createdAt}`, type: "number" as const };
  const job = { column: sql`${tasks.jobId}`, type: "number" as const };
  const rank = { column: sql`${tasks.rank}`, type: "number" as const };
  // Tasks of one job need no order by job; without it the index can serve the range.
  return jobId === undefined
    ? {
        columns: [time, job, rank],
        descending,
        keyOf: (row) => [row.createdAt, row.jobId, row.rank],
      }
    : { columns: [time, rank], descending, keyOf: (row) => [row.createdAt, row.rank] };
}

/** The total of a list: from counter rows or the last rank of the job, else by counting the matches. */
function totalOf(db: Database, scope: Scope, filter: TaskFilter) {
  const { jobId, state, hasFindings, ...others } = filter;
  const filters = Object.values(filter).filter((value) => value !== undefined).length;
  const isCounted =
    jobId === undefined && Object.values(others).every((value) => value === undefined);
  if (isCounted) {
    const table = hasFindings ? findingCounts : taskCounts;
    return db
      .select({ total: sql<number>`coalesce(sum(${table.tasks}), 0)` })
      .from(table)
      .where(
        and(
          eq(table.scope, counterKey(scope)),
          state === undefined ? undefined : eq(table.state, state),
        ),
      );
  }
  if (jobId !== undefined && filters === 1) {
    const [first, last] = taskIdRange(jobId);
    const visible = and(isNull(tasks.deletedAt), inScope(scope, { isIndexed: false }));
    // Ranks have no gaps.
    return db
      .select({ total: sql<number>`${tasks.rank} + 1` })
      .from(tasks)
      .where(and(sql`${tasks.id} between ${first} and ${last}`, visible))
      .orderBy(desc(tasks.id))
      .limit(1);
  }
  return db.select({ total: count() }).from(tasks).where(taskFilter(scope, filter));
}

/**
 * A page of tasks and the total of the list, from D1. One round trip.
 *
 * @param withResults reads the sequence of each task's job, too, which names the results
 */
export async function listTasks(
  db: Database,
  scope: Scope,
  filter: TaskFilter,
  { where, orderBy, limit, offset }: PageWindow,
  withResults: boolean,
): Promise<{ rows: ListedTaskRow[]; total: number }> {
  const sequence = withResults
    ? sql`(select ${jobs.sequence} from ${jobs} where ${jobs.id} = ${tasks.jobId})`
    : sql`null`;
  const [rows, totals] = await db.batch([
    db
      .select({
        ...listedColumns,
        sequence: fromJson<SequenceStep[] | null>(sequence).as("job_sequence"),
      })
      .from(tasks)
      .where(and(taskFilter(scope, filter), where))
      .orderBy(...orderBy)
      .limit(limit)
      .offset(offset),
    totalOf(db, scope, filter),
  ]);
  return { rows, total: totals[0]?.total ?? 0 };
}

/** A task in an export, with the columns that it shows alone: a page of 250 has long reasons for each step. */
export type ExportedTaskRow = Pick<
  ListedTaskRow,
  | "id"
  | "jobId"
  | "rank"
  | "machineUuid"
  | "machineIp"
  | "gpuModel"
  | "gpuCount"
  | "gpuModels"
  | "state"
  | "failedMessage"
  | "createdAt"
  | "startedAt"
  | "endedAt"
  | "figures"
  | "implausible"
  | "performanceStatus"
> & {
  verdict: NodeVerdict | null;
  /** Provider, region and order of the task's job; null for a job that is gone. */
  origins: [provider: string | null, region: string | null, order: string | null] | null;
};

/** A page of an export; the first page comes with the total of the list. One round trip. */
export async function exportTasks(
  db: Database,
  scope: Scope,
  filter: TaskFilter,
  { where, orderBy, limit }: PageWindow,
  withTotal: boolean,
): Promise<{ rows: ExportedTaskRow[]; total: number | null }> {
  const page = db
    .select({
      id: tasks.id,
      jobId: tasks.jobId,
      rank: tasks.rank,
      machineUuid: tasks.machineUuid,
      machineIp: tasks.machineIp,
      ...measuredHardware,
      state: tasks.state,
      failedMessage: tasks.failedMessage,
      createdAt: tasks.createdAt,
      startedAt: tasks.startedAt,
      endedAt: tasks.endedAt,
      figures: tasks.figures,
      implausible: tasks.implausible,
      performanceStatus: tasks.performanceStatus,
      verdict: nodeVerdict,
      // One row for all three.
      origins: fromJson<ExportedTaskRow["origins"]>(
        sql`(select json_array(${jobs.provider}, ${jobs.region}, ${jobs.orderReference}) from ${jobs} where ${jobs.id} = ${tasks.jobId})`,
      ).as("job_origins"),
    })
    .from(tasks)
    .where(and(taskFilter(scope, filter), where))
    .orderBy(...orderBy)
    .limit(limit);
  if (!withTotal) return { rows: await page, total: null };
  const [rows, totals] = await db.batch([page, totalOf(db, scope, filter)]);
  return { rows, total: totals[0]?.total ?? 0 };
}

/**
 * Reads a task and the facts of its job; null when the scope does not see the job. The task comes only with a job
 * whose bodies are in R2, since another job's is in its object. One round trip.
 */
export async function findTask(db: Database, scope: Scope, taskId: number) {
  const target = and(eq(jobs.id, jobIdOf(taskId)), visibleTo(scope));
  const stored = sql`exists (select 1 from ${jobs} where ${target} and ${isStored})`;
  const { sequence, coordinated, bodyBytes, currentNodes } = jobs;
  const [[job], [task]] = await db.batch([
    db.select({ sequence, coordinated, bodyBytes, currentNodes }).from(jobs).where(target),
    db
      .select({ ...listedColumns, verdict: nodeVerdict })
      .from(tasks)
      .where(and(eq(tasks.id, taskId), stored)),
  ]);
  return job === undefined ? null : { job, task: task ?? null };
}
