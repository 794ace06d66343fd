/**
 * The forms of JSON columns that every job has: arrays instead of objects, short codes instead of names, nothing for
 * null. A database holds millions of them, and most of their text would be names. Stored rows depend on each code and on
 * each order of fields: new fields go last, and no code is used again.
 */
import type {
  BaselineSource,
  FindingKind,
  JobEventKind,
  PerformanceStatus,
  RatedMetric,
  StepState,
} from "../lib/enums.ts";
import type {
  Drop,
  FiguresPart,
  Finding,
  FleetMedian,
  Fleets,
  GpuGroup,
  GpuReading,
  HealthWarning,
  JobEvent,
  MeasuredFigures,
  MetricSummary,
  MetricsSummary,
  MetricVerdict,
  Provenance,
  Reference,
  Step,
  StepRecord,
  StoredJobVerdict,
  StoredNodeVerdict,
  Straggler,
  Withheld,
} from "../lib/stored-json.ts";
import {
  always,
  coded,
  type Form,
  flag,
  listOf,
  listOrNothing,
  nullable,
  number,
  optional,
  record,
  text,
  unless,
} from "./forms.ts";
import { byMetric, metric } from "./metric-codes.ts";

// ── Steps ──

export const stepState = coded<StepState>({
  created: "n",
  running: "r",
  completed: "c",
  failed: "f",
  aborted: "a",
});

const stepFields = {
  state: stepState,
  startedAt: nullable(number),
  endedAt: nullable(number),
  errorMessage: nullable(text),
};

export const steps: Form<readonly Step[]> = listOf(
  record<Step>({ ...stepFields, clockSkewMs: optional(number) }),
);

const distinctFigures = record<MetricSummary>({
  min: number,
  median: number,
  max: number,
  mean: number,
  total: nullable(number),
});

/** Figures of a single node are all the same: the number itself, or in a list if it has no total. */
const summaryFigures: Form<MetricSummary> = {
  pack(figures) {
    const { min, median, max, mean, total } = figures;
    const isOne = min === median && min === max && min === mean;
    if (isOne && total === min) return min;
    return isOne && total === null ? [min] : distinctFigures.pack(figures);
  },
  unpack(packed) {
    const [min, ...rest] = [packed].flat();
    if (rest.length > 0 || typeof min !== "number") return distinctFigures.unpack(packed);
    return { min, median: min, max: min, mean: min, total: Array.isArray(packed) ? null : min };
  },
};

export const metricsSummary = record<MetricsSummary>({
  node_count: number,
  gpu_count: nullable(number),
  metrics: byMetric(summaryFigures),
});

/** A benchmark's summary: QuickMark's is the only one with figures by metric. */
const summary: Form<string> = {
  pack(json) {
    const value: object = JSON.parse(json);
    return "metrics" in value ? metricsSummary.pack(value as MetricsSummary) : value; // see above
  },
  unpack: (packed) =>
    JSON.stringify(Array.isArray(packed) ? metricsSummary.unpack(packed) : packed),
};

export const jobSteps = listOf(record<StepRecord>({ ...stepFields, summary: nullable(summary) }));
/** The path of a step's summary. */
export const summaryPath = (position: number) => `$[${position}][4]`;
/** The path of a step's state. */
export const statePath = (position: number) => `$[${position}][0]`;

// ── Events ──

interface PackedEvent extends JobEvent {
  /** 1 for the message of a node that does not begin with the node's name, which is left out of all others. */
  isWhole: number | null;
}

const eventFields = record<PackedEvent>({
  kind: coded<JobEventKind>({
    joined: "j",
    lost: "l",
    returned: "r",
    step_started: "s",
    step_ended: "e",
    settled: "d",
  }),
  at: number,
  message: text,
  rank: nullable(number),
  isWhole: nullable(number),
});

/** Times are stored as the time since the event before. */
export const events: Form<readonly JobEvent[]> = {
  pack(list) {
    let before = 0;
    return list.map((event) => {
      const at = event.at - before;
      before = event.at;
      const { rank, message } = event;
      const name = `node ${rank} `;
      if (rank === null) return eventFields.pack({ ...event, at, isWhole: null });
      return message.startsWith(name)
        ? eventFields.pack({ ...event, at, message: message.slice(name.length), isWhole: null })
        : eventFields.pack({ ...event, at, isWhole: 1 });
    });
  },
  unpack(packed) {
    let now = 0;
    return listOf(eventFields)
      .unpack(packed)
      .map(({ at, kind, rank, message, isWhole }) => {
        now += at;
        const isNamed = rank !== null && isWhole === null;
        return { at: now, kind, rank, message: isNamed ? `node ${rank} ${message}` : message };
      });
  },
};

// ── Figures ──

export const gpuGroups: Form<readonly GpuGroup[]> = listOf(
  record<GpuGroup>({ model: text, count: number }),
);

export const methods = record<NonNullable<Provenance["methods"]>>({
  bf16_tflops: text,
  memory_bandwidth_gbs: text,
});

const provenance = record<Provenance>({
  withheld: listOf(coded<Withheld>({ replayed: "r", busy: "b", partial: "p", checks: "c" })),
  methods: nullable(methods),
  unsettled: listOrNothing(metric as Form<RatedMetric>), // as `pack` made it
  health: listOrNothing(
    record<HealthWarning>({
      metric,
      message: text,
      gpu: nullable(number),
      value: nullable(number),
      expected: nullable(number),
    }),
  ),
});

export const figures = record<MeasuredFigures>({
  gpuModel: nullable(text),
  gpuCount: nullable(number),
  aggregate: byMetric(number),
  gpus: nullable(
    listOf(
      record<GpuReading>({
        bf16_tflops: nullable(number),
        memory_bandwidth_gbs: nullable(number),
        id: nullable(text),
        model: nullable(text),
      }),
    ),
  ),
  gpuModels: nullable(gpuGroups),
  provenance: nullable(provenance),
});
/** Paths in `figures`: of the hardware, and of the list of reasons to withhold them. */
export const figuresPath = {
  gpuModel: "$[0]",
  gpuCount: "$[1]",
  gpuModels: "$[4]",
  withheld: "$[5][0]",
} as const;

const fleetMedian = nullable(record<FleetMedian>({ median: number, machines: number }));
const bothFleets = record<Fleets>({ own: fleetMedian, all: fleetMedian });

export const fleets = record<Readonly<Record<RatedMetric, Fleets>>>({
  bf16_tflops: bothFleets,
  memory_bandwidth_gbs: bothFleets,
});

const ratedValues = record<FiguresPart["values"]>({
  bf16_tflops: nullable(number),
  memory_bandwidth_gbs: nullable(number),
});

export const parts: Form<readonly FiguresPart[]> = listOf(
  record<FiguresPart>({ model: text, values: ratedValues, fleets }),
);

// ── Verdicts ──

const performanceStatus = coded<PerformanceStatus>({
  underperforming: "u",
  expected: "e",
  outperforming: "o",
  unrated: "n",
});

const metricFields = record<MetricVerdict>({
  metric,
  status: performanceStatus,
  reason: nullable(text),
  value: nullable(number),
  ratio: nullable(number),
  source: nullable(
    coded<BaselineSource>({ pinned: "p", own_fleet: "o", fleet: "f", shipped: "s" }),
  ),
  sampleSize: nullable(number),
  shippedBaseline: nullable(number),
  ownFleetBaseline: nullable(number),
  fleetBaseline: nullable(number),
  baseline: nullable(number),
  gpuModel: nullable(text),
  methodClass: unless("quickmark", text),
  reference: nullable(
    record<Reference>({
      value: number,
      ratio: number,
      of: coded<Reference["of"]>({ shipped: "s", data_sheet: "d" }),
    }),
  ),
});

/** The baseline is one of its candidates, unless a person has pinned it. */
function candidateOf(verdict: MetricVerdict): number | null {
  const { source, shippedBaseline, ownFleetBaseline, fleetBaseline } = verdict;
  const candidates = {
    shipped: shippedBaseline,
    own_fleet: ownFleetBaseline,
    fleet: fleetBaseline,
  };
  return source === null || source === "pinned" ? null : candidates[source];
}

const metricVerdict: Form<MetricVerdict> = {
  pack(verdict) {
    const isCandidate = verdict.baseline === candidateOf(verdict);
    return metricFields.pack(isCandidate ? { ...verdict, baseline: null } : verdict);
  },
  unpack(packed) {
    const verdict = metricFields.unpack(packed);
    return { ...verdict, baseline: verdict.baseline ?? candidateOf(verdict) };
  },
};

const finding = record<Finding>({
  kind: coded<FindingKind>({
    health: "h",
    gpu_count: "c",
    above_data_sheet: "a",
    gpu_straggler: "g",
    node_straggler: "n",
    drop: "d",
  }),
  metric,
  rank: number,
  message: text,
  gpu: nullable(number),
  value: nullable(number),
  expected: nullable(number),
  ratio: nullable(number),
});

const findingsFields = {
  findings: listOrNothing(finding),
  moreFindings: unless(0, number),
  isReplayed: flag,
};

export const nodeVerdict = record<StoredNodeVerdict>({
  status: performanceStatus,
  metrics: listOrNothing(metricVerdict),
  stragglers: listOrNothing(
    record<Straggler>({
      gpu: number,
      metric,
      value: number,
      median: number,
      ratio: nullable(number),
      gpuId: nullable(text),
    }),
  ),
  drops: listOrNothing(
    record<Drop>({
      metric,
      value: number,
      previousValue: number,
      ratio: number,
      previousAt: nullable(number),
      gpuModel: nullable(text),
    }),
  ),
  gpuModels: nullable(gpuGroups),
  ...findingsFields,
});
/** Paths in a node's verdict. */
export const nodeVerdictPath = { findings: "$[5]", isReplayed: "$[7]" } as const;
export const findings = listOrNothing(finding);

export const jobVerdict = record<StoredJobVerdict>({
  status: performanceStatus,
  baselineVersion: number,
  ratedNodes: number,
  underperformingNodes: number,
  metrics: listOrNothing(metricVerdict),
  benchmarkId: always("quick_mark"),
  ...findingsFields,
});
