/** Wire form of a job's tasks, results and events. */
import { z } from "@hono/zod-openapi";
import { queryBoolean } from "../api/query-parameters.ts";
import {
  figure,
  integer,
  jsonObject,
  map,
  message,
  orNull,
  patternText,
  text,
  timestamp,
} from "../api/schemas.ts";
import { MAX_GPUS_PER_NODE } from "../benchmarks/gpus.ts";
import {
  benchmarkId,
  CONFIG_BYTES,
  clockSkewMs,
  jobState,
  MAX_NODES,
  MAX_SHOWN_MESSAGE,
  MAX_STEPS,
  taskFields,
} from "../coordinator/wire/task.ts";
import { JOB_EVENT_KINDS, SPEC_CHECK_STATUSES } from "../lib/enums.ts";
import { displayField } from "./catalogue-contract.ts";

/** Results of 1 MiB, which a node may send, can grow when their numbers are written out. */
const RESULT_BYTES = 1_536 * 1_024;

const startedAt = timestamp.nullable().openapi({ description: "When it started; null before." });
export const endedAt = timestamp.nullable().openapi({ description: "When it ended; null before." });
const metricSummary = z
  .strictObject({
    min: figure("The smallest value of a node."),
    median: figure("The median over the nodes."),
    max: figure("The largest value of a node."),
    mean: figure("The mean over the nodes."),
    total: figure("The sum over the nodes; null if a sum is meaningless.").nullable(),
  })
  .openapi("MetricSummary", { description: "A metric over all nodes." });

export const aggregateResults = z
  .strictObject({
    node_count: integer({ min: 1, max: MAX_NODES, description: "Nodes with a result." }),
    gpu_count: integer({
      min: 0,
      max: MAX_NODES * MAX_GPUS_PER_NODE,
      description: "GPUs of these nodes; null if the number of one node is not known.",
    }).nullable(),
    metrics: map(metricSummary, {
      maxProperties: 64,
      keyPattern: "^[a-z0-9_]+$",
      description: "Keyed by metric, such as `bf16_tflops`.",
    }),
  })
  .openapi("QuickMarkAggregateResults", {
    description: "QuickMark over the nodes. Figures from implausible telemetry are left out.",
  });

const shownMessage = (description: string) =>
  text({ max: MAX_SHOWN_MESSAGE, multiline: true, description }).nullable();

/** Bound of the implausible fields that are shown of a result. */
export const MAX_IMPLAUSIBLE = 64;
export const MAX_IMPLAUSIBLE_FIELD = 256;
export const MAX_IMPLAUSIBLE_REASON = 1_024;
const implausibleField = z
  .strictObject({
    field: message(MAX_IMPLAUSIBLE_FIELD, "Dotted path in `results`."),
    reason: message(
      MAX_IMPLAUSIBLE_REASON,
      "Reason why the figure is implausible, with the possible range.",
    ),
  })
  .openapi("ImplausibleField", { description: "An implausible field of a result." });

export const benchmarkResult = z
  .strictObject({
    benchmark_id: benchmarkId,
    benchmark_name: text({
      min: 1,
      max: 128,
      description: "Human-readable name of the benchmark.",
      example: "Cluster Network",
    }),
    started_at: startedAt,
    ended_at: endedAt,
    clock_skew_ms: clockSkewMs.nullable(),
    config: jsonObject({ maxBytes: CONFIG_BYTES, description: "Options; `{}` for none." }),
    results: jsonObject({
      maxBytes: RESULT_BYTES,
      description:
        "The figures, by field name; null until they are measured. Unknown fields sent by agents are stored as well, so clients should ignore names they do not know.",
    }).nullable(),
    state: jobState,
    error_message: shownMessage("Reason of the failure; null otherwise."),
    implausible: z.array(implausibleField).max(MAX_IMPLAUSIBLE).openapi({
      description:
        "Implausible fields of `results`, at most 64; they are not used anywhere. Empty if there are none.",
    }),
    display_names: map(displayField, {
      maxProperties: 64,
      keyPattern: "^[a-z0-9_]+$",
      description: "Display name and unit of each field, on request.",
    }).optional(),
  })
  .openapi("BenchmarkResult", { description: "The result of one benchmark." });

const resultMapOf = (description: string) =>
  map(benchmarkResult, {
    maxProperties: MAX_STEPS,
    keyPattern: "^[a-z0-9_]+(:[0-9]{1,2})?$",
    description: `${description} Keyed by benchmark id; \`id:2\`, \`id:3\` if a benchmark runs again with other options.`,
  });
export const resultMap = resultMapOf("Cluster benchmarks that have started.");

/** Query of the operations that answer it. */
export const resultsQuery = z.object({
  include_display_names: queryBoolean({
    default: false,
    description: "Add human-readable field names and units to each result.",
  }),
});

export const taskResultMap = resultMapOf("Results that this node has sent.");

export const specCheckStatus = z.enum(SPEC_CHECK_STATUSES).openapi("SpecCheckStatus", {
  description:
    "Result of comparing a machine with a spec. `differs`: the machine differs or falls short in a field. `unknown`: its architecture, CPUs or memory could not be read.",
});

const specCheckField = z
  .strictObject({
    field: patternText({
      pattern: /^[a-z_]+$/,
      max: 32,
      description: "Field of the spec; `effective_cores` is HostMark's, and only informative.",
      example: "memory",
    }),
    promised: orNull(
      message(64, "As text; sizes in bytes. Null for a field that is only informative."),
    ),
    found: orNull(message(64, "As text; sizes in bytes. Null if it could not be read.")),
    status: specCheckStatus,
    reason: orNull(message(512, "The reason in words; null if both are the same.")),
  })
  .openapi("SpecCheckField", { description: "Comparison of a field of a spec with the machine." });

const specCheck = z
  .strictObject({
    status: specCheckStatus,
    fields: z.array(specCheckField).max(16).openapi({ description: "The fields of the spec." }),
  })
  .openapi("SpecCheck", {
    description: "Comparison of a machine with the spec that its job expects.",
  });

export const specCheckOrNull = orNull(specCheck).openapi({
  description:
    "Comparison of the machine with the spec that the job expects; null for no spec, and without an inventory.",
});

/** Fields of a task that its owner sees. */
export const ownTaskFields = { ...taskFields, spec_check: specCheckOrNull };

export const task = z
  .strictObject({ ...ownTaskFields, benchmark_results: taskResultMap })
  .openapi("Task", { description: "One node's part of a job." });

export const jobEvent = z
  .strictObject({
    at: timestamp,
    kind: z.enum(JOB_EVENT_KINDS).openapi({ description: "Kind of the event." }),
    rank: integer({
      min: 0,
      max: MAX_NODES - 1,
      description: "Rank of the node; null for the job as a whole.",
    }).nullable(),
    message: text({
      min: 1,
      max: 2_048,
      multiline: true,
      description: "Description of the event for people.",
    }),
  })
  .openapi("JobEvent", { description: "An event in the life of a job." });

export type BenchmarkResultWire = z.infer<typeof benchmarkResult>;

export type QuickMarkSummary = z.infer<typeof aggregateResults>;
