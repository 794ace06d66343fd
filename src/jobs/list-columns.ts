/** Columns of lists of jobs. */
import { sql } from "drizzle-orm";
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

/** Columns of every list. The view `jobs_indexed` has the same ones, by the same names. */
export const LISTED_COLUMNS = {
  id: jobs.id,
  userId: jobs.userId,
  name: jobs.name,
  description: jobs.description,
  state: jobs.state,
  nodeCount: jobs.nodeCount,
  currentNodes: jobs.currentNodes,
  sequence: jobs.sequence,
  tags: jobs.tags,
  tokenKeyId: jobs.tokenKeyId,
  createdAt: jobs.createdAt,
  startedAt: jobs.startedAt,
  expiresAt: jobs.expiresAt,
  endedAt: jobs.endedAt,
  specCheck: jobs.specCheck,
  provider: jobs.provider,
  region: jobs.region,
  orderReference: jobs.orderReference,
};

const NAMES = Object.keys(LISTED_COLUMNS) as (keyof typeof LISTED_COLUMNS)[];

/** The columns as one cell: drizzle takes longer for each cell than all else that a list does with it. */
export const LISTED = {
  cells: fromJson<unknown[]>(
    sql`json_array(${sql.join(
      NAMES.map((name) => sql`${LISTED_COLUMNS[name]}`),
      sql`, `,
    )})`,
  ).as("cells"),
};

/** A row that was read by `LISTED`, and by `expandedColumns` if there are any. */
export function listedRow(row: object): ListedRow {
  const { cells, ...expanded } = row as { cells: unknown[] }; // read as `LISTED` says
  const entries = NAMES.map((name, at) => {
    const cell = cells[at];
    return [name, cell === null ? null : LISTED_COLUMNS[name].mapFromDriverValue(cell as never)];
  });
  return { ...Object.fromEntries(entries), ...expanded } as ListedRow; // each column, decoded by itself
}

export type ListedRow = Pick<JobRow, keyof typeof LISTED_COLUMNS> & Partial<ExpandedColumns>;

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
