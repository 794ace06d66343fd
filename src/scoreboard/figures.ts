/** What a node's QuickMark result says of its GPUs, and what of it can be true. Pure. */
import type { JsonObject } from "../benchmarks/benchmark.ts";
import { perWattFault, plural, powerFault } from "../benchmarks/plausibility.ts";
import { QUICK_MARK_METRICS } from "../benchmarks/quick-mark.ts";
import { RATED_METRICS, type RatedMetric } from "./metrics.ts";
import type { GpuReading, Reading } from "./verdict.ts";

/** A node's result as far as the scoreboard needs it: small, and kept for rating again. */
export interface NodeFigures {
  /** By metric; of the node as a whole. */
  aggregate: Readonly<Record<string, number>>;
  /** GPU by GPU, each measured alone; null when the agent sent no list. */
  gpus: readonly GpuReading[] | null;
}

/** Above this a figure per GPU is none, whatever its unit: a thousand times what GPUs of 2026 reach. */
const MAX_PER_GPU = 1_000_000;
const POWER = "power_consumption_watts";

/** @param results of QuickMark, normalised by its schema */
export function readFigures(results: JsonObject): NodeFigures {
  const { aggregate_results: sent, test_results: tests } = results;
  const aggregate = isObject(sent) ? sent : {};
  const figures = QUICK_MARK_METRICS.flatMap(({ name }) => {
    const figure = numberOf(aggregate[name]);
    return figure === null ? [] : [[name, figure] as const];
  });
  return {
    aggregate: Object.fromEntries(figures),
    gpus: Array.isArray(tests) ? tests.map(readGpu) : null,
  };
}

function readGpu(test: unknown): GpuReading {
  const { gpu_id: id, bf16_tflops, memory_bandwidth_gbs } = isObject(test) ? test : {};
  return {
    id: typeof id === "string" ? id : null,
    bf16_tflops: numberOf(bf16_tflops),
    memory_bandwidth_gbs: numberOf(memory_bandwidth_gbs),
  };
}

/**
 * A node's metrics per GPU, each with a value or the reason why there is none: the rated ones first, then
 * power, then figures per watt where they were sent. Without figures the step did not complete.
 */
export function readingsOf(
  figures: NodeFigures | null,
  { gpuModel, gpuCount }: { gpuModel: string | null; gpuCount: number | null },
): Reading[] {
  if (figures === null) {
    return [...RATED_METRICS, POWER].map((metric) => absent(metric, "QuickMark did not complete"));
  }
  const { aggregate } = figures;
  const gpus = countOf(figures, gpuCount);
  const faultOfNode =
    typeof gpus === "string" ? gpus : gpuModel === null ? "the agent named no GPU model" : null;
  const count = typeof gpus === "string" ? 1 : gpus;
  const rated = RATED_METRICS.map((metric): Reading => {
    if (faultOfNode !== null) return absent(metric, faultOfNode);
    return perGpu(metric, aggregate[metric], count);
  });
  const wrongPower = typeof gpus === "string" ? gpus : powerFault(aggregate, count);
  const power =
    wrongPower === null ? perGpu(POWER, aggregate[POWER], count) : absent(POWER, wrongPower);
  const perWatt = QUICK_MARK_METRICS.flatMap(({ name, isPerWatt }): Reading[] => {
    const figure = aggregate[name];
    if (!isPerWatt || figure === undefined) return [];
    const fault = wrongPower ?? perWattFault(figure);
    return [fault === null ? { metric: name, value: figure, fault } : absent(name, fault)];
  });
  return [...rated, power, ...perWatt];
}

/** The value of a rated metric; null when it has none that can be true. */
export function readingOf(readings: readonly Reading[], metric: RatedMetric): number | null {
  return readings.find((reading) => reading.metric === metric)?.value ?? null;
}

/** How many GPUs the aggregate is of, or why that cannot be said. */
function countOf({ gpus }: NodeFigures, gpuCount: number | null): number | string {
  if (gpuCount === 0) return "the machine has no GPU";
  if (gpuCount === null) {
    return gpus === null || gpus.length === 0
      ? "the agent did not say how many GPUs there are"
      : gpus.length;
  }
  if (gpus !== null && gpus.length !== gpuCount) {
    return `there are figures of ${plural(gpus.length, "GPU")}, but the machine has ${gpuCount}`;
  }
  return gpuCount;
}

function perGpu(metric: string, figure: number | undefined, gpus: number): Reading {
  if (figure === undefined) return absent(metric, "not measured");
  const value = figure / gpus;
  if (!(value > 0 && value <= MAX_PER_GPU)) return absent(metric, `${figure} cannot be true`);
  return { metric, value, fault: null };
}

function absent(metric: string, fault: string): Reading {
  return { metric, value: null, fault };
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
