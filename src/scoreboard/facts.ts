/** What a node is rated by: its figures per GPU, and what they are compared with. Pure. */
import type { Hardware } from "../benchmarks/gpus.ts";
import { plural } from "../benchmarks/plausibility.ts";
import { type BaselineSource, RATED_METRICS, type RatedMetric } from "../lib/enums.ts";
import type { BaselineSpread } from "../lib/stored-fleets.ts";
import type {
  Drop,
  Findings,
  MetricVerdict,
  NodeFigures,
  NodeVerdict,
  Provenance,
  Reference,
} from "../lib/stored-json.ts";
import type { SpecCheck } from "../lib/stored-spec-check.ts";

/** One metric of a node, per GPU: a value, or the reason for its absence. */
export type Reading = {
  metric: string;
  /** In a node with several models the one whose GPUs it is of; null otherwise. */
  gpuModel: string | null;
  /** How a rated metric was made; absent for QuickMark's own figures. */
  made?: Made;
} & (
  | {
      value: number;
      fault: null;
      /** The reason why the value has no verdict. */
      note?: string;
    }
  | { value: null; fault: string }
);

export interface Made {
  methodClass: string;
  /** Null for QuickMark's own. */
  method: string | null;
  isSettled: boolean;
  isReplayed: boolean;
}

/** The baseline of a metric of a model, and the medians it was chosen from. */
export interface Baseline {
  value: number;
  source: BaselineSource;
  sampleSize: number | null;
  ownFleet: number | null;
  fleet: number | null;
  shipped: number | null;
  /** Of the fleet that it is the median of. */
  spread?: BaselineSpread;
}

/** An earlier measurement of the same machine, per GPU. */
export interface PastReading {
  /** ms */
  at: number;
  values: Readonly<Record<RatedMetric, number | null>>;
  methods: Provenance["methods"];
}

/** What is known of a metric of a model whose class has no baseline. */
export interface OtherClass {
  /** The class that has one; null for none. */
  baselineOf: string | null;
  reference: Pick<Reference, "value" | "of"> | null;
}

/** What the figures of a model are compared with. */
export interface Comparison {
  /** Each of the class of the metric's method. */
  baselines: Readonly<Record<RatedMetric, Baseline | null>>;
  others: Readonly<Record<RatedMetric, OtherClass>>;
  previous: PastReading | null;
}

export interface NodeFacts extends Hardware, Comparison {
  rank: number;
  machineUuid: string;
  /** Rated metrics, and metrics for information. */
  readings: readonly Reading[];
  /** As the node sent them, also those that are withheld, or partial; null for none. */
  figures: NodeFigures | null;
  /** For a node with several models: the comparison of each. */
  byModel: ReadonlyMap<string, Comparison>;
  /** The GPUs that the machine showed in its last job; null for no such job. */
  previousCount: PastCount | null;
  /** The machine beside the spec of its job; null for no spec, and without an inventory. */
  specCheck: SpecCheck | null;
}

/** A machine's GPUs in an earlier job. */
export interface PastCount {
  count: number;
  /** The end of that job, ms; null for a runner's job of another owner. */
  at: number | null;
}

/** What a reading is compared with. */
export function comparisonOf(
  facts: NodeFacts,
  { gpuModel }: Pick<Reading, "gpuModel">,
): Comparison {
  return (gpuModel === null ? undefined : facts.byModel.get(gpuModel)) ?? facts;
}

export function isRated(metric: string): metric is RatedMetric {
  return RATED_METRICS.some((rated) => rated === metric);
}

/** Ratios this close are equal: 0.9 × 255.5 ÷ 255.5 is not quite 0.9. */
export const EPSILON = 1e-9;

/** Rounds for display only; decisions use the exact figures. */
export function rounded(value: number): number;
export function rounded(value: number | null): number | null;
export function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value * 1e6) / 1e6;
}

/** The drop that is no metric's. */
export const GPU_COUNT = "gpu_count";

/** Bounds of the findings that are shown; the rest is counted. */
export const MAX_NODE_FINDINGS = 64;
export const MAX_JOB_FINDINGS = 32;
/** Such as "8 GPUs before, 7 now". */
export function dropMessage({ metric, value, previousValue }: Drop): string {
  if (metric === GPU_COUNT) return `${plural(previousValue, "GPU")} before, ${value} now`;
  return `${metric} per GPU: ${short(previousValue)} before, ${short(value)} now`;
}

/** A figure within a sentence. */
export function short(value: number): number {
  return Math.round(value * 100) / 100;
}

/** All findings, those that are not shown too. */
export function countOf({ findings, moreFindings }: Findings): number {
  return findings.length + moreFindings;
}

/** A rated metric with the model that it is of, also in a node with one. */
export function withModel(
  verdict: MetricVerdict,
  { gpuModel }: Pick<NodeVerdict, "gpuModel">,
): MetricVerdict {
  return isRated(verdict.metric) ? { ...verdict, gpuModel: verdict.gpuModel ?? gpuModel } : verdict;
}

/** A node's verdict on a metric: in a node with several models that of the model with the smallest share of its baseline. */
export function lowestMetric(
  metrics: readonly MetricVerdict[],
  metric: string,
): MetricVerdict | undefined {
  const share = ({ ratio }: MetricVerdict) => ratio ?? Infinity;
  return metrics
    .filter((each) => each.metric === metric)
    .reduce<MetricVerdict | undefined>(
      (lowest, each) => (lowest !== undefined && share(lowest) <= share(each) ? lowest : each),
      undefined,
    );
}
