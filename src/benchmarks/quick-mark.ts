import { z } from "@hono/zod-openapi";
import type { Benchmark, JsonObject, NodeDigest, ResultField } from "./benchmark.ts";
import { perWattFault, powerFault } from "./plausibility.ts";
import { summarizeValues } from "./statistics.ts";

interface Metric extends ResultField {
  /** Sums over nodes mean something. */
  additive: boolean;
  /** Computed from the power reading: as good as that reading. */
  fromPower?: true;
  perWatt?: true;
}

/** Everything QuickMark measures, per GPU and per node. Units as the page and real agents use them. */
const METRICS: Readonly<Record<string, Metric>> = {
  bf16_tflops: { display_name: "BF16", unit: "TFLOPS", additive: true },
  fp16_tflops: { display_name: "FP16", unit: "TFLOPS", additive: true },
  fp32_tflops: { display_name: "FP32 (TF32 tensor cores)", unit: "TFLOPS", additive: true },
  fp32_cuda_core_tflops: { display_name: "FP32 (CUDA cores)", unit: "TFLOPS", additive: true },
  mixed_precision_tflops: { display_name: "Mixed precision", unit: "TFLOPS", additive: true },
  memory_bandwidth_gbs: { display_name: "Memory bandwidth", unit: "GB/s", additive: true },
  l2_bandwidth_gbs: { display_name: "L2 bandwidth", unit: "GB/s", additive: false },
  kernel_launch_overhead_us: {
    display_name: "Kernel launch overhead",
    unit: "µs",
    additive: false,
  },
  host_to_device_bandwidth_gbs: { display_name: "Host to device", unit: "GB/s", additive: true },
  device_to_host_bandwidth_gbs: { display_name: "Device to host", unit: "GB/s", additive: true },
  allreduce_bandwidth_gbs: { display_name: "All-reduce", unit: "GB/s", additive: false },
  broadcast_bandwidth_gbs: { display_name: "Broadcast", unit: "GB/s", additive: false },
  bf16_tflops_per_peak_watt: perWatt("BF16"),
  fp16_tflops_per_peak_watt: perWatt("FP16"),
  fp32_tflops_per_peak_watt: perWatt("FP32"),
  mixed_precision_tflops_per_peak_watt: perWatt("Mixed precision"),
  power_consumption_watts: {
    display_name: "Power",
    unit: "W",
    additive: true,
    fromPower: true,
  },
  temperature_centigrade: { display_name: "Temperature", unit: "°C", additive: false },
};

function perWatt(name: string): Metric {
  const display_name = `${name} per watt`;
  return { display_name, unit: "TFLOPS/W", additive: false, fromPower: true, perWatt: true };
}

/** Names that older agents send in the aggregate → the names used here. */
const OLDER_NAMES = new Map([
  ["total_bf16_tflops", "bf16_tflops"],
  ["total_fp16_tflops", "fp16_tflops"],
  ["total_fp32_tflops", "fp32_tflops"],
  ["avg_temperature", "temperature_centigrade"],
]);

const gpuPair = z.looseObject({
  connection_type: z.string().max(64).nullish(),
  duplex_gbs: z.number().nullish(),
  simplex_gbs: z.number().nullish(),
});
const gpuName = z.union([z.int().min(0).max(1023), z.string().min(1).max(64)]);

/** Both forms in use: a map by `gpu0_to_gpu1`, and the older array of pairs, which is read as the map. */
const gpuBandwidthMatrix = z.union(
  [
    z.record(z.string().max(160), gpuPair),
    z
      .array(gpuPair.extend({ source_gpu: gpuName, target_gpu: gpuName }))
      .max(65_536)
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

const optionalMetrics = Object.fromEntries(
  Object.keys(METRICS).map((metric) => [metric, z.number().nullish()]),
);

const gpuResult = z.looseObject({ gpu_id: z.string().max(128).nullish(), ...optionalMetrics });
const aggregateResult = gpuResult.extend({
  bf16_tflops: z.number(),
  memory_bandwidth_gbs: z.number(),
  gpu_bandwidth_matrix: gpuBandwidthMatrix.nullish(),
});

const result = z.preprocess(
  readOlderForms,
  z.looseObject({
    aggregate_results: aggregateResult,
    test_results: z.array(gpuResult).max(64).nullish(),
    timestamp: z.string().max(64).nullish(),
  }),
);

/** Brings what older and single-GPU agents send into today's form; says nothing about its validity. */
function readOlderForms(value: unknown): unknown {
  if (!isObject(value)) return value;
  const { aggregate_results: aggregate, test_results: tests } = value;
  // One GPU alone: its own figures are the node's.
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

/** Compute and memory figures of one machine's GPUs. Part of every job. */
export const quickMark: Benchmark = {
  id: "quick_mark",
  name: "QuickMark",
  description:
    "Matrix throughput in several precisions, memory, host and inter-GPU bandwidth, power and temperature of each node's GPUs. Always included, always first.",
  kind: "node",
  minNodes: 1,
  config: z.strictObject({}),
  result,
  checkResult: () => null,
  digest(value) {
    const { aggregate_results: aggregate, test_results: tests } = value;
    if (!isObject(aggregate)) return {};
    const gpus = Array.isArray(tests) ? tests.length : 0;
    const figures = Object.keys(METRICS).flatMap((metric) => {
      const figure = aggregate[metric];
      return typeof figure === "number" ? [[metric, figure] as const] : [];
    });
    return { gpus, figures: Object.fromEntries(figures) };
  },
  summarize(nodes) {
    if (nodes.length === 0) return null;
    const samples = nodes.map((node) => ({ gpus: gpuCountOf(node), figures: figuresOf(node) }));
    const metrics = Object.entries(METRICS).flatMap(([name, metric]) => {
      const values = samples.flatMap(({ gpus, figures }) => {
        const figure = figures[name];
        if (figure === undefined) return [];
        const fault =
          metric.fromPower === true
            ? (powerFault(figures, gpus) ?? (metric.perWatt ? perWattFault(figure) : null))
            : null;
        return fault === null ? [figure] : [];
      });
      const summary = summarizeValues(values, metric.additive);
      return summary === null ? [] : [[name, summary] as const];
    });
    return {
      node_count: nodes.length,
      gpu_count: samples.reduce((sum, { gpus }) => sum + gpus, 0),
      metrics: Object.fromEntries(metrics),
    };
  },
  detailFields: [],
  withDetails: (summary) => summary,
  fields: {
    ...Object.fromEntries(
      Object.entries(METRICS).map(([name, { display_name, unit }]) => [
        name,
        { display_name, unit },
      ]),
    ),
    gpu_bandwidth_matrix: { display_name: "GPU-to-GPU bandwidth", unit: "GB/s" },
  },
};

/** What the node said on joining, else the GPUs it has results for, else one: it measured something. */
function gpuCountOf(node: NodeDigest): number {
  const measured = typeof node.digest.gpus === "number" ? node.digest.gpus : 0;
  return node.gpuCount ?? Math.max(measured, 1);
}

function figuresOf(node: NodeDigest): Record<string, number> {
  // `digest` above wrote it: numbers only.
  return isObject(node.digest.figures) ? (node.digest.figures as Record<string, number>) : {};
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What QuickMark measures, by name; those of `perWatt` follow from the power reading. */
export const QUICK_MARK_METRICS: readonly { name: string; isPerWatt: boolean }[] = Object.entries(
  METRICS,
).map(([name, { perWatt: isPerWatt = false }]) => ({ name, isPerWatt }));
