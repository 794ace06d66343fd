/** What owners and nodes see alike of a job and its tasks; `task-wire.ts` makes it. */
import { z } from "@hono/zod-openapi";
import { KIB } from "../http/json-body.ts";
import { figure, idString, integer, text, timestamp, uuid, word } from "../http/schemas.ts";

export const MAX_NODES = 256;
export const MAX_GPUS_PER_NODE = 64;
/** What a job may ask for; quick_mark comes besides. */
export const MAX_BENCHMARKS = 16;
export const MAX_STEPS = MAX_BENCHMARKS + 1;
/** A config comes in a body of at most this. */
export const CONFIG_BYTES = 256 * KIB;
/** A step's reason may be repeated with the node's name before it. */
export const MAX_SHOWN_MESSAGE = 1_100;

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
  .openapi("JobState", {
    description:
      "`created`: no node yet. `starting`: some nodes. `running`: all nodes have joined. The others are final.",
  });

export const benchmarkId = word({
  pattern: /^[a-z0-9_]+$/,
  max: 64,
  description: "A benchmark's id.",
  example: "cluster_network",
});

export const rank = integer({
  min: 0,
  max: MAX_NODES - 1,
  description: "Order of joining, from 0.",
});

export const ipAddress = z
  .union(
    [
      z.ipv4().openapi({ format: "ipv4", maxLength: 15 }),
      z.ipv6().openapi({ format: "ipv6", maxLength: 45 }),
    ],
    "must be an IPv4 or IPv6 address",
  )
  .openapi({ description: "The machine's address: IPv4 or IPv6.", example: "192.168.1.10" });

export const reportUrl = z.url().nullable().openapi({
  format: "uri",
  maxLength: 2_048,
  description: "Where the PDF report is; null until it is made.",
});

/** A task without its results. */
export const taskFields = {
  id: idString,
  job_id: idString,
  rank,
  machine_uuid: uuid.openapi({ description: "Identifies the machine." }),
  machine_ip: ipAddress.nullable(),
  state: jobState,
  failed_message: text({
    max: MAX_SHOWN_MESSAGE,
    multiline: true,
    description: "Why the node failed; null otherwise.",
  }).nullable(),
  progress: figure("Of the running step, 0 to 1; 1 at the end.", { minimum: 0, maximum: 1 }),
  message: text({ max: 200, description: "What the node is doing." }).nullable(),
  created_at: timestamp.openapi({ description: "When the node joined." }),
  started_at: timestamp
    .nullable()
    .openapi({ description: "When its first step started; null before." }),
  ended_at: timestamp.nullable().openapi({ description: "When the node ended; null before." }),
  gpu_model: text({ min: 1, max: 128, description: "As the driver names it." }).nullable(),
  gpu_count: integer({
    min: 0,
    max: MAX_GPUS_PER_NODE,
    description: "GPUs in the machine.",
  }).nullable(),
  pdf_report_url: reportUrl,
};
