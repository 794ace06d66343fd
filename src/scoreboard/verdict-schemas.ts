/** Schemas of verdicts in the API. */
import { z } from "@hono/zod-openapi";
import { shownGpuModel, shownGpuModels } from "../api/gpus.ts";
import {
  figure,
  idString,
  integer,
  message,
  orNull,
  patternText,
  text,
  timestamp,
  uuid,
} from "../api/schemas.ts";
import { MAX_GPUS_PER_NODE as MAX_GPUS, MAX_MODELS_PER_NODE } from "../benchmarks/gpus.ts";
import { BASELINE_SOURCES, FINDING_KINDS, PERFORMANCE_STATUSES } from "../lib/enums.ts";
import { MAX_JOB_FINDINGS, MAX_NODE_FINDINGS } from "./facts.ts";

const MAX_NODES = 256;
const MAX_COUNT = Number.MAX_SAFE_INTEGER;

export const performanceStatus = z.enum(PERFORMANCE_STATUSES).openapi("PerformanceStatus", {
  description:
    "Verdict on a figure, a node or a job. `unrated`: no comparison was possible; there may still be problems.",
});

export const baselineSource = z.enum(BASELINE_SOURCES).openapi("BaselineSource", {
  description:
    "`pinned`: set by an administrator. `own_fleet`: the median of the customer's machines. `fleet`: the median of customers' medians. `shipped`: the median of recorded runs.",
});

export const metricName = patternText({
  pattern: /^[a-z0-9_]+$/,
  max: 64,
  description: "Name of the metric.",
  example: "bf16_tflops",
});

/** Why a reference is none. */
export const REFERENCE_NOTE = "another method; not a verdict";

const reference = z
  .strictObject({
    value: figure("The other figure, per GPU."),
    ratio: figure("The measured figure divided by it."),
    of: z.enum(["shipped", "data_sheet"]).openapi({
      description: "`shipped`: the median of recorded runs. `data_sheet`: the manufacturer's peak.",
    }),
    note: z.literal(REFERENCE_NOTE).openapi({ description: "Text for people." }),
  })
  .openapi("MetricReference", { description: "A figure measured by another method." });

const findingKind = z.enum(FINDING_KINDS).openapi("FindingKind", {
  description:
    "`health`: a warning reported by the machine itself. `gpu_count`: fewer GPUs than expected. `spec_differs`: less than the promised spec. `above_data_sheet`: more than such a GPU can reach. `gpu_straggler`: a GPU slower than the others of its node. `node_straggler`: a node slower than the others of its job. `network`: a slow link, or a node with slow links. `asymmetry`: copies between host and GPU are slow in one direction. `drop`: a metric lower than in the machine's previous job.",
});

const finding = z
  .strictObject({
    kind: findingKind,
    metric: metricName,
    rank: integer({ min: 0, max: MAX_NODES - 1, description: "Rank of the node." }),
    gpu: integer({
      min: 0,
      max: 1_023,
      description: "Index of the GPU in the results, from 0; null for the node as a whole.",
    }).nullable(),
    value: figure("The value found; null if it is not a number.").nullable(),
    expected: figure("The value it was compared with; null for none.").nullable(),
    ratio: figure("`value` divided by `expected`; null without either.").nullable(),
    message: message(256, "The finding in words."),
  })
  .openapi("Finding", { description: "A possible problem, independent of the verdict." });

const findings = (max: number) => ({
  findings: z
    .array(finding)
    .max(max)
    .openapi({
      description: `Findings, the most urgent first, at most ${max}; needs no baseline.`,
    }),
  finding_count: integer({
    min: 0,
    max: MAX_COUNT,
    description: "Number of findings, including those beyond the list.",
  }),
});

/** A node's findings, in a list of tasks. */
export const nodeFindings = findings(MAX_NODE_FINDINGS).findings;

/** A job's findings, in its detail. */
export const jobFindings = findings(MAX_JOB_FINDINGS).findings;

const replayed = z.boolean().openapi({
  description:
    "True if the figures are a recording instead of a measurement. They are rated only on development servers, on request.",
});

/** As in `schemas.ts`, which is above this file. */
const methodClass = patternText({
  pattern: /^[a-z0-9-]+$/,
  max: 64,
  description: "Class of the figure's method; `unknown` is never rated.",
  example: "quickmark",
});

const metricVerdict = z
  .strictObject({
    metric: metricName,
    gpu_model: shownGpuModel.openapi({
      description: "The GPU model of the figure; null for a metric that is not rated.",
    }),
    value: figure("Measured figure per GPU; null if missing or implausible.").nullable(),
    baseline: figure("Baseline per GPU; null if there is none.").nullable(),
    ratio: figure("`value` divided by `baseline`; null if either is missing.").nullable(),
    sample_size: integer({
      min: 0,
      max: MAX_COUNT,
      description:
        "Number of machines or runs behind the baseline; null for a pinned value or no baseline.",
    }).nullable(),
    source: orNull(baselineSource),
    status: performanceStatus,
    reason: orNull(message(1_024, "The reason for the verdict; null for a figure as expected.")),
    own_fleet_baseline: figure(
      "Median of the customer's machines; null if there are too few.",
    ).nullable(),
    fleet_baseline: figure(
      "Median of customers' medians; null if there are too few customers or machines.",
    ).nullable(),
    shipped_baseline: figure("Median of recorded runs; null for models without runs.").nullable(),
    class: methodClass,
    reference: orNull(reference).openapi({
      description:
        "If the figure's class has no baseline: a figure of another class, which gives no verdict. Otherwise null.",
    }),
  })
  .openapi("MetricVerdict", { description: "Verdict on a metric." });

const metrics = z
  .array(metricVerdict)
  .max(2 * MAX_MODELS_PER_NODE + 8)
  .openapi({
    description:
      "BF16 and memory bandwidth are rated, separately for each GPU model; other metrics are informative.",
  });

const straggler = z
  .strictObject({
    gpu: integer({
      min: 0,
      max: MAX_GPUS - 1,
      description: "Index of the GPU in the results, from 0.",
    }),
    gpu_id: orNull(text({ max: 128, description: "Identifier sent by the agent." })),
    metric: metricName,
    value: figure("The GPU's figure."),
    median: figure("Median of the node's GPUs."),
    ratio: figure("`value` divided by `median`; null for an implausible value.").nullable(),
  })
  .openapi("Straggler", { description: "A GPU that is slower than the others of its node." });

const drop = z
  .strictObject({
    metric: metricName,
    gpu_model: shownGpuModel,
    value: figure("Figure per GPU in this job; the number of GPUs for `gpu_count`."),
    previous_value: figure("The same in the previous job."),
    ratio: figure("`value` divided by `previous_value`."),
    previous_at: timestamp.nullable().openapi({
      description:
        "Time at which the previous job ended; null for a runner's job of another owner.",
    }),
    message: message(200, "The drop in words, such as `8 GPUs before, 7 now`."),
  })
  .openapi("PerformanceDrop", {
    description:
      "A metric, or the number of GPUs (`gpu_count`), that has fallen since the machine's previous job of the same owner.",
  });

export const performanceNode = z
  .strictObject({
    ...findings(MAX_NODE_FINDINGS),
    task_id: idString,
    rank: integer({
      min: 0,
      max: MAX_NODES - 1,
      description: "Position in the order of joining, from 0.",
    }),
    machine_uuid: uuid,
    gpu_model: shownGpuModel,
    gpu_count: integer({
      min: 0,
      max: MAX_GPUS,
      description: "Number of GPUs in the machine.",
    }).nullable(),
    gpu_models: shownGpuModels,
    status: performanceStatus,
    replayed,
    metrics,
    stragglers: z
      .array(straggler)
      .max(2 * MAX_GPUS)
      .openapi({ description: "GPUs that are slower than the others of the node." }),
    drops: z
      .array(drop)
      .max(2 * MAX_MODELS_PER_NODE + 1)
      .openapi({ description: "Figures that have fallen since the machine's previous job." }),
  })
  .openapi("PerformanceNode", { description: "Verdict on a node." });

const performanceFields = {
  ...findings(MAX_JOB_FINDINGS),
  status: performanceStatus,
  replayed,
  benchmark_id: z.literal("quick_mark"),
  baseline_version: integer({
    min: 0,
    max: MAX_COUNT,
    description: "Version of the baselines used for the rating.",
  }),
  rated_nodes: integer({ min: 0, max: MAX_NODES, description: "Number of rated nodes." }),
  underperforming_nodes: integer({
    min: 0,
    max: MAX_NODES,
    description: "Number of underperforming nodes.",
  }),
  metrics,
};

export const performance = z.strictObject(performanceFields).openapi("Performance", {
  description: "Verdict on a job; each metric is the one of its lowest node.",
});

export const performanceNodes = z
  .array(performanceNode)
  .max(MAX_NODES)
  .openapi({ description: "Verdicts on the nodes, by rank." });

export const scoreboardSummary = z
  .strictObject({ ...performanceFields, nodes: performanceNodes })
  .openapi("ScoreboardSummary", { description: "Verdicts on a job and each of its nodes." });

export type PerformanceWire = z.infer<typeof performance>;
export type PerformanceNodeWire = z.infer<typeof performanceNode>;
export type ScoreboardSummaryWire = z.infer<typeof scoreboardSummary>;
