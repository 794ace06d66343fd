import { and, asc, count, desc, eq, getTableColumns, isNull, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { jobs, taskCounts, taskResults, tasks } from "../../db/schema.ts";
import type { KeysetOrder, PageWindow } from "../../http/keyset-page.ts";
import { unindexed } from "../../http/named-search.ts";
import type { Scope } from "../../identity/actor.ts";
import { jobIdOf, taskIdRange } from "../../lib/ids.ts";
import type { ResultRow } from "../result-archive.ts";
import { counterKey, NOT_SETTLED, visible } from "../store.ts";

export interface TaskFilter {
  jobId?: number | undefined;
  state?: string | undefined;
  machineIp?: string | undefined;
  machineUuid?: string | undefined;
  performanceStatus?: string | undefined;
}

/** What lists show of a task: without the inventory and the verdict, which can be large. */
export type ListedTaskRow = Omit<typeof tasks.$inferSelect, "inventory" | "verdict"> & {
  /** JSON; null where no results are asked for. */
  sequence: string | null;
};

/** What a page of tasks shows besides, when it is asked for. */
export interface PageResults {
  results: ResultRow[];
  /** Of all figures of the page, whether they were read or not. */
  bytes: number;
}

const { inventory: _inventory, verdict: _verdict, ...listed } = getTableColumns(tasks);

/** Filters that choose a range of an index, the most telling first; the others only look at its rows. */
const LEADING = ["jobId", "machineUuid", "machineIp", "performanceStatus", "state"] as const;

/**
 * The tasks of a list. One filter leads, together with the scope, and has an index; the rest is kept from
 * tempting the database to another one.
 */
function chosen(scope: Scope, filter: TaskFilter): SQL | undefined {
  const leading = LEADING.find((name) => filter[name] !== undefined);
  const filters = LEADING.map((name) => {
    const value = filter[name];
    if (value === undefined) return undefined;
    const column = tasks[name];
    return sql`${name === leading ? column : unindexed(column)} = ${value}`;
  });
  return and(isNull(tasks.deletedAt), inScope(scope, leading === "jobId"), ...filters);
}

/** @param isLed by the job, whose tasks are all of one scope: no index of the scope may tempt */
function inScope(scope: Scope, isLed: boolean): SQL | undefined {
  const column = (indexed: SQL) => (isLed ? unindexed(indexed) : indexed);
  switch (scope.kind) {
    case "user":
      return sql`${column(sql`${tasks.userId}`)} = ${scope.userId}`;
    case "customer":
      return sql`${column(sql`${tasks.customerId}`)} = ${scope.customerId}`;
    case "all":
      return undefined;
  }
}

/** Joining times, then job and rank: the order of ids, in columns that an index can compare. */
export function orderOf(
  { jobId }: TaskFilter,
  descending: boolean,
): Omit<KeysetOrder<ListedTaskRow>, "list"> {
  const time = { column: sql`${tasks.createdAt}`, type: "number" as const };
  const job = { column: sql`${tasks.jobId}`, type: "number" as const };
  const rank = { column: sql`${tasks.rank}`, type: "number" as const };
  // Among tasks of one job the job orders nothing, and left out it leaves the index its range.
  return jobId === undefined
    ? {
        columns: [time, job, rank],
        descending,
        keyOf: (row) => [row.createdAt, row.jobId, row.rank],
      }
    : { columns: [time, rank], descending, keyOf: (row) => [row.createdAt, row.rank] };
}

/** How many there are: from counter rows, or the last rank of the job; else by counting what matches. */
function totalOf(db: Database, scope: Scope, filter: TaskFilter) {
  const { jobId, state, ...others } = filter;
  const given = Object.values(filter).filter((value) => value !== undefined).length;
  const isCounted = jobId === undefined && Object.values(others).every((one) => one === undefined);
  if (isCounted) {
    return db
      .select({ total: sql<number>`coalesce(sum(${taskCounts.tasks}), 0)` })
      .from(taskCounts)
      .where(
        and(
          eq(taskCounts.scope, counterKey(scope)),
          state === undefined ? undefined : eq(taskCounts.state, state),
        ),
      );
  }
  if (jobId !== undefined && given === 1) {
    const [first, last] = taskIdRange(jobId);
    const visible = and(isNull(tasks.deletedAt), inScope(scope, true));
    // Ranks have no gaps.
    return db
      .select({ total: sql<number>`${tasks.rank} + 1` })
      .from(tasks)
      .where(and(sql`${tasks.id} between ${first} and ${last}`, visible))
      .orderBy(desc(tasks.id))
      .limit(1);
  }
  return db.select({ total: count() }).from(tasks).where(chosen(scope, filter));
}

/**
 * A page of tasks and the total of the list, as D1 knows them; with what the nodes of the page have sent,
 * if it is asked for, as far as it stays below `maxBytes`. One round trip.
 */
export async function listTasks(
  db: Database,
  scope: Scope,
  filter: TaskFilter,
  { where, orderBy, limit, offset }: PageWindow,
  maxBytes: number | null,
): Promise<{ rows: ListedTaskRow[]; total: number; figures: PageResults | null }> {
  const withResults = maxBytes !== null;
  const condition = and(chosen(scope, filter), where);
  const sequence = withResults
    ? sql<string>`(select ${jobs.sequence} from ${jobs} where ${jobs.id} = ${tasks.jobId})`
    : sql<null>`null`;
  const page = db
    .select({ ...listed, sequence: sequence.as("job_sequence") })
    .from(tasks)
    .where(condition)
    .orderBy(...orderBy)
    .limit(limit)
    .offset(offset);
  const total = totalOf(db, scope, filter);
  if (!withResults) {
    const [rows, totals] = await db.batch([page, total]);
    return { rows, total: totals[0]?.total ?? 0, figures: null };
  }
  const ids = sql`select ${tasks.id} from ${tasks} where ${condition} order by ${sql.join(orderBy, sql`, `)} limit ${limit - 1} offset ${offset}`;
  const running = db
    .select({
      taskId: taskResults.taskId,
      position: taskResults.position,
      archiveOffset: taskResults.archiveOffset,
      archiveBytes: taskResults.archiveBytes,
      size: sql<number>`sum(coalesce(${taskResults.archiveBytes}, octet_length(${taskResults.results}))) over (order by ${taskResults.taskId}, ${taskResults.position})`.as(
        "size",
      ),
    })
    .from(taskResults)
    .where(sql`${taskResults.taskId} in (${ids})`)
    .as("running");
  const [rows, totals, results, sizes] = await db.batch([
    page,
    total,
    db
      .select({
        taskId: running.taskId,
        position: running.position,
        // Named with the table: a column alone would be the one of `r`.
        results: sql<string>`(select r.results from task_results r
          where r.task_id = running.task_id and r.position = running.position)`.as("results"),
        archiveOffset: running.archiveOffset,
        archiveBytes: running.archiveBytes,
      })
      .from(running)
      .where(sql`${running.size} <= ${maxBytes}`)
      .orderBy(asc(running.taskId), asc(running.position)),
    db.select({ bytes: sql<number>`coalesce(max(${running.size}), 0)` }).from(running),
  ]);
  return {
    rows,
    total: totals[0]?.total ?? 0,
    figures: { results, bytes: sizes[0]?.bytes ?? 0 },
  };
}

/** What exports show of a task besides what lists do. */
export interface ExportedTaskRow extends ListedTaskRow {
  /** JSON */
  verdict: string | null;
  /** JSON: the node's QuickMark aggregate; of moved results what was kept of it for rating. */
  aggregate: string | null;
}

/** A page of an export; the total of the list with the first one. One round trip. */
export async function exportTasks(
  db: Database,
  scope: Scope,
  filter: TaskFilter,
  { where, orderBy, limit }: PageWindow,
  withTotal: boolean,
): Promise<{ rows: ExportedTaskRow[]; total: number | null }> {
  const sent = sql`(select json_extract(r.results, '$.aggregate_results') from task_results r where r.task_id = ${tasks.id} and r.position = 0 and r.archive_offset is null)`;
  const kept = sql`(select json_extract(f.figures, '$.aggregate') from task_figures f where f.task_id = ${tasks.id})`;
  const page = db
    .select({
      ...listed,
      verdict: tasks.verdict,
      sequence: sql<null>`null`.as("job_sequence"),
      aggregate: sql<string | null>`coalesce(${sent}, ${kept})`.as("aggregate"),
    })
    .from(tasks)
    .where(and(chosen(scope, filter), where))
    .orderBy(...orderBy)
    .limit(limit);
  if (!withTotal) return { rows: await page, total: null };
  const [rows, totals] = await db.batch([page, totalOf(db, scope, filter)]);
  return { rows, total: totals[0]?.total ?? 0 };
}

/**
 * A task's job, as far as it matters to the task, with the task and its results as D1 knows them; null
 * when the scope does not see the job. Task and results come only with a settled job: those of a live one
 * are read from its object. One round trip.
 */
export async function findTask(db: Database, scope: Scope, taskId: number) {
  const wanted = and(eq(jobs.id, jobIdOf(taskId)), visible(scope));
  const settled = sql`exists (select 1 from ${jobs} where ${wanted} and ${jobs.state} not in ${NOT_SETTLED})`;
  const { sequence, coordinated, endedAt } = jobs;
  const [[job], [task], results] = await db.batch([
    db.select({ sequence, coordinated, endedAt }).from(jobs).where(wanted),
    db
      .select()
      .from(tasks)
      .where(and(eq(tasks.id, taskId), settled)),
    db
      .select()
      .from(taskResults)
      .where(and(eq(taskResults.taskId, taskId), settled))
      .orderBy(taskResults.position),
  ]);
  return job === undefined ? null : { job, task: task ?? null, results };
}
