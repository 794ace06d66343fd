/**
 * The forms of JSON columns that every job has: arrays instead of objects, short codes instead of names, nothing for
 * null. A database holds millions of them, and most of their text would be names. Stored rows depend on each code and on
 * each order of fields: new fields go last, and no code is used again.
 */
import type { JobEventKind, RatedMetric, StepState } from "../lib/enums.ts";
import type { BaselineSpread, FleetMedian, Fleets } from "../lib/stored-fleets.ts";
import type {
  FiguresPart,
  GpuGroup,
  GpuReading,
  HealthWarning,
  JobEvent,
  MeasuredFigures,
  MetricSummary,
  MetricsSummary,
  Provenance,
  Step,
  StepRecord,
  Withheld,
} from "../lib/stored-json.ts";
import {
  coded,
  type Form,
  listOf,
  listOrNothing,
  nullable,
  number,
  optional,
  record,
  text,
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

/** The place of a step's `errorMessage`, and what stands there for that of the step before. */
const [REASON, SAME] = [3, 0];

/** A node that gives up ends all its steps for one reason, which may be long: it is stored once. */
function stepsOf<T extends Pick<Step, "errorMessage">>(item: Form<T>): Form<T[]> {
  return {
    pack(list) {
      let before: string | null = null;
      return list.map((step) => {
        const fields = item.pack(step) as unknown[]; // of a record
        if (step.errorMessage !== null && step.errorMessage === before) fields[REASON] = SAME;
        before = step.errorMessage;
        return fields;
      });
    },
    unpack(packed) {
      let before: string | null = null;
      // As `pack` made it.
      return (packed as unknown[][]).map((fields) => {
        const step = item.unpack(fields[REASON] === SAME ? fields.with(REASON, before) : fields);
        before = step.errorMessage;
        return step;
      });
    },
  };
}

export const steps: Form<readonly Step[]> = stepsOf(
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

export const jobSteps = stepsOf(record<StepRecord>({ ...stepFields, summary: nullable(summary) }));
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
  withheld: listOf(
    coded<Withheld>({ replayed: "r", busy: "b", partial: "p", checks: "c", clock: "k" }),
  ),
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

const pair: Form<readonly [number, number]> = {
  pack: (values) => values,
  unpack: (packed) => packed as [number, number], // as `pack` made it
};
export const spread = record<BaselineSpread>({
  low: number,
  high: number,
  quartiles: pair,
  customers: nullable(number),
  at: number,
});
const fleetMedian = nullable(
  record<FleetMedian>({ median: number, machines: number, spread: optional(spread) }),
);
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
