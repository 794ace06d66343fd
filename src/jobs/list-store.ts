/** Lists of jobs, page by page. */
import { and, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import type { KeysetOrder, PageWindow } from "../db/keyset.ts";
import { jobs } from "../db/schema.ts";
import type { Scope } from "../identity/actor.ts";
import { type Expansions, expandedColumns, type ListedRow } from "./list-columns.ts";
import type { SORT_FIELDS } from "./list-parameters.ts";
import { counterOf, createdIn, isCounted, type JobFilter, sourceOf } from "./list-source.ts";
import { firstVerdicts, type ListedNode } from "./node-verdicts.ts";

export interface JobSort {
  by: (typeof SORT_FIELDS)[number];
  descending: boolean;
}

/** Runs in every job: as a filter it excludes nothing. */
const EVERY_JOBS_BENCHMARK = "quick_mark";

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
  requested: JobFilter,
  sort: JobSort,
  expansions: Expansions = { results: false, performance: false, nodes: false },
): JobList {
  const isEveryJobs = requested.benchmarkId === EVERY_JOBS_BENCHMARK;
  const filter = isEveryJobs ? { ...requested, benchmarkId: undefined } : requested;
  const isById = sort.by === "created_at" || sort.by === "expires_at";
  const isExpanded = expansions.results || expansions.performance;
  const plain = sourceOf(scope, filter, isById && !isExpanded);
  const source = isExpanded ? { ...plain, columns: expandedColumns(expansions) } : plain;
  const counter = isCounted(filter) ? counterOf(scope, filter) : null;
  return {
    order: orderOf(sort, source.id),
    async read(db, window) {
      const { where, orderBy, limit, offset, from: cursor } = window;
      // The cursor is the tighter bound on its side, and the index takes only one on each side.
      const isPast = isById && cursor !== null && (cursor.relation === "after") === sort.descending;
      const isBefore = isById && cursor !== null && !isPast;
      const matching = and(source.where, createdIn(source.id, filter, { isPast, isBefore }), where);
      const page = db
        .select(source.columns)
        .from(source.from)
        .where(matching)
        .orderBy(...orderBy)
        .limit(limit)
        .offset(offset);
      const total =
        counter === null
          ? db
              .select(TOTAL)
              .from(source.from)
              .where(and(source.where, createdIn(source.id, filter)))
          : db.select({ total: sql<number>`${counter}`.as("total") }).from(ONE_ROW);
      const ids = sql`select id from (select ${source.id} id from ${source.from} where ${matching ?? sql`true`} order by ${sql.join(orderBy, sql`, `)} limit ${limit} offset ${offset})`;
      const [rows, totals, nodes] = expansions.nodes
        ? await db.batch([page, total, firstVerdicts(db, ids)])
        : [...(await db.batch([page, total])), []];
      return { rows: rows.map(source.parse), total: totals[0]?.total ?? 0, nodes };
    },
  };
}

/** The number of jobs that match a filter, from counter rows where possible. One round trip. */
export async function countJobs(db: Database, scope: Scope, filter: JobFilter): Promise<number> {
  const { from, where } = sourceOf(scope, filter, false);
  const [row] = isCounted(filter)
    ? await db.select({ total: sql<number>`${counterOf(scope, filter)}`.as("total") }).from(ONE_ROW)
    : await db.select(TOTAL).from(from).where(where);
  return row?.total ?? 0;
}

const ONE_ROW = sql`(select 1)`;
const TOTAL = { total: sql<number>`count(*)`.as("total") };

const NUMBER = "number" as const;

/** Orders by a field, ties by creation. Ids rise with time, so order of creation is order of ids. */
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
