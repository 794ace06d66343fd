/** Wire form of jobs: created, in a list, in full. */
import { z } from "@hono/zod-openapi";
import { pagination } from "../api/lists.ts";
import {
  idString,
  integer,
  jsonObject,
  jwt,
  orNull,
  patternText,
  text,
  timestamp,
  uuid,
} from "../api/schemas.ts";
import { MAX_MODELS_PER_NODE } from "../benchmarks/gpus.ts";
import {
  benchmarkId,
  CONFIG_BYTES,
  jobState,
  MAX_NODES,
  MAX_STEPS,
  reportError,
  reportUrl,
} from "../coordinator/wire/task.ts";
import {
  jobFindings,
  performance,
  performanceNodes,
  scoreboardSummary,
} from "../scoreboard/verdict-schemas.ts";
import {
  jobDescription,
  jobName,
  jobOrder,
  jobProvider,
  jobRegion,
  MAX_TAGS,
  tag,
} from "./create-schema.ts";
import {
  aggregateResults,
  endedAt,
  jobEvent,
  resultMap,
  specCheckStatus,
  task,
} from "./result-schemas.ts";

const token = jwt("The job token, with which agents join. Valid until `expires_at`.");
const benchmarkIds = z
  .array(benchmarkId)
  .max(MAX_STEPS)
  .openapi({ description: "Ids of the benchmarks, in the order they run." });
const tagList = z.array(tag).max(MAX_TAGS).openapi({ description: "The job's tags." });
const name = text(jobName);
const description = text(jobDescription).nullable();
const nodeCount = integer({ min: 1, max: MAX_NODES, description: "Expected nodes.", example: 4 });
const createdAt = timestamp.openapi({ description: "When the job was created." });
const expiresAt = timestamp.openapi({
  description: "When the job expires: 24 hours after its creation.",
  example: "2024-03-16T10:30:00.000Z",
});
const joinCommand = patternText({
  pattern: /^[ -~]+$/,
  max: 4_800,
  description:
    "Shell command that makes a machine a node of this job, with or without Node. It contains the token. Null for a job with a spec, which runners claim; if the server does not know its public address; and once no node is missing or the job has ended.",
  example:
    "curl -fsSL https://assay.example/agent | sh -s -- --host https://assay.example --token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3NTU0NjIxNDQwIn0.c2lnbmF0dXJl",
});
export const createdJob = z
  .strictObject({
    id: idString,
    name,
    description,
    node_count: nodeCount,
    benchmarks: benchmarkIds,
    tags: tagList,
    token,
    join_command: orNull(joinCommand),
    created_at: createdAt,
    expires_at: expiresAt,
  })
  .openapi("CreatedJob", { description: "A job that was just created." });

const sequenceStep = z
  .strictObject({
    benchmark_id: benchmarkId,
    config: jsonObject({
      maxBytes: CONFIG_BYTES,
      description: "Options; null for none.",
    }).nullable(),
  })
  .openapi("SequenceStep", { description: "One step of a job." });

/** Fields of both the list and the detail. */
const jobFields = {
  id: idString,
  name,
  token,
  description,
  state: jobState,
  node_count: nodeCount,
  current_nodes: integer({
    min: 0,
    max: MAX_NODES,
    description: "Nodes that have joined; never falls.",
    example: 4,
  }),
  benchmark_sequence: z
    .array(sequenceStep)
    .max(MAX_STEPS)
    .openapi({ description: "The steps every node goes through, in order." }),
  tags: tagList,
  provider: text(jobProvider).nullable(),
  region: text(jobRegion).nullable(),
  order: text(jobOrder).nullable(),
  created_at: createdAt,
  started_at: timestamp
    .nullable()
    .openapi({ description: "When the last expected node joined; null before." }),
  expires_at: expiresAt,
  ended_at: endedAt,
  spec_check: orNull(specCheckStatus).openapi({
    description:
      "The worst result of comparing its machines with the expected spec; null for no spec, and until the first machine is compared.",
  }),
};

const listedJob = z
  .strictObject({
    ...jobFields,
    gpu_models: z
      .array(text({ min: 1, max: 128, description: "As named by the driver." }))
      .max(MAX_NODES * MAX_MODELS_PER_NODE)
      .nullable()
      .openapi({ description: "GPU models of the nodes; null without `include_results`." }),
    quickmark_aggregate_results: orNull(aggregateResults).openapi({
      description:
        "QuickMark over the nodes; null without `include_results`, and until it is measured.",
    }),
    performance: orNull(performance).openapi({
      description:
        "Rating of the job; null without `include=performance`, and until the job is rated.",
    }),
    performance_nodes: orNull(performanceNodes).openapi({
      description:
        "Rating of each node; null without `include=performance_nodes`, and until the job is rated.",
    }),
    benchmarks: benchmarkIds,
  })
  .openapi("Job", { description: "A job in a list." });

export const jobPage = z
  .strictObject({
    results: z.array(listedJob).max(300).openapi({ description: "The jobs of this page." }),
    pagination,
  })
  .openapi("JobPage", { description: "One page of a list of jobs." });

/** A list of tags has at most this many. */
export const MAX_LISTED_TAGS = 10_000;

export const jobTagList = z
  .strictObject({
    tags: z.array(tag).max(MAX_LISTED_TAGS).openapi({ description: "Distinct, sorted by bytes." }),
  })
  .openapi("JobTags", { description: "The tags of the jobs you see." });

export const jobStats = z
  .strictObject({
    alert_job_count: integer({
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      description: "Jobs that underperform.",
    }),
  })
  .openapi("JobStats", { description: "Number of jobs that underperform." });

export const jobDetail = z
  .strictObject({
    ...jobFields,
    join_command: orNull(joinCommand),
    benchmarks: benchmarkIds,
    spec: orNull(uuid).openapi({
      description: "The UUID of the hardware spec the job was created for; null for none.",
    }),
    expected_spec: orNull(uuid).openapi({
      description: "The UUID of the spec that its machines are compared with; null for none.",
    }),
    tasks: z.array(task).max(MAX_NODES).openapi({ description: "The nodes, by rank." }),
    benchmark_results: resultMap,
    quickmark_aggregate_results: orNull(aggregateResults),
    pdf_report_url: reportUrl,
    report_error: reportError,
    findings: orNull(jobFindings).openapi({
      description: "Findings, as in `scoreboard_summary`; null until the job is rated.",
    }),
    scoreboard_summary: orNull(scoreboardSummary).openapi({
      description:
        "Comparison of the job and its nodes with baselines; null until the job has ended and is rated, and if nothing was measured.",
    }),
    events: z.array(jobEvent).max(1_000).openapi({ description: "Oldest first." }),
  })
  .openapi("JobDetail", { description: "A job in full." });

export const abortedJob = z
  .strictObject({
    id: idString,
    state: z.literal("aborted"),
    ended_at: timestamp.openapi({ description: "When it was aborted." }),
  })
  .openapi("AbortedJob", { description: "A job that was aborted." });

const NO_JOB_ID =
  "must be a job's id: a whole number between 1 and 2^53, or its digits as a string";

export const deleteJobBody = z
  .object({
    id: z
      .union(
        [
          integer({ min: 1, max: Number.MAX_SAFE_INTEGER, description: "As a number." }),
          patternText({ pattern: /^[0-9]{1,16}$/, max: 16, description: "As digits." })
            .transform(Number)
            .refine((id) => id >= 1 && Number.isSafeInteger(id), NO_JOB_ID)
            .openapi({ pattern: "^0{0,15}[1-9][0-9]{0,15}$" }),
        ],
        NO_JOB_ID,
      )
      .openapi({ description: "The job to delete.", example: 7_554_621_440 }),
  })
  .openapi("DeleteJob", { description: "The job to delete." });

export const deletedJob = z
  .strictObject({
    message: z.literal("Job deleted successfully").openapi({ description: "Text for people." }),
    requires_agent_stop: z.boolean().openapi({
      description:
        "True if an agent of the job was in contact within the node timeout (150 s) and has not been told to stop yet; it is told at its next call.",
    }),
  })
  .openapi("DeletedJob", { description: "Confirms that the job is deleted." });

export type JobDetailWire = z.infer<typeof jobDetail>;
export type CreatedJobWire = z.infer<typeof createdJob>;
export type ListedJobWire = z.infer<typeof listedJob>;
