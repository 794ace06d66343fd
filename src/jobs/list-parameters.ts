/** Query parameters of lists of jobs. */
import { z } from "@hono/zod-openapi";
import { pageParameters } from "../api/lists.ts";
import {
  optionalQueryInteger,
  queryBoolean,
  queryChoice,
  queryList,
  queryPatternText,
  queryText,
  queryTime,
} from "../api/query-parameters.ts";
import { jobState, MAX_NODES } from "../coordinator/wire/task.ts";
import { INDEXED_SEARCH_LENGTH } from "../db/named-search.ts";
import { SPEC_CHECK_STATUSES } from "../lib/enums.ts";
import {
  jobName,
  jobOrder,
  jobProvider,
  jobRegion,
  MAX_TAGS,
  tag,
  tagDocumentation,
} from "./create-schema.ts";

/** A name of one or two characters is searched in this many of the newest jobs. */
export const MAX_SHORT_NAME_JOBS = 10_000;

export const SORT_FIELDS = [
  "created_at",
  "started_at",
  "ended_at",
  "expires_at",
  "name",
  "state",
  "node_count",
  "current_nodes",
] as const;

/** Filters and order of both the list and the count of jobs. */
export const commonParameters = {
  name: queryText({
    isName: true,
    max: jobName.max,
    description: `Only jobs whose name contains this text. ASCII letters match in either case; no wildcards. An empty value is ignored. A text of fewer than ${INDEXED_SEARCH_LENGTH} characters is searched only in the newest ${MAX_SHORT_NAME_JOBS.toLocaleString("en")} jobs.`,
    example: "benchmark",
  }),
  tags: queryList(tag).openapi({
    type: "array",
    items: tagDocumentation,
    maxItems: MAX_TAGS,
    description: "Only jobs with this tag; if repeated, jobs with all of the tags.",
  }),
  tag: queryList(tag).openapi({
    type: "array",
    items: tagDocumentation,
    maxItems: MAX_TAGS,
    deprecated: true,
    description: "Same as `tags`, for older clients.",
  }),
  sort_by: queryChoice(
    SORT_FIELDS,
    "Field to sort by: names by bytes, states alphabetically, missing times as the smallest. Ties are ordered by creation time.",
  ).default("created_at"),
  sort_order: queryChoice(["asc", "desc"], "Sort direction.").default("desc"),
};

export const stateParameter = queryChoice(jobState.options, "Only jobs in this state.");

export const specCheckParameter = (what: string) =>
  queryChoice(
    SPEC_CHECK_STATUSES,
    `Only ${what} whose comparison with the expected spec has this outcome.`,
  ).optional();

const EXPANSIONS = ["performance", "performance_nodes"] as const;

const expansions = queryList(z.string())
  .transform((given) => [...new Set(given.flatMap((list) => list.split(",")))].filter(Boolean))
  .pipe(z.array(z.enum(EXPANSIONS, `must be ${EXPANSIONS.join(" or ")}`)))
  .refine(
    (parts) => !parts.includes("performance_nodes") || parts.includes("performance"),
    "must include performance when it includes performance_nodes",
  )
  .openapi({
    type: "array",
    items: { type: "string", enum: [...EXPANSIONS] },
    maxItems: EXPANSIONS.length,
    description:
      "Parts to add, repeated or comma-separated; `performance_nodes` requires `performance`.",
  });

const nodeCount = (description: string) =>
  optionalQueryInteger({ min: 1, max: MAX_NODES, description });

const originParameter = ({ max, example }: typeof jobProvider, which: string) =>
  queryText({
    max,
    example,
    trim: true,
    isName: true,
    description: `Only jobs ${which}: the whole text, in any case. An empty value is ignored.`,
  });

export const listJobsQuery = z
  .object({
    ...pageParameters({ max: 300, default: 20 }),
    ...commonParameters,
    state: stateParameter.optional(),
    spec_check: specCheckParameter("jobs"),
    benchmark_id: queryPatternText({
      pattern: /^[A-Za-z0-9_.:-]+$/,
      max: 64,
      description: "Only jobs that run this benchmark; an unknown id matches nothing.",
    }),
    provider: originParameter(jobProvider, "from this provider"),
    region: originParameter(jobRegion, "in this region"),
    order: originParameter(jobOrder, "under this order"),
    created_after: queryTime(
      "Only jobs created after this time: an ISO 8601 date or time, in UTC unless it names a zone.",
    ),
    created_before: queryTime("Only jobs created before this time, in the same format."),
    node_count_min: nodeCount("Only jobs that expect at least this many nodes."),
    node_count_max: nodeCount("Only jobs that expect at most this many nodes."),
    include_results: queryBoolean({
      default: false,
      description: "Add the GPU models and the QuickMark figures over the nodes.",
    }),
    include: expansions,
    has_performance_data: queryBoolean({
      default: false,
      description: "True: only jobs that were rated. False is ignored.",
    }),
    has_findings: queryBoolean({
      default: false,
      description: "True: only jobs with findings. False is ignored.",
    }),
  })
  .transform(({ tag: older, tags, ...query }, context) => {
    const distinct = [...new Set([...tags, ...older])];
    if (distinct.length > MAX_TAGS) {
      const message = `must have at most ${MAX_TAGS} entries`;
      context.addIssue({ code: "custom", path: ["tags"], message });
    }
    return { ...query, tags: distinct };
  });

export type ListJobsQuery = z.infer<typeof listJobsQuery>;
