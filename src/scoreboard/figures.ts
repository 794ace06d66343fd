/** Turns a node's QuickMark figures into readings per GPU: values, or reasons for their absence. Pure. */
import { type Hardware, isSameModel, isSlice } from "../benchmarks/gpus.ts";
import { classOf, methodOf } from "../benchmarks/methods.ts";
import { findImplausible, limitsOf, limitsOfNode, plural } from "../benchmarks/plausibility.ts";
import { type Figures, QUICK_MARK_METRICS } from "../benchmarks/quick-mark-metrics.ts";
import type { RatingRules } from "../lib/config.ts";
import { RATED_METRICS, type RatedMetric } from "../lib/enums.ts";
import type { GpuGroup, NodeFigures, Provenance, Withheld } from "../lib/stored-json.ts";
import type { Made, Reading } from "./facts.ts";

const POWER = "power_consumption_watts";

/** Method and class of stored recordings, which are compared with each other, and count in no fleet. */
export const REPLAY = "replayed";

/** Why figures have no verdict. */
const WITHHELD: Readonly<Record<Withheld, string>> = {
  replayed: "REPLAYED: a recording, not measured in this job",
  busy: "measured while the GPUs were busy with other work",
  partial: "the measurement ended early",
  checks: "the GPUs computed wrongly: their matrix products failed a check",
  clock: "the clocks of the GPUs and of the host disagreed",
};

/** The reason for which all figures of a result have no verdict and count nowhere; null for none. */
export function withheldReason(
  provenance: Provenance | null,
  { rateReplays }: Pick<RatingRules, "rateReplays">,
): string | null {
  const reason = provenance?.withheld.find((each) => each !== "replayed" || !rateReplays);
  return reason === undefined ? null : WITHHELD[reason];
}

export function isReplayed(provenance: Provenance | null): boolean {
  return provenance?.withheld.includes("replayed") ?? false;
}

function madeOf(metric: RatedMetric, provenance: Provenance): Made {
  return {
    methodClass: classOf(metric, provenance),
    method: methodOf(metric, provenance),
    isSettled: !provenance.unsettled.includes(metric),
    isReplayed: isReplayed(provenance),
  };
}

/**
 * A node's metrics per GPU: the rated metrics first, then power, then the figures per watt that were sent. A node with
 * GPUs of several models has the rated metrics of each, from each GPU measured alone.
 *
 * @param figures null when the QuickMark step did not complete
 */
export function readingsOf(
  figures: NodeFigures | null,
  hardware: Hardware,
  rules: Pick<RatingRules, "rateReplays">,
): Reading[] {
  const readings = plainReadings(figures, hardware);
  const provenance = figures?.provenance ?? null;
  if (provenance === null) return readings;
  const note = withheldReason(provenance, rules);
  return readings.map((reading): Reading => {
    const metric = RATED_METRICS.find((name) => name === reading.metric);
    if (metric === undefined) return reading;
    const made = madeOf(metric, provenance);
    return reading.value === null || note === null
      ? { ...reading, made }
      : { ...reading, made, note };
  });
}

function plainReadings(figures: NodeFigures | null, hardware: Hardware): Reading[] {
  const { gpuModel, gpuCount, gpuModels } = hardware;
  const models = gpuModels?.map(({ model }) => model) ?? [null];
  const rated = models.flatMap((of) => RATED_METRICS.map((metric) => [metric, of] as const));
  const absentRated = (fault: string) => rated.map(([metric, of]) => absent(metric, fault, of));
  if (figures === null) {
    const fault = "QuickMark did not complete";
    return [...absentRated(fault), absent(POWER, fault)];
  }
  const { aggregate } = figures;
  const count = countGpus(figures, gpuCount);
  if ("fault" in count) {
    const others = [POWER, ...perWattMetrics(aggregate)];
    return [...absentRated(count.fault), ...others.map((metric) => absent(metric, count.fault))];
  }
  const { gpus } = count;
  const implausible = findImplausible(aggregate, gpus, limitsOfNode(hardware));
  const read = (metric: string, divisor: number): Reading => {
    const figure = aggregate[metric];
    if (figure === undefined) return absent(metric, "not measured");
    const fault = implausible.get(metric);
    return fault === undefined ? found(metric, figure / divisor) : absent(metric, fault);
  };
  const readRated = (metric: RatedMetric): Reading => {
    if (gpuModel === null) return absent(metric, "the agent named no GPU model");
    return withoutVerdict(read(metric, gpus), gpuModel);
  };
  return [
    ...(gpuModels === null
      ? RATED_METRICS.map(readRated)
      : gpuModels.flatMap((group) =>
          RATED_METRICS.map((metric) => readGroup(metric, group, figures)),
        )),
    read(POWER, gpus),
    ...perWattMetrics(aggregate).map((metric) => read(metric, 1)),
  ];
}

/** A metric of one of several models in a node: the mean over its GPUs. */
function readGroup(metric: RatedMetric, { model, count }: GpuGroup, figures: NodeFigures): Reading {
  const no = (fault: string) => absent(metric, fault, model);
  if (figures.gpus === null) {
    return no("the node has GPUs of several models, and no figures of each GPU");
  }
  const gpus = figures.gpus.filter((gpu) => isSameModel(gpu.model, model));
  if (gpus.length !== count) {
    const stated = `the machine has ${count} of this model`;
    return no(`there are figures for ${plural(gpus.length, "such GPU")}, but ${stated}`);
  }
  const limits = limitsOf(model);
  let sum = 0;
  for (const { [metric]: value } of gpus) {
    if (value === null) return no("not measured on each GPU");
    const fault = findImplausible({ [metric]: value }, 1, limits).get(metric);
    if (fault !== undefined) return no(fault);
    sum += value;
  }
  return withoutVerdict(found(metric, sum / count, model), model);
}

/** Slices of GPUs have no baseline: what one reaches depends on its neighbours. */
function withoutVerdict(reading: Reading, model: string): Reading {
  if (reading.value === null || !isSlice(model)) return reading;
  return { ...reading, note: "MIG slices are not rated" };
}

function perWattMetrics(aggregate: Figures): string[] {
  return QUICK_MARK_METRICS.flatMap(({ name, isPerWatt }) =>
    isPerWatt && aggregate[name] !== undefined ? [name] : [],
  );
}

/** The value of a rated metric, of one of several models if one is named; null for a metric without a value. */
export function readingOf(
  readings: readonly Reading[],
  metric: RatedMetric,
  gpuModel: string | null = null,
): number | null {
  return (
    readings.find((reading) => reading.metric === metric && reading.gpuModel === gpuModel)?.value ??
    null
  );
}

/** The number of GPUs behind the aggregate, or the reason why it cannot be divided by GPU. */
function countGpus(
  { gpus }: NodeFigures,
  gpuCount: number | null,
): { gpus: number } | { fault: string } {
  if (gpuCount === 0) return { fault: "the machine has no GPU" };
  if (gpuCount === null) {
    return gpus === null || gpus.length === 0
      ? { fault: "the agent did not say how many GPUs there are" }
      : { gpus: gpus.length };
  }
  if (gpus !== null && gpus.length !== gpuCount) {
    const figures = plural(gpus.length, "GPU");
    return { fault: `there are figures of ${figures}, but the machine has ${gpuCount}` };
  }
  return { gpus: gpuCount };
}

function found(metric: string, value: number, gpuModel: string | null = null): Reading {
  return { metric, gpuModel, value, fault: null };
}

function absent(metric: string, fault: string, gpuModel: string | null = null): Reading {
  return { metric, gpuModel, value: null, fault };
}
