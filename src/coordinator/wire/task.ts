/** Tasks as both their nodes and their owners see them. */
import { z } from "@hono/zod-openapi";
import { shownGpuModel, shownGpuModels } from "../../api/gpus.ts";
import {
  figure,
  idString,
  integer,
  jwt,
  patternText,
  text,
  timestamp,
  uuid,
} from "../../api/schemas.ts";
import { groupsOf, MAX_GPUS_PER_NODE } from "../../benchmarks/gpus.ts";
import { KIB } from "../../lib/bytes.ts";
import { toTimestamp } from "../../lib/clock.ts";
import { JOB_STATES } from "../../lib/enums.ts";
import type { NodeRecord } from "../projection/records.ts";

export const MAX_NODES = 256;
/** Bound of the benchmarks in a request; quick_mark is added to them. */
export const MAX_BENCHMARKS = 16;
export const MAX_STEPS = MAX_BENCHMARKS + 1;
/** Bound of the body of a request with configs. */
export const CONFIG_BYTES = 256 * KIB;
/** A sent message has at most 1,000 characters; the node's name may be put before it. */
export const MAX_SHOWN_MESSAGE = 1_100;
/** Bound of what a node says that it is doing. */
export const MAX_ACTIVITY = 200;

export const jobState = z.enum(JOB_STATES).openapi("JobState", {
  description:
    "`created`: no node has joined. `starting`: some nodes have joined. `running`: all nodes have joined. The other states are final.",
});

export const benchmarkId = patternText({
  pattern: /^[a-z0-9_]+$/,
  max: 64,
  description: "A benchmark's id.",
  example: "cluster_network",
});

export const rank = integer({
  min: 0,
  max: MAX_NODES - 1,
  description: "Position in the order of joining, from 0.",
});

/** In the years 1970 to 9999, whatever both clocks say. */
const MAX_SKEW_MS = 253_402_300_799_999;
export const clockSkewMs = integer({
  min: -MAX_SKEW_MS,
  max: MAX_SKEW_MS,
  description: "How far the machine's clock is ahead of the server's, ms; negative if behind.",
  example: 0,
});

export const ipAddress = z
  .union([z.ipv4(), z.ipv6()], "must be an IPv4 or IPv6 address")
  // One string: generators make types of their own for alternatives.
  .openapi({
    type: "string",
    maxLength: 45,
    pattern: "^[0-9A-Fa-f:.]{2,45}$",
    description: "The machine's address: IPv4 or IPv6.",
    example: "192.168.1.10",
  });

export const reportUrl = z.string().nullable().openapi({
  format: "uri-reference",
  maxLength: 2_048,
  description:
    "Link to the PDF report; null until it is made. A path if the server does not know its public address.",
});

export const reportError = text({
  max: 200,
  description: "Reason why the server has given up making the report; null otherwise.",
}).nullable();

export const taskFields = {
  id: idString,
  job_id: idString,
  rank,
  machine_uuid: uuid.openapi({ description: "Identifies the machine." }),
  // The type in words: `nullable` keeps that of the address.
  machine_ip: ipAddress.nullable().openapi({ type: ["string", "null"] }),
  state: jobState,
  failed_message: text({
    max: MAX_SHOWN_MESSAGE,
    multiline: true,
    description: "The reason for the node's failure; null otherwise.",
  }).nullable(),
  progress: figure("Progress of the running step, 0 to 1; 1 once the node has completed.", {
    minimum: 0,
    maximum: 1,
  }),
  message: text({
    max: MAX_ACTIVITY,
    description: "Current activity, as reported by the node.",
  }).nullable(),
  clock_skew_ms: clockSkewMs.nullable(),
  created_at: timestamp.openapi({ description: "Time at which the node joined." }),
  started_at: timestamp
    .nullable()
    .openapi({ description: "Time at which its first step started; null before." }),
  ended_at: timestamp
    .nullable()
    .openapi({ description: "Time at which the node ended; null before." }),
  gpu_model: shownGpuModel,
  gpu_count: integer({
    min: 0,
    max: MAX_GPUS_PER_NODE,
    description: "Number of GPUs in the machine; null if unknown.",
  }).nullable(),
  gpu_models: shownGpuModels,
  pdf_report_url: reportUrl,
  report_error: reportError,
};

export const nodeTask = z
  .strictObject(taskFields)
  .openapi("NodeTask", { description: "A node's task, as the node sees it." });

export const pollAfterSeconds = figure("Seconds until the next poll; 0 for immediately.", {
  minimum: 0,
  maximum: 60,
});

/** The reply to joining and to heartbeats. */
export const taskReply = z
  .strictObject({ ...taskFields, poll_after_seconds: pollAfterSeconds })
  .openapi("NodeTaskReply", { description: "The node's task, and the time until its next poll." });

/** The reply to joining and, in a claim, to claiming. */
export const joinedTask = z
  .strictObject({
    ...taskFields,
    poll_after_seconds: pollAfterSeconds,
    task_token: jwt("For the header `Assay-Task-Token`; null without a `join_secret`.").nullable(),
  })
  .openapi("JoinedTask", { description: "The node's task, and the token for its calls." });

export type JoinedTaskWire = z.infer<typeof joinedTask>;

/** A task without its results, which only the owner reads. */
export type TaskWire = z.infer<typeof nodeTask>;
export type TaskReplyWire = z.infer<typeof taskReply>;

/** @param reportUrl and `reportError` are for the owner alone; null for the node */
export function toTaskWire(
  task: NodeRecord,
  reportUrl: string | null,
  reportError: string | null = null,
): TaskWire {
  return {
    id: String(task.id),
    job_id: String(task.jobId),
    rank: task.rank,
    machine_uuid: task.machineUuid,
    machine_ip: task.machineIp,
    state: task.state,
    failed_message: task.failedMessage,
    progress: task.progress,
    message: task.message,
    clock_skew_ms: task.clockSkewMs,
    created_at: toTimestamp(task.createdAt),
    started_at: toTimestamp(task.startedAt),
    ended_at: toTimestamp(task.endedAt),
    gpu_model: task.gpuModel,
    gpu_count: task.gpuCount,
    gpu_models: groupsOf(task),
    pdf_report_url: reportUrl,
    report_error: reportError,
  };
}

/** The node in the examples of the API document; its job is the one in the examples of jobs. */
export const taskExample: TaskWire = {
  id: "7554621441",
  job_id: "7554621440",
  rank: 0,
  machine_uuid: "550e8400-e29b-41d4-a716-446655440000",
  machine_ip: "192.168.1.10",
  state: "running",
  failed_message: null,
  progress: 0,
  message: null,
  clock_skew_ms: -12,
  created_at: "2024-03-15T10:35:00.000Z",
  started_at: "2024-03-15T10:35:30.000Z",
  ended_at: null,
  gpu_model: "NVIDIA A100-SXM4-80GB",
  gpu_count: 8,
  gpu_models: [{ model: "NVIDIA A100-SXM4-80GB", count: 8 }],
  pdf_report_url: null,
  report_error: null,
};

export const taskReplyExample: TaskReplyWire = {
  ...taskExample,
  poll_after_seconds: 20,
};

export const joinedTaskExample: JoinedTaskWire = {
  ...taskReplyExample,
  task_token: "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3NTU0NjIxNDQxIn0.c2lnbmF0dXJl",
};
