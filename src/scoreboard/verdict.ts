/**
 * Which machine is not what it should be, and why (design §6; docs/scoreboard.md says it in plain words).
 * Pure decisions on per-GPU figures; everything that is missing or cannot be true is `unrated`, with the
 * reason, and never divided by.
 */
import type { RatingThresholds } from "../lib/config.ts";
import { RATED_METRICS, type RatedMetric } from "./metrics.ts";

export type Status = "underperforming" | "expected" | "outperforming" | "unrated";
export type BaselineSource = "fleet" | "shipped" | "pinned";

/** A metric of one node, or of a job: there it is the lowest of its nodes. */
export interface MetricVerdict {
  metric: string;
  /** Per GPU; null where there is none, or none that can be true. */
  value: number | null;
  baseline: number | null;
  /** `value` ÷ `baseline` */
  ratio: number | null;
  /** Machines, or recorded runs, behind the baseline; null for a pinned one. */
  sampleSize: number | null;
  source: BaselineSource | null;
  status: Status;
  /** Why it is not `expected`; null when it is. */
  reason: string | null;
  /** What the baseline was chosen from: this deployment's median, and the shipped one. */
  fleetBaseline: number | null;
  shippedBaseline: number | null;
}

/** A GPU that lags the others of its node. */
export interface Straggler {
  /** Its place in the node's results, from 0. */
  gpu: number;
  gpuId: string | null;
  metric: string;
  value: number;
  /** Of the node's GPUs. */
  median: number;
  /** Null for a value that cannot be true. */
  ratio: number | null;
}

/** A metric that has fallen since the same machine's previous completed job of the same owner. */
export interface Drop {
  metric: string;
  value: number;
  previousValue: number;
  ratio: number;
  /** When that job ended, ms. */
  previousAt: number;
}

export interface NodeVerdict {
  rank: number;
  machineUuid: string;
  gpuModel: string | null;
  gpuCount: number | null;
  status: Status;
  metrics: MetricVerdict[];
  stragglers: Straggler[];
  drops: Drop[];
}

export interface JobVerdict {
  status: Status;
  benchmarkId: "quick_mark";
  baselineVersion: number;
  ratedNodes: number;
  underperformingNodes: number;
  metrics: MetricVerdict[];
  nodes: NodeVerdict[];
}

/** One metric of a node, per GPU: a value, or why there is none. */
export type Reading =
  | { metric: string; value: number; fault: null }
  | { metric: string; value: null; fault: string };

/** What one GPU measured alone; null where it did not. */
export interface GpuReading {
  id: string | null;
  bf16_tflops: number | null;
  memory_bandwidth_gbs: number | null;
}

/** What a metric of a model is compared with, and what that was chosen from. */
export interface Baseline {
  value: number;
  source: BaselineSource;
  sampleSize: number | null;
  fleet: number | null;
  shipped: number | null;
}

/** What the same machine measured before, per GPU. */
export interface PastReading {
  /** ms */
  at: number;
  values: Readonly<Record<RatedMetric, number | null>>;
}

export interface NodeFacts {
  rank: number;
  machineUuid: string;
  gpuModel: string | null;
  gpuCount: number | null;
  /** The rated metrics, and whatever else is to be shown. */
  readings: readonly Reading[];
  gpus: readonly GpuReading[];
  baselines: Readonly<Record<RatedMetric, Baseline | null>>;
  previous: PastReading | null;
}

/** How close two shares of a baseline are the same: 0.9 × 255.5 ÷ 255.5 is not quite 0.9. */
const EPSILON = 1e-9;

export function rateNode(facts: NodeFacts, thresholds: RatingThresholds): NodeVerdict {
  const { rank, machineUuid, gpuModel, gpuCount, readings, gpus, baselines, previous } = facts;
  const metrics = readings.map((reading) =>
    isRated(reading.metric)
      ? rateMetric(reading, baselines[reading.metric], thresholds)
      : shown(reading),
  );
  return {
    ...{ rank, machineUuid, gpuModel, gpuCount },
    status: statusOfNode(metrics),
    metrics,
    stragglers: findStragglers(gpus, thresholds),
    drops: previous === null ? [] : findDrops(readings, previous, thresholds),
  };
}

function isRated(metric: string): metric is RatedMetric {
  return RATED_METRICS.some((rated) => rated === metric);
}

export function rateMetric(
  reading: Reading,
  baseline: Baseline | null,
  { underperformingBelow, outperformingAbove }: RatingThresholds,
): MetricVerdict {
  if (reading.value === null)
    return { ...unrated(reading, reading.fault), ...comparedWith(baseline) };
  if (baseline === null) return unrated(reading, "there is no baseline for this GPU model yet");
  const ratio = reading.value / baseline.value;
  const { metric, value } = reading;
  const verdict = {
    metric,
    value: rounded(value),
    ratio: rounded(ratio),
    ...comparedWith(baseline),
  };
  const share = `${percent(ratio)} of the ${baseline.source} baseline`;
  if (ratio < underperformingBelow - EPSILON) {
    const reason = `${share}: below ${percent(underperformingBelow)}`;
    return { ...verdict, status: "underperforming", reason };
  }
  if (ratio > outperformingAbove + EPSILON) {
    const reason = `${share}: above ${percent(outperformingAbove)}`;
    return { ...verdict, status: "outperforming", reason };
  }
  return { ...verdict, status: "expected", reason: null };
}

/** What says something, and rates nothing. */
function shown(reading: Reading): MetricVerdict {
  return unrated(reading, reading.fault ?? "for information: this metric is not rated");
}

function unrated({ metric, value }: Reading, reason: string): MetricVerdict {
  const none = { ratio: null, ...comparedWith(null) };
  return { metric, value: rounded(value), ...none, status: "unrated", reason };
}

function comparedWith(baseline: Baseline | null) {
  return {
    baseline: baseline?.value ?? null,
    sampleSize: baseline?.sampleSize ?? null,
    source: baseline?.source ?? null,
    fleetBaseline: baseline?.fleet ?? null,
    shippedBaseline: baseline?.shipped ?? null,
  };
}

/**
 * `underperforming` when one rated metric is; `outperforming` when all are, which a metric without a
 * verdict is not; `unrated` when none has a verdict.
 */
function statusOfNode(metrics: readonly MetricVerdict[]): Status {
  const statuses = metrics.filter(({ metric }) => isRated(metric)).map(({ status }) => status);
  if (statuses.includes("underperforming")) return "underperforming";
  if (statuses.every((status) => status === "unrated")) return "unrated";
  return statuses.every((status) => status === "outperforming") ? "outperforming" : "expected";
}

/** The job as a whole, from its nodes in whatever order. */
export function rateJob(verdicts: readonly NodeVerdict[], baselineVersion: number): JobVerdict {
  const nodes = [...verdicts].sort((a, b) => a.rank - b.rank);
  const rated = nodes.filter(({ status }) => status !== "unrated");
  const names = new Set(nodes.flatMap(({ metrics }) => metrics.map(({ metric }) => metric)));
  return {
    status: worstOf(nodes.map(({ status }) => status)),
    benchmarkId: "quick_mark",
    baselineVersion,
    ratedNodes: rated.length,
    underperformingNodes: rated.filter(({ status }) => status === "underperforming").length,
    metrics: [...names].map((metric) => lowestOf(metric, nodes)),
    nodes,
  };
}

function worstOf(statuses: readonly Status[]): Status {
  const order: readonly Status[] = ["underperforming", "expected", "outperforming"];
  return order.find((status) => statuses.includes(status)) ?? "unrated";
}

/** A metric of a job is that of the node that reaches the smallest share of its own baseline. */
function lowestOf(metric: string, nodes: readonly NodeVerdict[]): MetricVerdict {
  const found = nodes.flatMap(({ rank, metrics }) =>
    metrics.filter((verdict) => verdict.metric === metric).map((verdict) => ({ rank, verdict })),
  );
  const rated = found.filter(({ verdict }) => verdict.ratio !== null);
  const [lowest = found[0]] = rated.sort(
    (a, b) => (a.verdict.ratio ?? 0) - (b.verdict.ratio ?? 0) || a.rank - b.rank,
  );
  if (lowest === undefined) return unrated({ metric, value: null, fault: "" }, "not measured");
  const { rank, verdict } = lowest;
  if (nodes.length === 1) return verdict;
  // Of several nodes none stands for the others.
  if (!isRated(metric)) {
    return unrated({ metric, value: null, fault: "" }, "for information: each node has its own");
  }
  if (rated.length === 0) {
    const reason = `no node is rated; node ${rank}: ${verdict.reason}`;
    return { ...unrated({ metric, value: null, fault: reason }, reason) };
  }
  const which = `node ${rank} is the lowest of ${rated.length} rated`;
  const reason = verdict.reason === null ? which : `${which}: ${verdict.reason}`;
  return { ...verdict, reason };
}

/** GPUs below a share of the median of their node's GPUs, by metric and place. */
export function findStragglers(
  gpus: readonly GpuReading[],
  { stragglerBelow }: Pick<RatingThresholds, "stragglerBelow">,
): Straggler[] {
  return RATED_METRICS.flatMap((metric) => {
    const readings = gpus.flatMap(({ id, [metric]: value }, gpu) =>
      value === null ? [] : [{ gpu, gpuId: id, value }],
    );
    const median = medianOf(readings.map(({ value }) => value).filter((value) => value > 0));
    // Alone, a GPU has no siblings to lag.
    if (median === null || readings.length < 2) return [];
    return readings.flatMap(({ gpu, gpuId, value }) => {
      const ratio = value > 0 ? value / median : null;
      const lags = ratio === null || ratio < stragglerBelow - EPSILON;
      return lags ? [{ gpu, gpuId, metric, value, median, ratio: rounded(ratio) }] : [];
    });
  });
}

function findDrops(
  readings: readonly Reading[],
  { at, values }: PastReading,
  { dropBelow }: RatingThresholds,
): Drop[] {
  return readings.flatMap(({ metric, value }) => {
    if (value === null || !isRated(metric)) return [];
    const previousValue = values[metric];
    if (previousValue === null) return [];
    const ratio = value / previousValue;
    if (ratio >= dropBelow - EPSILON) return [];
    return [{ metric, value, previousValue, ratio: rounded(ratio), previousAt: at }];
  });
}

export function medianOf(values: readonly number[]): number | null {
  return quantileOf(
    [...values].sort((a, b) => a - b),
    0.5,
  );
}

/** Linear between the two nearest of the sorted values (type 7, as R and NumPy do); null for none. */
export function quantileOf(sorted: readonly number[], share: number): number | null {
  const place = (sorted.length - 1) * share;
  const lower = sorted[Math.floor(place)];
  const upper = sorted[Math.ceil(place)];
  if (lower === undefined || upper === undefined) return null;
  return lower + (upper - lower) * (place - Math.floor(place));
}

/** As it is shown; what is decided is decided before. */
function rounded(value: number): number;
function rounded(value: number | null): number | null;
function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value * 1e6) / 1e6;
}

function percent(ratio: number): string {
  return `${Math.round(ratio * 1_000) / 10} %`;
}
