/** What is shown beside a verdict: GPUs that lag, and what has fallen since the machine's last job. Pure. */
import { isSameModel } from "../benchmarks/gpus.ts";
import { findImplausible, type Limits, limitsOf } from "../benchmarks/plausibility.ts";
import { medianOf } from "../benchmarks/statistics.ts";
import type { RatingRules, RatingThresholds } from "../lib/config.ts";
import { RATED_METRICS, type RatedMetric } from "../lib/enums.ts";
import type { Drop, GpuReading, Straggler } from "../lib/stored-json.ts";
import {
  comparisonOf,
  EPSILON,
  GPU_COUNT,
  isRated,
  type Made,
  type NodeFacts,
  rounded,
} from "./facts.ts";
import { isReplayed, REPLAY } from "./figures.ts";

/** GPUs that lag behind those of the same model in their node. Where others use them too, that says nothing. */
export function stragglersOf(facts: NodeFacts, thresholds: RatingRules): Straggler[] {
  const { figures, gpuModel, gpuModels } = facts;
  const gpus = figures?.gpus ?? [];
  if (isForeign(facts, thresholds) || figures?.provenance?.withheld.includes("busy")) return [];
  if (gpuModels === null) return findStragglers(gpus, thresholds, limitsOf(gpuModel));
  return gpuModels.flatMap(({ model }) => {
    const places = gpus.flatMap((gpu, at) => (isSameModel(gpu.model, model) ? [at] : []));
    const own = places.flatMap((at) => gpus[at] ?? []);
    return findStragglers(own, thresholds, limitsOf(model)).map((straggler) => ({
      ...straggler,
      gpu: places[straggler.gpu] ?? straggler.gpu,
    }));
  });
}

/** GPUs below a share of the median of their node's GPUs, by metric and index. */
export function findStragglers(
  gpus: readonly GpuReading[],
  { stragglerBelow }: Pick<RatingThresholds, "stragglerBelow">,
  limits: Limits,
): Straggler[] {
  const isPlausible = (metric: RatedMetric, value: number) =>
    !findImplausible({ [metric]: value }, 1, limits).has(metric);

  return RATED_METRICS.flatMap((metric) => {
    const readings = gpus.flatMap(({ id, [metric]: value }, gpu) =>
      value === null ? [] : [{ gpu, gpuId: id, value, isPlausible: isPlausible(metric, value) }],
    );
    const plausible = readings.filter((reading) => reading.isPlausible);
    const median = medianOf(plausible.map(({ value }) => value));
    // A single GPU has no others to lag behind.
    if (median === null || readings.length < 2) return [];
    return readings.flatMap(({ gpu, gpuId, value, ...reading }) => {
      const ratio = reading.isPlausible ? value / median : null;
      const lags = ratio === null || ratio < stragglerBelow - EPSILON;
      return lags ? [{ gpu, gpuId, metric, value, median, ratio: rounded(ratio) }] : [];
    });
  });
}

/** The figures say nothing of this machine: they are a recording. */
export function isForeign(
  { figures }: Pick<NodeFacts, "figures">,
  { rateReplays }: Pick<RatingRules, "rateReplays">,
): boolean {
  return !rateReplays && isReplayed(figures?.provenance ?? null);
}

/** Figures of one method alone are compared with earlier ones. */
export function findDrops(facts: NodeFacts, { dropBelow }: RatingThresholds): Drop[] {
  return facts.readings.flatMap((reading) => {
    const { metric, gpuModel, value, made } = reading;
    const { previous } = comparisonOf(facts, reading);
    if (value === null || reading.note !== undefined || previous === null || !isRated(metric)) {
      return [];
    }
    if ((previous.methods?.[metric] ?? null) !== pastMethod(made)) return [];
    const previousValue = previous.values[metric];
    if (previousValue === null) return [];
    const ratio = value / previousValue;
    if (ratio >= dropBelow - EPSILON) return [];
    const previousAt = previous.at;
    return [{ metric, gpuModel, value, previousValue, ratio: rounded(ratio), previousAt }];
  });
}

/** A recording is compared with recordings alone. */
function pastMethod(made: Made | undefined): string | null {
  return made?.isReplayed ? REPLAY : (made?.method ?? null);
}

/** A lost GPU is missing in a sum, but not in a figure per GPU: the number itself is compared. */
export function findFewerGpus(facts: NodeFacts, rules: RatingRules): Drop[] {
  const { gpuCount, previousCount } = facts;
  if (isForeign(facts, rules)) return [];
  if (gpuCount === null || previousCount === null || gpuCount >= previousCount.count) return [];
  const { count: previousValue, at: previousAt } = previousCount;
  const ratio = rounded(gpuCount / previousValue);
  return [{ metric: GPU_COUNT, gpuModel: null, value: gpuCount, previousValue, ratio, previousAt }];
}
