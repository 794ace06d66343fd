import { z } from "@hono/zod-openapi";
import { isObject, utf8Length } from "../lib/json.ts";
import type { GpuReading, NodeFigures, Withheld } from "../lib/stored-json.ts";
import type { Benchmark, JsonObject } from "./benchmark.ts";
import { MAX_GPUS_PER_NODE, modelOfTest } from "./gpus.ts";
import { isPartial, measurement, provenanceOf } from "./measurement.ts";
import { findImplausible, gpusBehind, implausibleFields, limitsOfNode } from "./plausibility.ts";
import { QUICK_MARK_METRICS, readMetrics } from "./quick-mark-metrics.ts";
import { summarizeValues } from "./statistics.ts";

/** Current names of metrics by the names that older agents send in the aggregate. */
const OLDER_NAMES = new Map([
  ["total_bf16_tflops", "bf16_tflops"],
  ["total_fp16_tflops", "fp16_tflops"],
  ["total_fp32_tflops", "fp32_tflops"],
  ["avg_temperature", "temperature_centigrade"],
]);

/** Some sensors have words for no value, such as `NaN`: such a figure is implausible, and costs nobody the others. */
const sent = z.union([z.number(), z.string().max(64)], "must be a number").nullish();
const gpuPair = z.looseObject({
  connection_type: z.string().max(64).nullish(),
  duplex_gbs: sent,
  simplex_gbs: sent,
});
const gpuName = z.union([z.int().min(0).max(1023), z.string().min(1).max(64)]);

/** Each GPU of a node with each. */
const MAX_PAIRS = MAX_GPUS_PER_NODE ** 2;

/** A map by `gpu0_to_gpu1`; the older form, an array of pairs, is turned into the map. */
const gpuBandwidthMatrix = z.union(
  [
    z.record(z.string().max(160), gpuPair),
    z
      .array(gpuPair.extend({ source_gpu: gpuName, target_gpu: gpuName }))
      .max(MAX_PAIRS)
      .transform((pairs) =>
        Object.fromEntries(
          pairs.map(({ source_gpu, target_gpu, ...pair }) => [
            `${gpuLabel(source_gpu)}_to_${gpuLabel(target_gpu)}`,
            pair,
          ]),
        ),
      ),
  ],
  "must be a map such as gpu0_to_gpu1, or a list of GPU pairs",
);

function gpuLabel(gpu: number | string): string {
  return typeof gpu === "number" || /^[0-9]+$/.test(gpu) ? `gpu${gpu}` : gpu;
}

const optionalMetrics = Object.fromEntries(QUICK_MARK_METRICS.map(({ name }) => [name, sent]));

const gpuResult = z.looseObject({
  gpu_id: z.string().max(128).nullish(),
  gpu_model: z.string().max(128).nullish(),
  ...optionalMetrics,
});
const aggregateResult = gpuResult.extend({
  bf16_tflops: z.number(),
  memory_bandwidth_gbs: z.number(),
  gpu_bandwidth_matrix: gpuBandwidthMatrix.nullish(),
});

const whole = z.looseObject({
  aggregate_results: aggregateResult,
  test_results: z.array(gpuResult).max(64).nullish(),
  timestamp: z.string().max(64).nullish(),
  measurement: measurement.nullish(),
});
/** What was measured before the run broke off: any of the figures. */
const part = whole.extend({
  aggregate_results: aggregateResult.extend(optionalMetrics).nullish(),
});

const result = z.preprocess(
  readOlderForms,
  z.looseObject({}).transform((value, context): JsonObject => {
    const parsed = (isPartial(value) ? part : whole).safeParse(value);
    if (parsed.success) return parsed.data;
    // The same issues, of the value itself.
    const issues = parsed.error.issues.map(
      (issue) => ({ ...issue, input: value }) as z.core.$ZodRawIssue,
    );
    context.issues.push(...issues);
    return z.NEVER;
  }),
);

/** Known fields without a form of their own. */
export const FREE_FIELDS = ["measurement", "replayed", "partial"] as const;

const known = z.object({
  aggregate_results: z
    .object({
      ...gpuResult.shape,
      gpu_bandwidth_matrix: z.record(z.string(), z.object(gpuPair.shape)).nullish(),
    })
    .nullish(),
  test_results: z.array(z.object(gpuResult.shape)).nullish(),
  ...Object.fromEntries(
    ["timestamp", ...FREE_FIELDS].map((name) => [name, z.unknown().optional()]),
  ),
});

/** The known fields of a valid result. */
export function knownFields(result: JsonObject): JsonObject {
  return known.parse(result);
}

/** Brings results of older and single-GPU agents into the current form, without validating them. */
function readOlderForms(value: unknown): unknown {
  if (!isObject(value)) return value;
  const { aggregate_results: aggregate, test_results: tests } = value;
  // The figures of a single GPU are the node's.
  const figures = aggregate ?? (Array.isArray(tests) && tests.length === 1 ? tests[0] : undefined);
  if (!isObject(figures)) return value;
  const renamed = Object.fromEntries(
    Object.entries(figures).map(([name, figure]) => {
      const current = OLDER_NAMES.get(name);
      return current === undefined || Object.hasOwn(figures, current)
        ? [name, figure]
        : [current, figure];
    }),
  );
  return { ...value, aggregate_results: renamed };
}

const PARTIAL_RULE = "partial results need state failed: a completed step has all figures";

/** Compute and memory figures of one machine's GPUs; part of every job. */
export const quickMark: Benchmark = {
  id: "quick_mark",
  name: "QuickMark",
  description:
    "Matrix throughput in several precisions, memory, host and inter-GPU bandwidth, power and temperature of each node's GPUs. Always included, always first.",
  kind: "node",
  minNodes: 1,
  measuresNode: true,
  config: z.strictObject({}),
  result,
  checkResult: (value, { state }) =>
    state === "completed" && isPartial(value)
      ? { field: "measurement.partial", message: PARTIAL_RULE }
      : null,
  digest(value, { hardware, models }) {
    const { aggregate_results: aggregate, test_results: tests } = value;
    const modelOf = (test: JsonObject) =>
      hardware.gpuModels === null ? null : modelOfTest(test, models);
    const figures: NodeFigures = {
      aggregate: readMetrics(isObject(aggregate) ? aggregate : {}),
      gpus: Array.isArray(tests) ? tests.map((test) => readGpu(test, modelOf)) : null,
      provenance: provenanceOf(value),
    };
    return { ...figures };
  },
  implausible: (value, { hardware, models }) => implausibleFields(value, hardware, models),
  summarize(nodes) {
    const whole = nodes.filter(({ digest }) => !isWithheld(figuresOf(digest), "partial"));
    if (whole.length === 0) return null;
    const samples = whole.map((node) => {
      const { aggregate: figures, gpus: readings } = figuresOf(node.digest);
      const gpus = gpusBehind(node.gpuCount, readings?.length ?? 0);
      return { gpus, figures, implausible: findImplausible(figures, gpus, limitsOfNode(node)) };
    });
    const metrics = QUICK_MARK_METRICS.flatMap(({ name, isAdditive }) => {
      const values = samples.flatMap(({ figures, implausible }) =>
        implausible.has(name) ? [] : (figures[name] ?? []),
      );
      const summary = summarizeValues(values, isAdditive);
      return summary === null ? [] : [[name, summary] as const];
    });
    return {
      node_count: whole.length,
      gpu_count: samples.reduce<number | null>(
        (sum, { gpus }) => (sum === null || gpus === null ? null : sum + gpus),
        0,
      ),
      metrics: Object.fromEntries(metrics),
    };
  },
  detailFields: [],
  details: null,
  fields: {
    ...Object.fromEntries(
      QUICK_MARK_METRICS.map(({ name, display_name, unit }) => [name, { display_name, unit }]),
    ),
    gpu_bandwidth_matrix: { display_name: "GPU-to-GPU bandwidth", unit: "GB/s" },
  },
};

/** The digest of a QuickMark result. */
export function figuresOf(digest: JsonObject): NodeFigures {
  return digest as unknown as NodeFigures; // written by `digest` above
}

function isWithheld({ provenance }: NodeFigures, reason: Withheld): boolean {
  return provenance?.withheld.includes(reason) ?? false;
}

/** Bound of an identifier in rows of D1, bytes of JSON; a GPU's UUID has 42. It is left out of them if it is longer. */
const MAX_ID_BYTES = 130;
const isShort = (id: string) => utf8Length(JSON.stringify(id)) <= MAX_ID_BYTES;

function readGpu(test: unknown, modelOf: (test: JsonObject) => string | null): GpuReading {
  const sent = isObject(test) ? test : {};
  const { bf16_tflops = null, memory_bandwidth_gbs = null } = readMetrics(sent);
  const id =
    typeof sent.gpu_id === "string" && isShort(sent.gpu_id) ? sent.gpu_id.toWellFormed() : null;
  return { id, bf16_tflops, memory_bandwidth_gbs, model: modelOf(sent) };
}
