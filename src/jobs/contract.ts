import { createRoute, z } from "@hono/zod-openapi";
import { errors, json, jsonBody } from "../http/responses.ts";
import {
  idParameter,
  idString,
  integer,
  jsonObject,
  queryBoolean,
  queryInteger,
  text,
  timestamp,
} from "../http/schemas.ts";
import { displayField } from "./catalogue-contract.ts";

const BASE = "/api/silicon-mark/v1";
const security = [{ OAuth2PasswordBearer: [] }];
const tags = ["Jobs"];

export const MAX_NODES = 256;
const MAX_TAGS = 10;
const MAX_BENCHMARKS = 16;

/** Letters (with their marks) and digits of any script, and a few signs (contract §4). */
const FORBIDDEN_IN_TAG = /[^\p{L}\p{M}\p{N} _\-.:/@+=#]/u;
/** A step's reason may be repeated with the node's name before it. */
const MAX_SHOWN_MESSAGE = 1_100;

const tag = text({
  min: 1,
  max: 50,
  trim: true,
  description: "Letters and digits of any script, space, and `_ - . : / @ + = #`.",
  example: "production",
})
  .check((context) => {
    const forbidden = FORBIDDEN_IN_TAG.exec(context.value)?.[0];
    if (forbidden !== undefined) {
      const message = `must not contain '${forbidden}'; allowed are letters, digits, space and _ - . : / @ + = #`;
      context.issues.push({ code: "custom", input: context.value, message });
    }
  })
  .openapi({ pattern: "^[\\p{L}\\p{M}\\p{N} _\\-.:/@+=#]*$" });

const benchmarkId = z.string().min(1).max(64).openapi({ example: "cluster_network" });

const benchmarkChoice = z
  .union(
    [
      benchmarkId.transform((benchmark_id) => ({ benchmark_id, config: null })),
      z.object({ benchmark_id: benchmarkId, config: jsonObject.nullish() }),
    ],
    "must be a benchmark id of 1 to 64 characters, or an object with benchmark_id and config",
  )
  .openapi({ description: "A benchmark id, or an id with a config." });

const createJobBody = z
  .object({
    name: text({
      min: 1,
      max: 60,
      trim: true,
      description: "Unique per customer; generated when left out.",
      example: "GPU Benchmark Test",
    }).nullish(),
    description: text({ max: 512, multiline: true, description: "For people." }).nullish(),
    benchmarks: z
      .array(benchmarkChoice)
      .max(MAX_BENCHMARKS)
      .openapi({ description: "What to run; quick_mark is always part of it and comes first." }),
    node_count: integer({
      min: 1,
      max: MAX_NODES,
      description: "Expected nodes.",
      example: 4,
    })
      .default(1)
      .openapi({ default: 1 }),
    tags: z
      .array(tag)
      .transform((given) => [...new Set(given)])
      .refine((distinct) => distinct.length <= MAX_TAGS, `must have at most ${MAX_TAGS} entries`)
      .nullish()
      .openapi({ maxItems: MAX_TAGS }),
  })
  .openapi("CreateJob");

export const jobState = z
  .enum([
    "created",
    "starting",
    "running",
    "completed",
    "aborted",
    "failed",
    "completed_with_warnings",
  ])
  .openapi("JobState");

const token = z.string().max(4096).openapi({
  description: "The job token: an agent joins with it. Valid until `expires_at`.",
});
const benchmarkIds = z.array(z.string().max(64)).max(MAX_BENCHMARKS + 1);
const tagList = z.array(z.string().max(50)).max(MAX_TAGS);

const createdJob = z
  .object({
    id: idString,
    name: z.string(),
    description: z.string().nullable(),
    node_count: z.int(),
    benchmarks: benchmarkIds,
    tags: tagList,
    token,
    created_at: timestamp,
    expires_at: timestamp,
  })
  .openapi("CreatedJob");

const sequenceStep = z.object({ benchmark_id: z.string().max(64), config: jsonObject.nullable() });

/** What list and detail share. */
const jobFields = {
  id: idString,
  name: z.string(),
  token,
  description: z.string().nullable(),
  state: jobState,
  node_count: z.int(),
  current_nodes: z.int(),
  benchmark_sequence: z.array(sequenceStep).max(MAX_BENCHMARKS + 1),
  tags: tagList,
  created_at: timestamp,
  started_at: timestamp.nullable(),
  expires_at: timestamp,
  ended_at: timestamp.nullable(),
};

const aggregateResults = z
  .object({
    node_count: z.int(),
    gpu_count: z.int(),
    metrics: z.record(
      z.string().max(128),
      z.object({
        min: z.number(),
        median: z.number(),
        max: z.number(),
        mean: z.number(),
        total: z.number().nullable().openapi({ description: "Null where a sum means nothing." }),
      }),
    ),
  })
  .openapi("QuickMarkAggregateResults");

const listedJob = z
  .object({
    ...jobFields,
    gpu_models: z.null(),
    quickmark_aggregate_results: z.null(),
    performance: z.null(),
    performance_nodes: z.null(),
    benchmarks: benchmarkIds,
  })
  .openapi("Job");

const pagination = z
  .object({
    total: z.int(),
    page: z.int(),
    per_page: z.int(),
    total_pages: z.int(),
    has_next: z.boolean(),
    has_prev: z.boolean(),
  })
  .openapi("Pagination");

const benchmarkResult = z
  .object({
    benchmark_id: z.string().max(64),
    benchmark_name: z.string().max(128),
    started_at: timestamp.nullable(),
    ended_at: timestamp.nullable(),
    config: jsonObject,
    results: jsonObject.nullable(),
    state: jobState,
    error_message: z.string().max(MAX_SHOWN_MESSAGE).nullable(),
    display_names: z.record(z.string().max(128), displayField).optional(),
  })
  .openapi("BenchmarkResult");

/** By benchmark id; `id:2`, `id:3` where one runs again with another config. */
const resultMap = z.record(z.string().max(80), benchmarkResult);

const task = z
  .object({
    id: idString,
    job_id: idString,
    rank: z.int().openapi({ description: "Order of joining, from 0." }),
    machine_uuid: z.string().max(64),
    machine_ip: z.string().max(64).nullable(),
    state: jobState,
    failed_message: z.string().max(MAX_SHOWN_MESSAGE).nullable(),
    progress: z
      .number()
      .min(0)
      .max(1)
      .openapi({ description: "Of the step that runs; 1 at the end." }),
    message: z.string().max(200).nullable(),
    created_at: timestamp,
    started_at: timestamp.nullable(),
    ended_at: timestamp.nullable(),
    gpu_model: z.string().max(128).nullable(),
    gpu_count: z.int().nullable(),
    pdf_report_url: z.string().max(2048).nullable(),
    benchmark_results: resultMap,
  })
  .openapi("Task");

const jobEvent = z
  .object({
    at: timestamp,
    kind: z.enum(["joined", "lost", "returned", "step_started", "step_ended", "settled"]),
    rank: z.int().nullable(),
    message: z.string().max(2048),
  })
  .openapi("JobEvent");

export const jobDetail = z
  .object({
    ...jobFields,
    benchmarks: benchmarkIds,
    spec: z.null(),
    tasks: z.array(task).max(MAX_NODES),
    benchmark_results: resultMap.openapi({ description: "Cluster benchmarks that have started." }),
    quickmark_aggregate_results: aggregateResults.nullable(),
    pdf_report_url: z.string().max(2048).nullable(),
    scoreboard_summary: z.null(),
    events: z.array(jobEvent).max(1_000).openapi({ description: "Oldest first." }),
  })
  .openapi("JobDetail");

const params = z.object({ job_id: idParameter("job_id", "The job ID.") });

export const createJobRoute = createRoute({
  method: "post",
  path: `${BASE}/jobs`,
  operationId: "createJob",
  tags,
  summary: "Create a job",
  description:
    "Create a new benchmarking job. quick_mark is always included automatically. The reply's `token` lets agents join until the job expires, 24 hours after creation.",
  security,
  request: { body: jsonBody(createJobBody) },
  responses: {
    201: json(createdJob, "Created."),
    ...errors(
      "PARAMETER_INCORRECT_VALUE",
      "CLIENT_TOKEN_INVALID",
      "RESOURCE_ALREADY_EXISTS",
      "REQUEST_TOO_LARGE",
      "UNSUPPORTED_MEDIA_TYPE",
    ),
  },
});

export const listJobsRoute = createRoute({
  method: "get",
  path: `${BASE}/jobs`,
  operationId: "listJobs",
  tags,
  summary: "List jobs",
  description:
    "The jobs you may see, newest first: your own, your customer's, or all, by your role.",
  security,
  request: {
    query: z.object({
      page: queryInteger({ min: 1, max: 2 ** 31 - 1, default: 1, description: "Page number." }),
      per_page: queryInteger({ min: 1, max: 300, default: 20, description: "Items per page." }),
    }),
  },
  responses: {
    200: json(z.object({ results: z.array(listedJob).max(300), pagination }), "A page of jobs."),
    ...errors("PARAMETER_INCORRECT_VALUE", "CLIENT_TOKEN_INVALID"),
  },
});

export const getJobRoute = createRoute({
  method: "get",
  path: `${BASE}/jobs/{job_id}`,
  operationId: "getJob",
  tags,
  summary: "View a job",
  description:
    "Get detailed information about a specific job. Tasks and all benchmark results are always included; of a live job they are the newest there is.",
  security,
  request: { params },
  responses: {
    200: json(jobDetail, "The job."),
    ...errors("PARAMETER_INCORRECT_VALUE", "CLIENT_TOKEN_INVALID", "RESOURCE_NOT_FOUND"),
  },
});

export const getJobResultsRoute = createRoute({
  method: "get",
  path: `${BASE}/jobs/{job_id}/results`,
  operationId: "getJobResults",
  tags,
  summary: "View a job's results",
  description:
    "Get the result summary of this job: a map keyed by benchmark id, where each value is a cluster-level benchmark result.",
  security,
  request: {
    params,
    query: z.object({
      include_display_names: queryBoolean({
        default: false,
        description: "Add human-readable field names and units to each result.",
      }),
    }),
  },
  responses: {
    200: json(resultMap, "Results by benchmark id."),
    ...errors("PARAMETER_INCORRECT_VALUE", "CLIENT_TOKEN_INVALID", "RESOURCE_NOT_FOUND"),
  },
});

export const abortJobRoute = createRoute({
  method: "post",
  path: `${BASE}/jobs/{job_id}/abort`,
  operationId: "abortJob",
  tags,
  summary: "Abort a job",
  description:
    "Ends a job that is created, starting or running; its nodes are told to stop. Aborting an aborted job changes nothing. Only for people of the job's customer.",
  security,
  request: { params },
  responses: {
    200: json(
      z.object({ id: idString, state: z.literal("aborted"), ended_at: timestamp }),
      "The job is aborted.",
    ),
    ...errors(
      "PARAMETER_INCORRECT_VALUE",
      "JOB_STATE_INVALID",
      "CLIENT_TOKEN_INVALID",
      "PERMISSION_DENIED",
      "RESOURCE_NOT_FOUND",
    ),
  },
});

export type CreateJobInput = z.infer<typeof createJobBody>;
export type JobDetailWire = z.infer<typeof jobDetail>;
export type CreatedJobWire = z.infer<typeof createdJob>;
export type ListedJobWire = z.infer<typeof listedJob>;
export type PaginationWire = z.infer<typeof pagination>;
export type BenchmarkResultWire = z.infer<typeof benchmarkResult>;
