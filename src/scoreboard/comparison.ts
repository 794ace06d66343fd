/** What the figures of a node are compared with, by model and class of methods. Pure. */
import { dataSheetOf } from "../benchmarks/data-sheets.ts";
import { classesOf, classOf, QUICKMARK, UNKNOWN } from "../benchmarks/methods.ts";
import { normalizeModel } from "../benchmarks/models.ts";
import { SHIPPED } from "../benchmarks/shipped-baselines.ts";
import type { RatingThresholds } from "../lib/config.ts";
import type { RatedMetric } from "../lib/enums.ts";
import type { BaselineSpread, FleetMedian, Fleets } from "../lib/stored-fleets.ts";
import type { FiguresPart, Provenance } from "../lib/stored-json.ts";
import { chooseBaseline } from "./baselines.ts";
import type { Comparison, OtherClass, PastReading } from "./facts.ts";

/** A baseline of this server, of any class. */
export interface KnownBaseline {
  model: string;
  metric: RatedMetric;
  class: string;
  fleetMedian: number | null;
  fleetMachines: number | null;
  fleetCustomers: number | null;
  fleetSpread: Four | null;
  fleetAt: number | null;
  pinnedValue: number | null;
}

/** The medians of a customer's machines of a model and class. */
export interface KnownFleet {
  model: string;
  class: string;
  bf16Median: number | null;
  bf16Machines: number;
  memoryMedian: number | null;
  memoryMachines: number;
  bf16Spread: Four | null;
  memorySpread: Four | null;
  computedAt: number;
}

type Four = readonly [low: number, first: number, third: number, high: number];

/** The machine's figures before. */
export interface PastFigures {
  at: number;
  bf16Tflops: number | null;
  memoryBandwidthGbs: number | null;
  parts: readonly FiguresPart[] | null;
  methods: Provenance["methods"];
}

/** What is known besides the node itself. */
export interface Known {
  baselines: readonly KnownBaseline[];
  /** As known when the job was first rated; null for a node without figures. */
  fleets: FiguresPart["fleets"] | null;
  past: PastFigures | undefined;
}

/** @param gpuModel as the node names it */
export function comparisonWith(
  { baselines, fleets, past }: Known,
  gpuModel: string | null,
  provenance: Provenance | null,
  thresholds: Pick<RatingThresholds, "fleetMinMachines">,
): Comparison {
  const model = normalizeModel(gpuModel) ?? "";
  const baselineOf = (metric: RatedMetric) => {
    const own = classOf(metric, provenance);
    if (own === UNKNOWN) return null;
    const sources = {
      fleets: fleets?.[metric] ?? null,
      shipped: own === QUICKMARK ? (SHIPPED.get(model)?.[metric] ?? null) : null,
      pinned: baselineRow(baselines, model, metric, own)?.pinnedValue ?? null,
    };
    return chooseBaseline(sources, thresholds);
  };
  const otherOf = (metric: RatedMetric) =>
    otherClass(baselines, model, metric, classOf(metric, provenance));
  return {
    baselines: {
      bf16_tflops: baselineOf("bf16_tflops"),
      memory_bandwidth_gbs: baselineOf("memory_bandwidth_gbs"),
    },
    others: {
      bf16_tflops: otherOf("bf16_tflops"),
      memory_bandwidth_gbs: otherOf("memory_bandwidth_gbs"),
    },
    previous: toPast(past, model),
  };
}

/** What another class says of a figure: a baseline that shipped, else a pinned one; and a figure beside it. */
function otherClass(
  baselines: readonly KnownBaseline[],
  model: string,
  metric: RatedMetric,
  own: string,
): OtherClass {
  if (own === QUICKMARK) return { baselineOf: null, reference: null };
  const shipped = SHIPPED.get(model)?.[metric];
  const sheet = dataSheetOf(model);
  const pinned = classesOf(metric).find(
    (name) => name !== own && baselineRow(baselines, model, metric, name)?.pinnedValue != null,
  );
  if (shipped !== undefined) {
    return { baselineOf: QUICKMARK, reference: { value: shipped.median, of: "shipped" } };
  }
  const peak = metric === "bf16_tflops" ? sheet?.bf16Tflops : sheet?.memoryBandwidthGbs;
  return {
    baselineOf: pinned ?? null,
    reference: peak === undefined ? null : { value: peak, of: "data_sheet" },
  };
}

/** The fleets of a model, of any size, as they are now. */
export function fleetsOf(
  model: string,
  provenance: Provenance | null,
  {
    baselines,
    customerFleets,
  }: { baselines: readonly KnownBaseline[]; customerFleets: readonly KnownFleet[] },
): FiguresPart["fleets"] {
  const of = (metric: RatedMetric, ownOf: (fleet: KnownFleet) => FleetMedian | null): Fleets => {
    const name = classOf(metric, provenance);
    const fleet = customerFleets.find((row) => row.model === model && row.class === name);
    const row = baselineRow(baselines, model, metric, name);
    const spread = toSpread(row?.fleetSpread, row?.fleetCustomers ?? null, row?.fleetAt ?? null);
    const all = toFleet(row?.fleetMedian ?? null, row?.fleetMachines ?? null, spread);
    return { own: fleet === undefined ? null : ownOf(fleet), all };
  };
  return {
    bf16_tflops: of("bf16_tflops", (own) =>
      toFleet(own.bf16Median, own.bf16Machines, toSpread(own.bf16Spread, null, own.computedAt)),
    ),
    memory_bandwidth_gbs: of("memory_bandwidth_gbs", (own) =>
      toFleet(
        own.memoryMedian,
        own.memoryMachines,
        toSpread(own.memorySpread, null, own.computedAt),
      ),
    ),
  };
}

function toFleet(
  median: number | null,
  machines: number | null,
  spread: BaselineSpread | null,
): FleetMedian | null {
  if (median === null || machines === null) return null;
  return spread === null ? { median, machines } : { median, machines, spread };
}

function toSpread(
  spread: Four | null | undefined,
  customers: number | null,
  at: number | null,
): BaselineSpread | null {
  if (spread == null || at === null) return null;
  const [low, first, third, high] = spread;
  return { low, high, quartiles: [first, third], customers, at };
}

function baselineRow(
  rows: readonly KnownBaseline[],
  model: string,
  metric: RatedMetric,
  name: string,
): KnownBaseline | undefined {
  return rows.find((row) => row.model === model && row.metric === metric && row.class === name);
}

function toPast(row: PastFigures | undefined, model: string): PastReading | null {
  if (row === undefined) return null;
  const { at, methods } = row;
  const whole = { bf16_tflops: row.bf16Tflops, memory_bandwidth_gbs: row.memoryBandwidthGbs };
  const values = row.parts?.find((part) => part.model === model)?.values ?? whole;
  return { at, values, methods };
}
