/** Tables and indexes that serve lists of jobs (docs/lists.md). */
import { and, eq, gte, lte, type SQL, sql } from "drizzle-orm";
import { fromJson } from "../db/json.ts";
import { unindexed } from "../db/named-rows.ts";
import { findingCounts, jobCounts, jobs, performanceCounts } from "../db/schema.ts";
import { counterKey, type Scope } from "../identity/actor.ts";
import type { JobState, SpecCheckStatus } from "../lib/enums.ts";
import { firstJobIdAt } from "../lib/ids.ts";
import { type expandedColumns, LISTED, type ListedRow, listedRow } from "./list-columns.ts";
import { type ListJobsQuery, MAX_SHORT_NAME_JOBS } from "./list-parameters.ts";
import { isShort, matchOf } from "./search.ts";
import { visibleTo } from "./store.ts";

export interface JobFilter {
  state?: JobState | undefined;
  /** A part of the name; ASCII letters match in either case. */
  name?: string | undefined;
  benchmarkId?: string | undefined;
  /** Jobs have all of these. */
  tags: readonly string[];
  /** ms, both exclusive; a time between two milliseconds ends in .5. */
  createdAfter?: number | undefined;
  createdBefore?: number | undefined;
  nodeCountMin?: number | undefined;
  nodeCountMax?: number | undefined;
  /** Outcome of the rating; `rated` matches every outcome. */
  performance?: "rated" | "underperforming" | undefined;
  specCheck?: SpecCheckStatus | undefined;
  hasFindings?: true | undefined;
  /** Where the machines were rented, and under which order; any case. */
  provider?: string | undefined;
  region?: string | undefined;
  order?: string | undefined;
}

/** The table and conditions that a list of jobs is read by. */
export interface Source {
  from: SQL;
  where: SQL | undefined;
  /** The job's id in that table. */
  id: SQL;
  columns: typeof LISTED | ReturnType<typeof expandedColumns> | typeof AS_JSON.columns;
  parse(row: object): ListedRow;
}

/**
 * Chooses the table and index of a list.
 *
 * @param isById the list is ordered by id and has no columns besides `LISTED`
 */
export function sourceOf(scope: Scope, filter: JobFilter, isById: boolean): Source {
  const match = matchOf(scope, filter);
  const { state, name, nodeCountMin, nodeCountMax, performance, hasFindings, specCheck } = filter;
  const size = unindexed(jobs.nodeCount);
  const others = and(
    state === undefined ? undefined : eq(jobs.state, state),
    name === undefined || match?.coversName ? undefined : nameContains(scope, name),
    nodeCountMin === undefined ? undefined : gte(size, nodeCountMin),
    nodeCountMax === undefined ? undefined : lte(size, nodeCountMax),
    specCheck === undefined ? undefined : eq(jobs.specCheck, specCheck),
    // In the terms of the partial indexes of rated jobs, so that SQLite can use them.
    performance === undefined
      ? undefined
      : performance === "rated"
        ? sql`${jobs.performanceStatus} is not null`
        : sql`${jobs.performanceStatus} = 'underperforming'`,
    hasFindings && sql`${jobs.findingCount} > 0`,
  );
  if (match === null) {
    const where = and(visibleTo(scope), others);
    // With statistics, SQLite would prefer the table itself and read its deleted jobs.
    const given = [state, performance, hasFindings, specCheck];
    const isEverything = scope.kind === "all" && given.every((each) => each === undefined);
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
  parse: listedRow,
};

/** The full-text table returns the job itself, so a page costs one row for each of its jobs. */
const AS_JSON = {
  columns: { job: fromJson<ListedRow>(sql`job`).as("job") },
  parse: (row: object) => (row as { job: ListedRow }).job, // read as `columns` says
};

/**
 * Matches creation within the bounds of the filter, as a range of ids. The bound on the cursor's side stays
 * out of the index and only tests rows.
 */
export function createdIn(
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
  const oldest = sql`select ${jobs.id} from ${from} where ${visibleTo(scope)} order by ${jobs.id} desc limit 1 offset ${MAX_SHORT_NAME_JOBS - 1}`;
  return and(contains, sql`${jobs.id} >= coalesce((${oldest}), 0)`);
}

/** True when counter rows hold the number of matching jobs. */
export function isCounted(filter: JobFilter): boolean {
  const { state: _state, performance, hasFindings, tags, ...others } = filter;
  if (performance !== undefined && hasFindings) return false;
  return tags.length === 0 && Object.values(others).every((value) => value === undefined);
}

export function counterOf(scope: Scope, { state, performance, hasFindings }: JobFilter): SQL {
  const table = hasFindings
    ? findingCounts
    : performance === undefined
      ? jobCounts
      : performanceCounts;
  const condition = and(
    eq(table.scope, counterKey(scope)),
    state === undefined ? undefined : eq(table.state, state),
    performance === "underperforming" ? eq(performanceCounts.status, performance) : undefined,
  );
  return sql`(select coalesce(sum(${table.jobs}), 0) from ${table} where ${condition})`;
}

/** The filter that a query asks for. */
export function filterOf(query: ListJobsQuery): JobFilter {
  return {
    state: query.state,
    name: query.name,
    benchmarkId: query.benchmark_id,
    tags: query.tags,
    createdAfter: query.created_after,
    createdBefore: query.created_before,
    nodeCountMin: query.node_count_min,
    nodeCountMax: query.node_count_max,
    performance: query.has_performance_data ? "rated" : undefined,
    specCheck: query.spec_check,
    hasFindings: query.has_findings || undefined,
    provider: query.provider,
    region: query.region,
    order: query.order,
  };
}
