/** Verdicts on made-up machines, by the shipped baselines and thresholds. */

import { normalizeModel } from "../../../src/benchmarks/models.ts";
import { figuresOf, quickMark } from "../../../src/benchmarks/quick-mark.ts";
import { SHIPPED_BASELINES } from "../../../src/benchmarks/shipped-baselines.ts";
import { readConfig } from "../../../src/lib/config.ts";
import type { PerformanceStatus } from "../../../src/lib/enums.ts";
import type { NodeVerdict } from "../../../src/lib/stored-json.ts";
import { chooseBaseline } from "../../../src/scoreboard/baselines.ts";
import type { NodeFacts } from "../../../src/scoreboard/facts.ts";
import { readingsOf } from "../../../src/scoreboard/figures.ts";
import { rateNode } from "../../../src/scoreboard/verdict.ts";

export const SETTINGS = {
  TOKEN_SECRET: "0123456789abcdefghijklmnopqrstuv",
  NODE_TIMEOUT_SECONDS: "150",
  RATE_LIMIT_SCALE: "1",
  ENVIRONMENT: "production",
};
export const { rating: THRESHOLDS } = readConfig(SETTINGS);

const NO_OTHER = { baselineOf: null, reference: null };
export const NO_OTHERS = { bf16_tflops: NO_OTHER, memory_bandwidth_gbs: NO_OTHER };

export interface Machine {
  gpu_model: string | null;
  gpu_count: number | null;
  results: object;
}

/** A node as the scoreboard meets it: its result through the schema, its model's shipped baselines. */
export function verdictOf({
  gpu_model: gpuModel,
  gpu_count: gpuCount,
  results,
}: Machine): NodeVerdict {
  const hardware = { gpuModel, gpuCount, gpuModels: null };
  const measurer = { hardware, models: new Map<string, string>() };
  const figures = figuresOf(quickMark.digest(quickMark.result.parse(results), measurer));
  const shipped = SHIPPED_BASELINES.find(
    (model) => normalizeModel(model.gpuModel) === normalizeModel(gpuModel),
  );
  const baseline = (metric: "bf16_tflops" | "memory_bandwidth_gbs") =>
    chooseBaseline({ fleets: null, shipped: shipped?.[metric] ?? null, pinned: null }, THRESHOLDS);
  const facts: NodeFacts = {
    rank: 0,
    machineUuid: "00000000-0000-4000-8000-000000000001",
    ...hardware,
    readings: readingsOf(figures, hardware, THRESHOLDS),
    figures,
    others: NO_OTHERS,
    baselines: {
      bf16_tflops: baseline("bf16_tflops"),
      memory_bandwidth_gbs: baseline("memory_bandwidth_gbs"),
    },
    previous: null,
    byModel: new Map(),
    previousCount: null,
    specCheck: null,
  };
  return rateNode(facts, THRESHOLDS);
}

export const statuses = ({
  metrics,
}: Pick<NodeVerdict, "metrics">): Record<string, PerformanceStatus> =>
  Object.fromEntries(metrics.map(({ metric, status }) => [metric, status]));
export const metricOf = ({ metrics }: Pick<NodeVerdict, "metrics">, name: string) =>
  metrics.find(({ metric }) => metric === name);

export const healthy = (gpus: number, figures: object = {}) => ({
  gpu_model: "NVIDIA A100-SXM4-80GB",
  gpu_count: gpus,
  results: {
    aggregate_results: {
      bf16_tflops: 265.2 * gpus,
      memory_bandwidth_gbs: 1_740 * gpus,
      ...figures,
    },
  },
});
