/** The filters of the list of jobs, as they stand in the address and as the API takes them. */
import type { paths } from "../../../public/client.d.ts";
import { given } from "../../lib/list-query.ts";

type ListQuery = NonNullable<paths["/api/silicon-mark/v1/jobs"]["get"]["parameters"]["query"]>;

/** Where a job's machines come from, in its owner's words. */
export const ORIGINS = ["provider", "region", "order"] as const;

/** Filters with one value, as the API names them. */
export const SINGLE = [
  "name",
  "state",
  "benchmark_id",
  "spec_check",
  ...ORIGINS,
  "created_after",
  "created_before",
  "node_count_min",
  "node_count_max",
  "has_findings",
  "has_performance_data",
  "sort_by",
  "sort_order",
  "per_page",
] as const;
export type Single = (typeof SINGLE)[number];

export const DEFAULTS: Readonly<Record<string, string>> = {
  sort_by: "created_at",
  sort_order: "desc",
  per_page: "20",
};
export const PAGE_SIZES = ["20", "50", "100", "300"];

/** What narrows the list; order and length of pages do not. */
const NARROWING: readonly string[] = SINGLE.filter((name) => !Object.hasOwn(DEFAULTS, name));

/** Number of filters that narrow the list. */
export function activeFilters(query: URLSearchParams): number {
  return NARROWING.filter((name) => query.has(name)).length + query.getAll("tags").length;
}

/** The address's query as the API takes it. The API says what is wrong with values that somebody typed there. */
export function listQuery(query: URLSearchParams): ListQuery {
  const single = Object.entries(given(query, SINGLE)).map(
    ([name, value]) => [name, timeOf(name, value)] as const,
  );
  const tags = query.getAll("tags");
  const cursor = query.get("cursor");
  return {
    ...Object.fromEntries(single),
    ...(tags.length === 0 ? {} : { tags }),
    ...(cursor === null ? {} : { cursor }),
    include: ["performance"],
    include_results: true,
  };
}

/** Fields for dates have the reader's own zone. */
function timeOf(name: string, value: string): string {
  const isLocal = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}$/.test(value);
  return name.startsWith("created_") && isLocal ? new Date(value).toISOString() : value;
}
