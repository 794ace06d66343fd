/** Lists of jobs: how each filter and order is read, and by which index (README, "Lists"). */
import { and, type Column, eq, type GetColumnData, gte, lte, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { jobCounts, jobs, performanceCounts, tasks } from "../db/schema.ts";
import type { KeysetOrder, PageWindow } from "../http/keyset-page.ts";
import { unindexed } from "../http/named-search.ts";
import type { Scope } from "../identity/actor.ts";
import { firstJobIdAt } from "../lib/ids.ts";
import { MAX_SHORT_NAME_JOBS, type SORT_FIELDS } from "./list-query.ts";
import { isShort, matchOf } from "./search.ts";
import { counterKey, type JobRow, visible } from "./store.ts";

export interface JobFilter {
  state?: string | undefined;
  /** A part of the name; ASCII letters match in either case. */
  name?: string | undefined;
  benchmarkId?: string | undefined;
  /** A job has all of them. */
  tags: readonly string[];
  /** In ms, both exclusive; with a half, if they lie between two. */
  createdAfter?: number | undefined;
  createdBefore?: number | undefined;
  nodeCountMin?: number | undefined;
  nodeCountMax?: number | undefined;
  /** How they came out; `rated`: in any way. */
  performance?: "rated" | "underperforming" | undefined;
}

/** What a page shows of its jobs besides, when it is asked for. */
export interface Expansions {
  results: boolean;
  performance: boolean;
  nodes: boolean;
}

export interface JobSort {
  by: (typeof SORT_FIELDS)[number];
  descending: boolean;
}

/** A column of jobs among those of another table. */
function shown<Shown extends Column>(column: Shown) {
  return sql<GetColumnData<Shown>>`${column}`.as(column.name);
}

/** What lists show of a job. The view `jobs_indexed` has the same of it, by the same names. */
const LISTED = {
  id: shown(jobs.id),
  userId: shown(jobs.userId),
  name: shown(jobs.name),
  description: shown(jobs.description),
  state: shown(jobs.state),
  nodeCount: shown(jobs.nodeCount),
  currentNodes: shown(jobs.currentNodes),
  sequence: shown(jobs.sequence),
  tags: shown(jobs.tags),
  tokenKeyId: shown(jobs.tokenKeyId),
  createdAt: shown(jobs.createdAt),
  startedAt: shown(jobs.startedAt),
  expiresAt: shown(jobs.expiresAt),
  endedAt: shown(jobs.endedAt),
};

export type ListedRow = Pick<JobRow, keyof typeof LISTED> & Partial<ExpandedColumns>;

/** JSON each; null where there is none. */
interface ExpandedColumns {
  verdict: string | null;
  summary: string | null;
  gpuModels: string | null;
}

/** The columns of what is asked for; null stands for the rest. */
function expanded({ results, performance }: Expansions) {
  const models = sql`(select json_group_array(gpu_model) from (select distinct gpu_model from ${tasks} where ${tasks.id} between ${jobs.id} + 1 and ${jobs.id} + 511 and gpu_model is not null order by gpu_model))`;
  const column = (isWanted: boolean, value: SQL, name: string) =>
    (isWanted ? sql<string | null>`${value}` : sql<null>`null`).as(name);
  return {
    ...LISTED,
    verdict: column(performance, sql`${jobs.verdict}`, "verdict"),
    // quick_mark is always the first step.
    summary: column(results, sql`json_extract(${jobs.steps}, '$[0].summary')`, "summary"),
    gpuModels: column(results, models, "gpu_models"),
  };
}

/** The verdicts of a page's nodes together: as much as one job may have of results (contract §2, Limits). */
const MAX_NODE_BYTES = 16 * 1_024 * 1_024;

/** A node's verdict in a list; null where the page has more of them than it may. */
export interface ListedNode {
  taskId: number;
  jobId: number;
  /** JSON */
  verdict: string | null;
}

/** Every job runs it. */
const EVERY_JOBS_BENCHMARK = "quick_mark";

/** Where a list of jobs is read from. */
interface Source {
  from: SQL;
  where: SQL | undefined;
  /** The job's id, in the table that the list is read along. */
  id: SQL;
  columns: typeof LISTED | ReturnType<typeof expanded> | { job: SQL.Aliased<string> };
  parse(row: object): ListedRow;
}

/** A list of jobs, ready to be read page by page. */
export interface JobList {
  order: KeysetOrder<ListedRow>;
  /** A page with the total of the list. One round trip. */
  read(
    db: Database,
    window: PageWindow,
  ): Promise<{ rows: ListedRow[]; total: number; nodes: ListedNode[] }>;
}

export function planJobList(
  scope: Scope,
  asked: JobFilter,
  sort: JobSort,
  expansions: Expansions = { results: false, performance: false, nodes: false },
): JobList {
  // As a filter it chooses nothing.
  const isEveryJobs = asked.benchmarkId === EVERY_JOBS_BENCHMARK;
  const filter = isEveryJobs ? { ...asked, benchmarkId: undefined } : asked;
  const isById = sort.by === "created_at" || sort.by === "expires_at";
  const isExpanded = expansions.results || expansions.performance;
  const found = sourceOf(scope, filter, isById && !isExpanded);
  const source = isExpanded ? { ...found, columns: expanded(expansions) } : found;
  const counter = isCounted(filter) ? counterOf(scope, filter) : null;
  return {
    order: orderOf(sort, source.id),
    async read(db, window) {
      const { where, orderBy, fromEnd, limit, offset, from: cursor } = window;
      // What the cursor has passed needs no other bound; the index takes only one on each side.
      const isPast = isById && cursor !== null && (cursor.relation === "after") === sort.descending;
      const isBefore = isById && cursor !== null && !isPast;
      const created = createdIn(source.id, filter, { isPast, isBefore });
      const all = db
        .select(TOTAL)
        .from(source.from)
        .where(and(source.where, createdIn(source.id, filter)));
      const known = db.select({ total: sql<number>`${counter}`.as("total") }).from(ONE_ROW);
      const page = (order: SQL[], size: SQL | number, skipped: SQL | number) =>
        db
          .select(source.columns)
          .from(source.from)
          .where(and(source.where, created, where))
          .orderBy(...order)
          // Typed for numbers; an expression is written as it is.
          .limit(size as number)
          .offset(skipped as number);
      const idsOf = (order: SQL[], size: SQL | number, skipped: SQL | number) =>
        sql`select id from (select ${source.id} id from ${source.from} where ${and(source.where, created, where) ?? sql`true`} order by ${sql.join(order, sql`, `)} limit ${size} offset ${skipped})`;
      if (counter === null || offset === 0) {
        const nearest = page(orderBy, limit, offset);
        const total = counter === null ? all : known;
        const ids = idsOf(orderBy, limit, offset);
        const [rows, totals, nodes] = expansions.nodes
          ? await db.batch([nearest, total, nodesOf(db, ids)])
          : [...(await db.batch([nearest, total])), []];
        return { rows: rows.map(source.parse), total: totals[0]?.total ?? 0, nodes };
      }
      // A deep page is counted from the nearer end of the list.
      const isNear = sql`${counter} >= ${2 * offset}`;
      const left = sql`${counter} - ${offset}`;
      const nearer = [orderBy, sql`case when ${isNear} then ${limit} else 0 end`, offset] as const;
      const farther = [
        fromEnd,
        sql`case when ${isNear} then 0 else max(0, min(${limit}, ${left})) end`,
        sql`max(0, ${left} - ${limit})`,
      ] as const;
      const ids = sql`${idsOf(...nearer)} union all ${idsOf(...farther)}`;
      const pages = [page(...nearer), page(...farther), known] as const;
      const [near, far, totals, nodes] = expansions.nodes
        ? await db.batch([...pages, nodesOf(db, ids)])
        : [...(await db.batch([...pages])), []];
      const rows = near.length > 0 ? near : far.reverse();
      return { rows: rows.map(source.parse), total: totals[0]?.total ?? 0, nodes };
    },
  };
}

/** The verdicts of the nodes of these jobs, by rank, as many as a page may have. */
function nodesOf(db: Database, ids: SQL) {
  const all = sql`(select ${tasks.id} task_id, ${tasks.jobId} job_id, ${tasks.verdict} verdict, sum(octet_length(${tasks.verdict})) over (order by ${tasks.id}) size from (${ids}) page cross join ${tasks} on ${tasks.id} between page.id + 1 and page.id + 511 where ${tasks.verdict} is not null)`;
  return db
    .select({
      taskId: sql<number>`task_id`.as("node_task_id"),
      jobId: sql<number>`job_id`.as("node_job_id"),
      verdict: sql<string | null>`case when size <= ${MAX_NODE_BYTES} then verdict end`.as(
        "node_verdict",
      ),
    })
    .from(sql`${all}`)
    .orderBy(sql`task_id`);
}

/** How many jobs a filter finds: from counter rows where these know. One round trip. */
export async function countJobs(db: Database, scope: Scope, filter: JobFilter): Promise<number> {
  const { from, where } = sourceOf(scope, filter, false);
  const [row] = isCounted(filter)
    ? await db.select({ total: sql<number>`${counterOf(scope, filter)}`.as("total") }).from(ONE_ROW)
    : await db.select(TOTAL).from(from).where(where);
  return row?.total ?? 0;
}

const ONE_ROW = sql`(select 1)`;
const TOTAL = { total: sql<number>`count(*)`.as("total") };

function sourceOf(scope: Scope, filter: JobFilter, isById: boolean): Source {
  const match = matchOf(scope, filter);
  const { state, name, nodeCountMin, nodeCountMax, performance } = filter;
  const size = unindexed(jobs.nodeCount);
  const others = and(
    state === undefined ? undefined : eq(jobs.state, state),
    name === undefined || match?.coversName ? undefined : nameContains(scope, name),
    nodeCountMin === undefined ? undefined : gte(size, nodeCountMin),
    nodeCountMax === undefined ? undefined : lte(size, nodeCountMax),
    // Spelled out: the indexes of rated jobs are of these alone.
    performance === undefined
      ? undefined
      : performance === "rated"
        ? sql`${jobs.performanceStatus} is not null`
        : sql`${jobs.performanceStatus} = 'underperforming'`,
  );
  if (match === null) {
    const where = and(visible(scope), others);
    // Statistics, if somebody makes some, would tempt SQLite to the table itself, and to its deleted jobs.
    const isEverything = scope.kind === "all" && state === undefined && performance === undefined;
    const from = isEverything ? LIVE_JOBS : sql`${jobs}`;
    return { ...AS_COLUMNS, from, where, id: sql`${jobs.id}` };
  }
  const { table, rowId: id, condition } = match;
  if (others === undefined && isById) return { ...AS_JSON, from: table, where: condition, id };
  const from = sql`${table} cross join ${jobs} on ${jobs.id} = ${id}`;
  return { ...AS_COLUMNS, from, where: and(condition, others), id };
}

const LIVE_JOBS = sql`${jobs} indexed by jobs_live`;

const AS_COLUMNS = {
  columns: LISTED,
  parse: (row: object) => row as ListedRow, // read as `columns` says
};

/** The full-text index reads the job itself: a page costs one row for each of its jobs. */
const AS_JSON = {
  columns: { job: sql<string>`job`.as("job") },
  parse: (row: object) => JSON.parse((row as { job: string }).job) as ListedRow, // as `jobs_indexed` makes it
};

/** Creation within the bounds of the filter: a range of ids. A bound that a cursor has passed only looks at the rows. */
function createdIn(
  id: SQL,
  { createdAfter, createdBefore }: JobFilter,
  { isPast, isBefore } = { isPast: false, isBefore: false },
): SQL | undefined {
  const lowest = createdAfter === undefined ? null : firstJobIdAt(Math.floor(createdAfter) + 1);
  const beyond = createdBefore === undefined ? null : firstJobIdAt(createdBefore);
  return and(
    lowest === null
      ? undefined
      : sql`${isBefore ? unindexed(id) : id} >= cast(${lowest} as integer)`,
    beyond === null ? undefined : sql`${isPast ? unindexed(id) : id} < cast(${beyond} as integer)`,
  );
}

function nameContains(scope: Scope, part: string): SQL | undefined {
  const contains = sql`instr(lower(${jobs.name}), lower(${part})) > 0`;
  if (!isShort(part)) return contains;
  const from = scope.kind === "all" ? LIVE_JOBS : sql`${jobs}`;
  const oldest = sql`select ${jobs.id} from ${from} where ${visible(scope)} order by ${jobs.id} desc limit 1 offset ${MAX_SHORT_NAME_JOBS - 1}`;
  return and(contains, sql`${jobs.id} >= coalesce((${oldest}), 0)`);
}

/** Whether counter rows know how many such jobs there are. */
function isCounted(filter: JobFilter): boolean {
  const { state: _state, performance: _performance, tags, ...others } = filter;
  return tags.length === 0 && Object.values(others).every((value) => value === undefined);
}

function counterOf(scope: Scope, { state, performance }: JobFilter): SQL {
  const table = performance === undefined ? jobCounts : performanceCounts;
  const condition = and(
    eq(table.scope, counterKey(scope)),
    state === undefined ? undefined : eq(table.state, state),
    performance === "underperforming" ? eq(performanceCounts.status, performance) : undefined,
  );
  return sql`(select coalesce(sum(${table.jobs}), 0) from ${table} where ${condition})`;
}

const NUMBER = "number" as const;

/** By a field, equal ones by creation. Ids rise with time, so by creation means by id. */
function orderOf({ by, descending }: JobSort, id: SQL): KeysetOrder<ListedRow> {
  const byId = { column: id, type: NUMBER };
  const ordered = (
    column: SQL,
    field: (row: ListedRow) => string | number,
    type: "string" | "number" = NUMBER,
  ): KeysetOrder<ListedRow> => ({
    columns: [{ column, type }, { column: sql`${jobs.createdAt}`, type: NUMBER }, byId],
    endsInRowId: true,
    descending,
    keyOf: (row) => [field(row), row.createdAt, row.id],
  });
  switch (by) {
    case "created_at":
    case "expires_at":
      // A job expires a day after its creation.
      return { columns: [byId], descending, keyOf: (row) => [row.id] };
    case "name":
      return ordered(sql`${jobs.name}`, (row) => row.name, "string");
    case "state":
      return ordered(sql`${jobs.state}`, (row) => row.state, "string");
    case "started_at":
      return ordered(sql`${jobs.startedOrder}`, (row) => row.startedAt ?? 0);
    case "ended_at":
      return ordered(sql`${jobs.endedOrder}`, (row) => row.endedAt ?? 0);
    case "node_count":
      return ordered(sql`${jobs.nodeCount}`, (row) => row.nodeCount);
    case "current_nodes":
      return ordered(sql`${jobs.currentNodes}`, (row) => row.currentNodes);
  }
}
