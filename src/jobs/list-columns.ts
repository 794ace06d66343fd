/** Columns of lists of jobs. */
import { type Column, type GetColumnData, type SQL, sql } from "drizzle-orm";
import { fromPacked } from "../db/forms.ts";
import { fromJson } from "../db/json.ts";
import { metricsSummary, summaryPath } from "../db/packed.ts";
import { jobVerdict } from "../db/packed-verdicts.ts";
import { jobs, tasks } from "../db/schema.ts";
import type { StoredJobVerdict } from "../lib/stored-json.ts";
import type { QuickMarkSummary } from "./result-schemas.ts";
import type { JobRow } from "./store.ts";

/** Optional columns of a page. */
export interface Expansions {
  results: boolean;
  performance: boolean;
  nodes: boolean;
}

/** A column of jobs under its own name, so that a row looks the same from every source. */
function columnOf<Listed extends Column>(column: Listed) {
  // Typed by the column, since `mapWith` alone would make it never null.
  const value: SQL<GetColumnData<Listed>> = sql`${column}`.mapWith(column);
  return value.as(column.name);
}

/** Columns of every list. The view `jobs_indexed` has the same ones, by the same names. */
export const LISTED = {
  id: columnOf(jobs.id),
  userId: columnOf(jobs.userId),
  name: columnOf(jobs.name),
  description: columnOf(jobs.description),
  state: columnOf(jobs.state),
  nodeCount: columnOf(jobs.nodeCount),
  currentNodes: columnOf(jobs.currentNodes),
  sequence: columnOf(jobs.sequence),
  tags: columnOf(jobs.tags),
  tokenKeyId: columnOf(jobs.tokenKeyId),
  createdAt: columnOf(jobs.createdAt),
  startedAt: columnOf(jobs.startedAt),
  expiresAt: columnOf(jobs.expiresAt),
  endedAt: columnOf(jobs.endedAt),
  specCheck: columnOf(jobs.specCheck),
  provider: columnOf(jobs.provider),
  region: columnOf(jobs.region),
  orderReference: columnOf(jobs.orderReference),
};

export type ListedRow = Pick<JobRow, keyof typeof LISTED> & Partial<ExpandedColumns>;

interface ExpandedColumns {
  verdict: StoredJobVerdict | null;
  /** QuickMark figures over the nodes. */
  summary: QuickMarkSummary | null;
  gpuModels: string[] | null;
}

/** The columns of a page with expansions; an expansion that was not requested is null. */
export function expandedColumns({ results, performance }: Expansions) {
  // The models of a node with several are in a list.
  const groups = sql`json_each(coalesce(${tasks.gpuModels}, json_array(json_array(${tasks.gpuModel}))))`;
  const models = sql`(select json_group_array(model) from (select distinct each.value ->> '$[0]' model from ${tasks} cross join ${groups} each where ${tasks.id} between ${jobs.id} + 1 and ${jobs.id} + 511 and model is not null order by model))`;
  const summary = sql`json_extract(${jobs.steps}, ${sql.raw(`'${summaryPath(0)}'`)})`;
  return {
    ...LISTED,
    verdict: fromPacked(jobVerdict, performance ? sql`${jobs.verdict}` : sql`null`).as("verdict"),
    // quick_mark is always the first step.
    summary: fromPacked(metricsSummary, results ? summary : sql`null`).as("summary"),
    gpuModels: fromJson<string[] | null>(results ? models : sql`null`).as("gpu_models"),
  };
}
