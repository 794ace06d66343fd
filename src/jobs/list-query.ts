/** What a list of jobs can be asked for. */
import { z } from "@hono/zod-openapi";
import { jobState, MAX_NODES } from "../coordinator/wire-schemas.ts";
import { INDEXED_SEARCH_LENGTH, pageParameters } from "../http/list-query.ts";
import {
  optionalQueryInteger,
  queryBoolean,
  queryChoice,
  queryList,
  queryText,
  queryTime,
  queryWord,
} from "../http/query-schemas.ts";
import { jobName, MAX_TAGS, tag, tagDocumentation } from "./create-schema.ts";

/** A name of one or two characters is looked for in so many of the newest jobs. */
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

/** Filters and order that the list shares with what counts jobs. */
export const commonParameters = {
  name: queryText({
    max: jobName.max,
    description: `Only jobs whose name contains this text, without regard to the case of ASCII letters; no sign is a wildcard. An empty one is as absent. Less than ${INDEXED_SEARCH_LENGTH} characters are looked for in the newest ${MAX_SHORT_NAME_JOBS.toLocaleString("en")} jobs.`,
    example: "benchmark",
  }),
  tags: queryList(tag).openapi({
    type: "array",
    items: tagDocumentation,
    maxItems: MAX_TAGS,
    description: "Only jobs with this tag; repeated, with all of them.",
  }),
  tag: queryList(tag).openapi({
    type: "array",
    items: tagDocumentation,
    maxItems: MAX_TAGS,
    deprecated: true,
    description: "As `tags`, for older clients.",
  }),
  sort_by: queryChoice(
    SORT_FIELDS,
    "What to sort by; names by bytes, states by the alphabet, a time that is not known yet as the smallest. Equal ones go by creation.",
  ).default("created_at"),
  sort_order: queryChoice(["asc", "desc"], "Which way to sort.").default("desc"),
};

export const stateParameter = queryChoice(jobState.options, "Only jobs in this state.");

const EXPANSIONS = ["performance", "performance_nodes"] as const;

const expansions = queryList(z.string())
  .transform((given) => [...new Set(given.flatMap((list) => list.split(",")))].filter(Boolean))
  .pipe(z.array(z.enum(EXPANSIONS, `must be of ${EXPANSIONS.join(", ")}`)))
  .refine(
    (wanted) => !wanted.includes("performance_nodes") || wanted.includes("performance"),
    "must have performance, too, where it has performance_nodes",
  )
  .openapi({
    type: "array",
    items: { type: "string", enum: [...EXPANSIONS] },
    maxItems: EXPANSIONS.length,
    description:
      "What to add, repeated or comma-separated; `performance_nodes` needs `performance`.",
  });

const nodeCount = (description: string) =>
  optionalQueryInteger({ min: 1, max: MAX_NODES, description });

export const listJobsQuery = z
  .object({
    ...pageParameters({ max: 300, default: 20 }),
    ...commonParameters,
    state: stateParameter.optional(),
    benchmark_id: queryWord({
      pattern: /^[A-Za-z0-9_.:-]+$/,
      max: 64,
      description: "Only jobs that run this benchmark; an unknown one finds nothing.",
    }),
    created_after: queryTime(
      "Only jobs created after this time: an ISO 8601 date or time, UTC where it names no zone.",
    ),
    created_before: queryTime("Only jobs created before this time, likewise."),
    node_count_min: nodeCount("Only jobs that expect at least so many nodes."),
    node_count_max: nodeCount("Only jobs that expect at most so many nodes."),
    include_results: queryBoolean({
      default: false,
      description: "Add GPU models and QuickMark figures over the nodes.",
    }),
    include: expansions,
    has_performance_data: queryBoolean({
      default: false,
      description: "When true, only jobs that were rated; false is as absent.",
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
