/** What a verdict looks like on the wire. */
import { z } from "@hono/zod-openapi";
import {
  figure,
  idString,
  integer,
  message,
  orNull,
  text,
  timestamp,
  uuid,
  word,
} from "../http/schemas.ts";

const MAX_NODES = 256;
const MAX_GPUS = 64;
const MAX_COUNT = Number.MAX_SAFE_INTEGER;

export const performanceStatus = z
  .enum(["underperforming", "expected", "outperforming", "unrated"])
  .openapi("PerformanceStatus", {
    description:
      "How a figure, a node or a job compares. `unrated`: there is nothing that can be compared, never that all is well.",
  });

export const baselineSource = z.enum(["fleet", "shipped", "pinned"]).openapi("BaselineSource", {
  description:
    "`fleet`: the median of this server's machines. `shipped`: of recorded runs. `pinned`: set by an administrator.",
});

export const metricName = word({
  pattern: /^[a-z0-9_]+$/,
  max: 64,
  description: "The metric.",
  example: "bf16_tflops",
});

const metricVerdict = z
  .strictObject({
    metric: metricName,
    value: figure("Per GPU; null where there is none that can be true.").nullable(),
    baseline: figure("What it is compared with; null for nothing.").nullable(),
    ratio: figure("`value` by `baseline`.").nullable(),
    sample_size: integer({
      min: 0,
      max: MAX_COUNT,
      description: "Machines, or runs, behind the baseline; null for a pinned one.",
    }).nullable(),
    source: orNull(baselineSource),
    status: performanceStatus,
    reason: orNull(message(1_024, "Why; null where there is nothing to say.")),
    fleet_baseline: figure("The median of this server's machines; null for too few.").nullable(),
    shipped_baseline: figure("The median of recorded runs; null for none.").nullable(),
  })
  .openapi("MetricVerdict", { description: "How a metric compares." });

const metrics = z
  .array(metricVerdict)
  .max(16)
  .openapi({ description: "BF16 and memory bandwidth rate; the others are for information." });

const straggler = z
  .strictObject({
    gpu: integer({ min: 0, max: MAX_GPUS - 1, description: "Its place in the results, from 0." }),
    gpu_id: orNull(text({ max: 128, description: "As the agent names it." })),
    metric: metricName,
    value: figure("What it measured."),
    median: figure("Of the node's GPUs."),
    ratio: figure("`value` by `median`; null for a value that cannot be true.").nullable(),
  })
  .openapi("Straggler", { description: "A GPU that lags the others of its node." });

const drop = z
  .strictObject({
    metric: metricName,
    value: figure("Per GPU, now."),
    previous_value: figure("Per GPU, then."),
    ratio: figure("`value` by `previous_value`."),
    previous_at: timestamp.openapi({ description: "When that job ended." }),
  })
  .openapi("PerformanceDrop", {
    description: "A metric that has fallen since the machine's previous job of the same owner.",
  });

export const performanceNode = z
  .strictObject({
    task_id: idString,
    rank: integer({ min: 0, max: MAX_NODES - 1, description: "Order of joining, from 0." }),
    machine_uuid: uuid,
    gpu_model: text({ min: 1, max: 128, description: "As the driver names it." }).nullable(),
    gpu_count: integer({ min: 0, max: MAX_GPUS, description: "GPUs in the machine." }).nullable(),
    status: performanceStatus,
    metrics,
    stragglers: z
      .array(straggler)
      .max(2 * MAX_GPUS)
      .openapi({ description: "GPUs that lag the others of the node." }),
    drops: z.array(drop).max(2).openapi({ description: "What has fallen since the last time." }),
  })
  .openapi("PerformanceNode", { description: "How a node compares." });

const performanceFields = {
  status: performanceStatus,
  benchmark_id: z.literal("quick_mark"),
  baseline_version: integer({
    min: 0,
    max: MAX_COUNT,
    description: "Which baselines it was rated by.",
  }),
  rated_nodes: integer({ min: 0, max: MAX_NODES, description: "Nodes with a verdict." }),
  underperforming_nodes: integer({ min: 0, max: MAX_NODES, description: "Of these." }),
  metrics,
};

export const performance = z
  .strictObject(performanceFields)
  .openapi("Performance", { description: "How a job compares; a metric is its lowest node's." });

export const performanceNodes = z
  .array(performanceNode)
  .max(MAX_NODES)
  .openapi({ description: "How each node compares, by rank." });

export const scoreboardSummary = z
  .strictObject({ ...performanceFields, nodes: performanceNodes })
  .openapi("ScoreboardSummary", { description: "How a job and each of its nodes compare." });

export type PerformanceWire = z.infer<typeof performance>;
export type PerformanceNodeWire = z.infer<typeof performanceNode>;
export type ScoreboardSummaryWire = z.infer<typeof scoreboardSummary>;
