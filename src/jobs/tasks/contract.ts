import { z } from "@hono/zod-openapi";
import { pageParameters } from "../../api/lists.ts";
import { queryUuid } from "../../api/names.ts";
import { json, operation, textStream } from "../../api/operation.ts";
import { queryBoolean, queryId, queryPatternText } from "../../api/query-parameters.ts";
import { idParameter } from "../../api/schemas.ts";
import { jobState } from "../../coordinator/wire/task.ts";
import { performanceStatus } from "../../scoreboard/verdict-schemas.ts";
import { jobDetailExample } from "../examples.ts";
import { specCheckParameter } from "../list-parameters.ts";
import { taskPage, taskWithResults } from "./schemas.ts";

const BASE = "/api/silicon-mark/v1";

const [taskExample] = jobDetailExample.tasks;
if (taskExample === undefined) throw new Error("The example of a job has a task");

/** Limit of all results of a page together, the same as of one job (docs/contract.md, "HTTP rules"). */
export const MAX_PAGE_RESULT_BYTES = 8 * 1_024 * 1_024;

const page = json(taskPage, {
  description: "A page of tasks, or an export of all of them.",
  example: {
    data: [
      {
        ...taskExample,
        findings: null,
        performance_status: null,
        replayed: null,
        benchmark_results: null,
      },
    ],
    pagination: { page: 1, per_page: 20, total: 1, pages: 1, next_cursor: null },
  },
});

export const CSV = "text/csv";
export const JSON_LINES = "application/x-ndjson";

const EXPORTS = {
  [CSV]: textStream("job_id,task_id,rank,gpu_model\r\n7554621440,7554621441,0,NVIDIA H100 NVL\r\n"),
  [JSON_LINES]: textStream('{"job_id":"7554621440","task_id":"7554621441","rank":0}\n'),
};

export const listTasksRoute = operation({
  method: "get",
  path: `${BASE}/tasks`,
  operationId: "listTasks",
  tags: ["Jobs"],
  summary: "List tasks",
  description: `Lists the tasks of the jobs you may see, newest first, a page at a time; a task is one node's part of a job. Regular users see the tasks of their own jobs, customer admins those of all jobs of their customer, staff and root admins all. Tasks of deleted jobs are left out. Changes of the last seconds may be missing; the job's detail has them.

Filters combine. A page beyond the last one is empty.

With \`include_results\` a page has at most 8 MiB of results; a larger page is 400, and the message says how many tasks would fit.

\`Accept: text/csv\` (RFC 4180, with a header) or \`application/x-ndjson\` (one JSON object per line) exports node results instead, one row per task, with its QuickMark figures and its verdict. The export is one stream of all matching tasks, at most 100,000, starting at \`cursor\` if it is given. Implausible figures are left empty. In CSV, an apostrophe precedes text that a spreadsheet would treat as a formula, also within a cell.

**Cost.** With at most one filter, the first page and the pages along \`next_cursor\` or the links of \`Link\` cost the same however many tasks there are. So does the total, except with \`machine_ip\`, \`machine_uuid\`, \`performance_status\`, \`spec_check\` or several filters: then all matches are counted. Several filters read all tasks that match the first of \`job_id\`, \`machine_uuid\`, \`machine_ip\`, \`has_findings\`, \`performance_status\`, \`spec_check\`.`,
  access: "user",
  list: true,
  request: {
    query: z.object({
      ...pageParameters({ max: 300, default: 20 }),
      sort_by: z
        .enum(["created_at"], "must be created_at, given once")
        .default("created_at")
        .openapi({ description: "Field to sort by: the time the node joined." }),
      sort_order: z
        .enum(["asc", "desc"], "must be asc or desc, given once")
        .default("desc")
        .openapi({ description: "Sort direction." }),
      job_id: queryId("Only tasks of this job."),
      state: z
        .enum(jobState.options, `must be one of ${jobState.options.join(", ")}, given once`)
        .optional()
        .openapi({ description: "Only tasks in this state." }),
      machine_ip: queryPatternText({
        pattern: /^[0-9A-Fa-f:.]+$/,
        max: 45,
        description: "Only tasks of machines that joined with exactly this address.",
      }),
      machine_uuid: queryUuid("Only tasks of this machine."),
      performance_status: z
        .enum(
          performanceStatus.options,
          `must be one of ${performanceStatus.options.join(", ")}, given once`,
        )
        .optional()
        .openapi({ description: "Only tasks with this rating." }),
      spec_check: specCheckParameter("tasks"),
      has_findings: queryBoolean({
        default: false,
        description: "True: only tasks with findings. False is ignored.",
      }),
      include_results: queryBoolean({
        default: false,
        description: "Add the results that each node has sent.",
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
  description: `Returns one node's part of a job: its results, the machine's inventory, and the manufacturer's data sheet of its GPUs. The task of a live job is up to date.

For everyone who sees the task's job; others get 404.`,
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
            clock_skew_ms: -12,
            config: {},
            results: { aggregate_results: { bf16_tflops: 2121.6, memory_bandwidth_gbs: 13920 } },
            state: "completed",
            error_message: null,
            implausible: [],
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
