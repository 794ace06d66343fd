/** What a job's nodes did and measured, as its owner sees it. */
import { z } from "@hono/zod-openapi";
import {
  benchmarkId,
  CONFIG_BYTES,
  jobState,
  MAX_GPUS_PER_NODE,
  MAX_NODES,
  MAX_SHOWN_MESSAGE,
  MAX_STEPS,
  taskFields,
} from "../coordinator/wire-schemas.ts";
import { figure, integer, jsonObject, map, text, timestamp } from "../http/schemas.ts";
import { displayField } from "./catalogue-contract.ts";

/** 1 MiB is what a node may send; its numbers can take more once they are written out. */
const RESULT_BYTES = 1_536 * 1_024;

const startedAt = timestamp.nullable().openapi({ description: "When it started; null before." });
export const endedAt = timestamp.nullable().openapi({ description: "When it ended; null before." });
const metricSummary = z
  .strictObject({
    min: figure("The smallest figure of a node."),
    median: figure("The median over the nodes."),
    max: figure("The largest figure of a node."),
    mean: figure("The mean over the nodes."),
    total: figure("The sum over the nodes; null where a sum means nothing.").nullable(),
  })
  .openapi("MetricSummary", { description: "A metric over all nodes." });

export const aggregateResults = z
  .strictObject({
    node_count: integer({ min: 1, max: MAX_NODES, description: "Nodes that have measured." }),
    gpu_count: integer({ min: 0, max: MAX_NODES * MAX_GPUS_PER_NODE, description: "Their GPUs." }),
    metrics: map(metricSummary, {
      maxProperties: 64,
      keyPattern: "^[a-z0-9_]+$",
      description: "By metric, such as `bf16_tflops`.",
    }),
  })
  .openapi("QuickMarkAggregateResults", {
    description: "QuickMark over the nodes. Figures from implausible telemetry are left out.",
  });

const shownMessage = (description: string) =>
  text({ max: MAX_SHOWN_MESSAGE, multiline: true, description }).nullable();

export const benchmarkResult = z
  .strictObject({
    benchmark_id: benchmarkId,
    benchmark_name: text({
      min: 1,
      max: 128,
      description: "The benchmark's name for people.",
      example: "Cluster Network",
    }),
    started_at: startedAt,
    ended_at: endedAt,
    config: jsonObject({ maxBytes: CONFIG_BYTES, description: "Its options; `{}` for none." }),
    results: jsonObject({
      maxBytes: RESULT_BYTES,
      description:
        "The figures, by field name; null before there are any. Fields that an agent adds are kept, so clients ignore names they do not know.",
    }).nullable(),
    state: jobState,
    error_message: shownMessage("Why it failed; null otherwise."),
    display_names: map(displayField, {
      maxProperties: 64,
      keyPattern: "^[a-z0-9_]+$",
      description: "How to show each field, when `include_display_names` asks for it.",
    }).optional(),
  })
  .openapi("BenchmarkResult", { description: "What one benchmark measured." });

const resultMapOf = (description: string) =>
  map(benchmarkResult, {
    maxProperties: MAX_STEPS,
    keyPattern: "^[a-z0-9_]+(:[0-9]{1,2})?$",
    description: `${description} By benchmark id; \`id:2\`, \`id:3\` where one runs again with other options.`,
  });
export const resultMap = resultMapOf("Cluster benchmarks that have started.");

export const taskResultMap = resultMapOf("What this node has sent.");

export const task = z
  .strictObject({ ...taskFields, benchmark_results: taskResultMap })
  .openapi("Task", { description: "One node's part of a job." });

export const jobEvent = z
  .strictObject({
    at: timestamp,
    kind: z
      .enum(["joined", "lost", "returned", "step_started", "step_ended", "settled"])
      .openapi({ description: "What happened." }),
    rank: integer({
      min: 0,
      max: MAX_NODES - 1,
      description: "The node it happened to; null for the job as a whole.",
    }).nullable(),
    message: text({ min: 1, max: 2_048, multiline: true, description: "The same in words." }),
  })
  .openapi("JobEvent", { description: "Something that happened in a job's life." });

export type BenchmarkResultWire = z.infer<typeof benchmarkResult>;
