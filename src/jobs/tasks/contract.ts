import { z } from "@hono/zod-openapi";
import { jobState } from "../../coordinator/wire-schemas.ts";
import { pageParameters } from "../../http/list-query.ts";
import { operation } from "../../http/operation.ts";
import { queryBoolean, queryId, queryWord } from "../../http/query-schemas.ts";
import { json } from "../../http/responses.ts";
import { idParameter } from "../../http/schemas.ts";
import { performanceStatus } from "../../scoreboard/verdict-schemas.ts";
import { jobDetailExample } from "../examples.ts";
import { taskPage, taskWithResults } from "./schemas.ts";

const BASE = "/api/silicon-mark/v1";

const [taskExample] = jobDetailExample.tasks;
if (taskExample === undefined) throw new Error("The example of a job has a task");

/** Figures of a page of tasks together: as many as one job may have (contract §2, Limits). */
export const MAX_PAGE_RESULT_BYTES = 16 * 1_024 * 1_024;

const page = json(taskPage, {
  description: "A page of tasks, or an export of all of them.",
  example: {
    data: [{ ...taskExample, performance_status: null, benchmark_results: null }],
    pagination: { page: 1, per_page: 20, total: 1, pages: 1, next_cursor: null },
  },
});

const stream = (example: string) => ({
  schema: z.string().openapi({ maxLength: 2 ** 31 - 1, pattern: "^[\\s\\S]*$" }),
  example,
});

export const CSV = "text/csv";
export const JSON_LINES = "application/x-ndjson";

const EXPORTS = {
  [CSV]: stream("job_id,task_id,rank,gpu_model\r\n7554621440,7554621441,0,NVIDIA H100 NVL\r\n"),
  [JSON_LINES]: stream('{"job_id":"7554621440","task_id":"7554621441","rank":0}\n'),
};

export const listTasksRoute = operation({
  method: "get",
  path: `${BASE}/tasks`,
  operationId: "listTasks",
  tags: ["Jobs"],
  summary: "List tasks",
  description: `The tasks of the jobs you may see, newest first, a page at a time; one task is one node's part of a job. Regular users see those of their own jobs, customer admins those of all jobs of their customer, staff and root admins all. Tasks of deleted jobs are deleted with them. What nodes have done in the last seconds may be missing: the job's detail has it.

Filters combine. A page costs the same however many tasks there are: the first one and along \`next_cursor\` or the links of \`Link\`, with one filter or none; the total, too, but with \`machine_ip\`, \`machine_uuid\`, \`performance_status\` or several filters, when all that match are counted. With several filters those are looked at that match the first of \`job_id\`, \`machine_uuid\`, \`machine_ip\`, \`performance_status\`. A page beyond the last one is empty.

With \`include_results\` a page has at most 16 MiB of figures; 400 asks for fewer tasks a page.

\`Accept: text/csv\` (RFC 4180, with a header) or \`application/x-ndjson\` (a JSON object a line) exports node results instead: all tasks that match, from \`cursor\` on if it is given, at most 100,000, in one stream; one row a task, with its QuickMark figures and its verdict. Figures that cannot be true are left empty. In CSV a text that a spreadsheet would take for a formula begins with an apostrophe.`,
  access: "user",
  list: true,
  request: {
    query: z.object({
      ...pageParameters({ max: 300, default: 20 }),
      sort_by: z
        .enum(["created_at"], "must be created_at, given once")
        .default("created_at")
        .openapi({ description: "What to sort by: when the node joined." }),
      sort_order: z
        .enum(["asc", "desc"], "must be asc or desc, given once")
        .default("desc")
        .openapi({ description: "Which way to sort." }),
      job_id: queryId("Only tasks of this job."),
      state: z
        .enum(jobState.options, `must be one of ${jobState.options.join(", ")}, given once`)
        .optional()
        .openapi({ description: "Only tasks in this state." }),
      machine_ip: queryWord({
        pattern: /^[0-9A-Fa-f:.]+$/,
        max: 45,
        description: "Only tasks of machines that joined with exactly this address.",
      }),
      machine_uuid: queryWord({
        pattern: /^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$/,
        max: 36,
        description: "Only tasks of this machine.",
      }),
      performance_status: z
        .enum(
          performanceStatus.options,
          `must be one of ${performanceStatus.options.join(", ")}, given once`,
        )
        .optional()
        .openapi({ description: "Only tasks that came out like this." }),
      include_results: queryBoolean({
        default: false,
        description: "Add what each node has sent.",
      }),
    }),
  },
  responses: { 200: { ...page, content: { ...page.content, ...EXPORTS } } },
});

export const getTaskResultsRoute = operation({
  method: "get",
  path: `${BASE}/tasks/{task_id}/results`,
  operationId: "getTaskResults",
  tags: ["Jobs"],
  summary: "View a task's results",
  description: `One node's part of a job with all that it has sent, what is in the machine, and what the manufacturer promises of its GPUs. Of a live job it is the newest there is.

For whoever sees the task's job; to anyone else it does not exist.`,
  access: "user",
  single: true,
  request: {
    params: z.object({ task_id: idParameter("task_id", "The task ID.") }),
    query: z.object({
      include_display_name: queryBoolean({
        default: false,
        description: "Add human-readable field names and units to each result.",
      }),
    }),
  },
  responses: {
    200: json(taskWithResults, {
      description: "The task.",
      example: {
        ...taskExample,
        benchmark_results: {
          quick_mark: {
            benchmark_id: "quick_mark",
            benchmark_name: "QuickMark",
            started_at: "2024-03-15T10:35:30.000Z",
            ended_at: "2024-03-15T10:40:00.000Z",
            config: {},
            results: { aggregate_results: { bf16_tflops: 2121.6, memory_bandwidth_gbs: 13920 } },
            state: "completed",
            error_message: null,
          },
        },
        performance: null,
        inventory: { gpu: { count: 8, model: "NVIDIA A100-SXM4-80GB", cuda_version: "12.8" } },
        manufacturer_gpu_spec: {
          gpu_model: "NVIDIA A100-SXM4-80GB",
          bf16_tflops: 312,
          tf32_tflops: 156,
          fp32_cuda_core_tflops: 19.5,
          memory_bandwidth_gbs: 2039,
        },
      },
    }),
  },
  errors: ["RESOURCE_NOT_FOUND"],
});

export type ListTasksQuery = z.infer<typeof listTasksRoute.request.query>;
