/** Shapes of JSON columns: tables store them; models, wires and reports read them. */
import type {
  BaselineSource,
  FindingKind,
  JobEventKind,
  PerformanceStatus,
  RatedMetric,
  StepState,
} from "./enums.ts";
import type { BaselineSpread, Fleets } from "./stored-fleets.ts";

/** One step of a job, as stored and as shown in `benchmark_sequence`. */
export interface SequenceStep {
  benchmark_id: string;
  config: Record<string, unknown> | null;
}

export interface Step {
  readonly state: StepState;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly errorMessage: string | null;
  /** How far the clock of these times is ahead of the server's, ms; nothing if unknown, and where they are the server's. */
  readonly clockSkewMs?: number | null;
}

/** A step of the whole job, with the benchmark's summary over the nodes (JSON); null until it is made. */
export interface StepRecord extends Omit<Step, "clockSkewMs"> {
  summary: string | null;
}

/** Figures over nodes; `total` is null for metrics whose sum has no meaning, such as a temperature. */
export interface MetricSummary {
  min: number;
  median: number;
  max: number;
  mean: number;
  total: number | null;
}

/** The summary of a benchmark with metrics, which is QuickMark. */
export interface MetricsSummary {
  node_count: number;
  /** Null if the number of one of them is not known. */
  gpu_count: number | null;
  metrics: Readonly<Record<string, MetricSummary>>;
}

export interface JobEvent {
  readonly at: number;
  readonly kind: JobEventKind;
  readonly rank: number | null;
  readonly message: string;
}

/**
 * The bodies that a task has sent, in the order in which they are stored and shown: its results by position, then
 * its inventory.
 */
export type BodySizes = readonly (readonly [position: number, bytes: number])[];

/** The position of a task's inventory among its bodies. */
export const INVENTORY = -1;

/** GPUs of one model in a node that has several. */
export interface GpuGroup {
  model: string;
  count: number;
}

/** A field of a result that cannot be true (`benchmarks/plausibility.ts`). */
export interface Implausible {
  /** Dotted path in the result. */
  field: string;
  reason: string;
}

/** The implausible fields of a task's results, by position. */
export type ImplausibleFields = readonly (readonly [
  position: number,
  field: string,
  reason: string,
])[];

/** A metric of one node, or the lowest among the nodes of a job. */
export interface MetricVerdict {
  metric: string;
  /** In a node with several models the one whose GPUs it is of, as in the job's verdict; null otherwise. */
  gpuModel: string | null;
  /** Per GPU; null where no plausible value was measured. */
  value: number | null;
  baseline: number | null;
  /** `value` ÷ `baseline` */
  ratio: number | null;
  /** Machines, or recorded runs, behind the baseline; null for a pinned one. */
  sampleSize: number | null;
  source: BaselineSource | null;
  status: PerformanceStatus;
  /** The reason for any status but `expected`, which has null. */
  reason: string | null;
  /** The candidates for the baseline: medians of the customer's machines, of all customers, and of recorded runs. */
  ownFleetBaseline: number | null;
  fleetBaseline: number | null;
  shippedBaseline: number | null;
  /** What is behind the baseline, for one of a fleet; null where it is not known. */
  spread?: BaselineSpread | null;
  /** The class of methods that the figure was made by (`benchmarks/methods.ts`). */
  methodClass: string;
  /** For a figure whose class has no baseline: one of another class, which gives no verdict. */
  reference: Reference | null;
}

/** A figure measured by another method. */
export interface Reference {
  value: number;
  ratio: number;
  of: "shipped" | "data_sheet";
}

/** The figures of one of a node's models, and what they are compared with. */
export interface FiguresPart {
  /** Normalised; empty for an unnamed model. */
  model: string;
  /** Per GPU; null without a figure, or for an implausible one. */
  values: Readonly<Record<RatedMetric, number | null>>;
  fleets: Readonly<Record<RatedMetric, Fleets>>;
}

/** A GPU that lags the others of its node. */
export interface Straggler {
  /** Its place in the node's results, from 0. */
  gpu: number;
  gpuId: string | null;
  metric: string;
  value: number;
  /** The median of the node's GPUs. */
  median: number;
  /** Null for an implausible value. */
  ratio: number | null;
}

/** A metric that has fallen since the same machine's previous completed job of the same owner; or its number of GPUs. */
export interface Drop {
  /** `gpu_count` for the number of GPUs. */
  metric: string;
  value: number;
  previousValue: number;
  ratio: number;
  /** The end of that job, ms; null for a runner's job of another owner. */
  previousAt: number | null;
  /** As in `MetricVerdict`. */
  gpuModel: string | null;
}

/** Something that a person should look at; it needs no baseline. */
export interface Finding {
  kind: FindingKind;
  metric: string;
  rank: number;
  /** Index in the node's results, from 0; null for the node as a whole. */
  gpu: number | null;
  value: number | null;
  /** What the value should at least be; for `above_data_sheet` what it can be at most. */
  expected: number | null;
  ratio: number | null;
  message: string;
}

/** The findings of a node or job, the most urgent first; bounded. */
export interface Findings {
  findings: Finding[];
  /** Findings beyond the bound. */
  moreFindings: number;
}

export interface NodeVerdict extends Findings {
  rank: number;
  machineUuid: string;
  gpuModel: string | null;
  gpuCount: number | null;
  gpuModels: readonly GpuGroup[] | null;
  status: PerformanceStatus;
  metrics: MetricVerdict[];
  stragglers: Straggler[];
  drops: Drop[];
  /** Its figures are a recording. */
  isReplayed: boolean;
}

/** The verdict in a task's row, whose own columns have the rest. */
export type StoredNodeVerdict = Omit<NodeVerdict, "rank" | "machineUuid" | "gpuModel" | "gpuCount">;

export interface JobVerdict extends Findings {
  status: PerformanceStatus;
  benchmarkId: "quick_mark";
  baselineVersion: number;
  ratedNodes: number;
  underperformingNodes: number;
  metrics: MetricVerdict[];
  nodes: NodeVerdict[];
  /** The figures of one node at least are a recording. */
  isReplayed: boolean;
}

/** The verdict in a job's row. The verdicts of its nodes are in the rows of its tasks. */
export type StoredJobVerdict = Omit<JobVerdict, "nodes">;

/** Figures of one GPU, measured alone; null where it has none. */
export interface GpuReading {
  id: string | null;
  bf16_tflops: number | null;
  memory_bandwidth_gbs: number | null;
  /** In a node with several models, if it is known. */
  model: string | null;
}

/** A reason for which figures have no verdict, and count nowhere. */
export type Withheld = "replayed" | "busy" | "partial" | "checks" | "clock";

/** A fact of a machine's health. */
export type HealthWarning = Pick<Finding, "gpu" | "metric" | "value" | "expected" | "message">;

/** How a result's figures were made, as far as verdicts need it. */
export interface Provenance {
  withheld: readonly Withheld[];
  /** Ids of the methods of rated metrics, empty for unknown ones; null for QuickMark's own. */
  methods: Readonly<Record<RatedMetric, string>> | null;
  /** Metrics whose last samples did not agree. */
  unsettled: readonly RatedMetric[];
  health: readonly HealthWarning[];
}

/** The part of a node's result that the scoreboard stores, to rate it again when baselines change. */
export interface NodeFigures {
  /** By metric, for the node as a whole. */
  aggregate: Readonly<Record<string, number>>;
  /** GPU by GPU, each measured alone; null when the agent sent no list. */
  gpus: readonly GpuReading[] | null;
  /** Null for a result that QuickMark itself has measured. */
  provenance: Provenance | null;
}

/** Figures as a task stores them. */
export interface MeasuredFigures extends NodeFigures {
  /** The hardware that measured: that of the task may have changed since. */
  gpuModel: string | null;
  gpuCount: number | null;
  gpuModels: readonly GpuGroup[] | null;
}

/** Provider, region and order of a job, folded for comparison, by the kind of their label. */
export type FoldedOrigins = Partial<Record<"p" | "r" | "o", string>>;
