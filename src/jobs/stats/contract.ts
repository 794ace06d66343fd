import { z } from "@hono/zod-openapi";
import { jobState } from "../../coordinator/wire-schemas.ts";
import { operation } from "../../http/operation.ts";
import { queryText } from "../../http/query-schemas.ts";
import { json } from "../../http/responses.ts";
import { integer, text } from "../../http/schemas.ts";
import { MAX_TAGS } from "../create-schema.ts";

/** What jobs can be sorted by. */
const SORT_FIELDS = [
  ...(["created_at", "started_at", "ended_at", "expires_at"] as const),
  ...(["name", "state", "node_count", "current_nodes"] as const),
] as const;

/** Given once or more often: all of them. */
const tags = z
  .preprocess(
    (value) => (typeof value === "string" ? [value] : value),
    z.array(text({ min: 1, max: 50, trim: true, description: "A tag." })).max(MAX_TAGS),
  )
  .optional()
  .openapi({
    type: "array",
    maxItems: MAX_TAGS,
    items: { type: "string", minLength: 1, maxLength: 50, pattern: "^.+$" },
    description: "Only jobs that have all of these tags; repeat it for several.",
  });

export const getJobStatsRoute = operation({
  method: "get",
  path: "/api/silicon-mark/v1/jobs/stats",
  operationId: "getJobStats",
  tags: ["Jobs"],
  summary: "Count jobs that underperform",
  description: `Performance tab badge count: the number of jobs you may see whose aggregated performance status is underperforming. Without \`name\` and \`tags\` it costs one counter row; with them all jobs you see that underperform are looked at.`,
  access: "user",
  request: {
    query: z.object({
      benchmark_id: z
        .enum(["quick_mark"], "must be quick_mark, given once")
        .default("quick_mark")
        .openapi({ description: "Benchmark that drives performance rows." }),
      name: queryText({
        max: 60,
        description:
          "Only jobs whose name contains this text, whatever the case of ASCII letters; no sign is a wildcard. An empty one is as absent.",
      }),
      tags,
      tag: tags.openapi({ description: "As `tags`, for older clients." }),
      state: z
        .enum(jobState.options, `must be one of ${jobState.options.join(", ")}, given once`)
        .default("completed")
        .openapi({ description: "Only jobs in this state." }),
      sort_by: z
        .enum(SORT_FIELDS, `must be one of ${SORT_FIELDS.join(", ")}, given once`)
        .default("created_at")
        .openapi({ description: "Changes nothing: a count has no order." }),
      sort_order: z
        .enum(["asc", "desc"], "must be asc or desc, given once")
        .default("desc")
        .openapi({ description: "Changes nothing." }),
    }),
  },
  responses: {
    200: json(
      z
        .strictObject({
          alert_job_count: integer({
            min: 0,
            max: Number.MAX_SAFE_INTEGER,
            description: "Jobs that underperform.",
          }),
        })
        .openapi("JobStats", { description: "How many jobs need a look." }),
      { description: "The count.", example: { alert_job_count: 4 } },
    ),
  },
});

export type JobStatsQuery = z.infer<typeof getJobStatsRoute.request.query>;
