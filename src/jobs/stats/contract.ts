import { z } from "@hono/zod-openapi";
import { operation } from "../../http/operation.ts";
import { queryChoice } from "../../http/query-schemas.ts";
import { json } from "../../http/responses.ts";
import { integer } from "../../http/schemas.ts";
import { commonParameters, stateParameter } from "../list-query.ts";

const stats = z
  .strictObject({
    alert_job_count: integer({
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      description: "Jobs that underperform.",
    }),
  })
  .openapi("JobStats", { description: "How many jobs need a look." });

export const getJobStatsRoute = operation({
  method: "get",
  path: "/api/silicon-mark/v1/jobs/stats",
  operationId: "getJobStats",
  tags: ["Jobs"],
  summary: "Count jobs that underperform",
  description: `Performance tab badge count: the number of jobs you may see whose aggregated performance status is underperforming. The order is validated and changes nothing. Without \`name\` and \`tags\` it costs one counter row; with them, all jobs that these match.`,
  access: "user",
  request: {
    query: z.object({
      benchmark_id: queryChoice(["quick_mark"], "Benchmark that drives performance rows.").default(
        "quick_mark",
      ),
      ...commonParameters,
      state: stateParameter.default("completed"),
    }),
  },
  responses: {
    200: json(stats, { description: "The count.", example: { alert_job_count: 4 } }),
  },
});
