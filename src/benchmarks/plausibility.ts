/**
 * Decides which figures of QuickMark are implausible, for verdicts, job summaries, exports and reports
 * (docs/scoreboard.md, "Implausible figures"). Pure.
 */
import { RATED_METRICS } from "../lib/enums.ts";
import type { Implausible } from "../lib/stored-json.ts";
import { cutAt } from "../lib/text.ts";
import { boundFault, memoryFaults } from "./bounds.ts";
import { type DataSheet, dataSheetOf } from "./data-sheets.ts";
import { groupsOf, type Hardware, MAX_GPUS_PER_NODE, modelOfTest, wholeOf } from "./gpus.ts";
import { normalizeModel } from "./models.ts";
import { type Figures, QUICK_MARK_METRICS, readMetrics } from "./quick-mark-metrics.ts";
import { SHIPPED, type ShippedModel } from "./shipped-baselines.ts";

/**
 * The peak of a data sheet that bounds a throughput. FP16 has the peak of BF16 on each of them, and mixed precision
 * multiplies in FP16.
 */
const PEAKS: Readonly<Record<string, Exclude<keyof DataSheet, "gpuModel">>> = {
  bf16_tflops: "bf16Tflops",
  fp16_tflops: "bf16Tflops",
  fp32_tflops: "tf32Tflops",
  fp32_cuda_core_tflops: "fp32CudaCoreTflops",
  mixed_precision_tflops: "bf16Tflops",
  memory_bandwidth_gbs: "memoryBandwidthGbs",
};
/** The faults of a result that are listed. */
const MAX_FAULTS = 64;
/** Names of fields are as agents choose them. */
const MAX_FIELD = 200;
/** Clocks above the data sheet's and rounding. */
const PEAK_TOLERANCE = 1.05;
/** Recorded medians are at least 54 % of a data sheet's peak. */
const MAX_OF_SHIPPED = 3;
/** By unit, for other models: above the data sheet of every GPU of 2026. */
const MAX_PER_GPU: Readonly<Record<string, number>> = { TFLOPS: 4_000, "GB/s": 16_000 };
/**
 * No data-centre GPU draws less than this while it multiplies matrices, and most draw more when idle. Real hosts
 * have reported 4.64 W for one GPU and 41.7 W for eight.
 */
const MIN_LOADED_WATTS_PER_GPU = 20;
/** Every GPU of 2026 is specified at less than half of this power. */
const MAX_WATTS_PER_GPU = 5_000;
/** Dense half-precision throughput per watt is between 0.4 and 3 on the data sheets of 2020 to 2026. */
const MAX_TFLOPS_PER_WATT = 10;
/** The end of the names of figures per watt. */
const PER_WATT = "_per_peak_watt";
/** The most that a throughput of one GPU can be, in the metric's unit, and the reason. */
interface Limit {
  max: number;
  unit: string;
  reason: string;
}

/** By metric. */
export type Limits = ReadonlyMap<string, Limit>;

/** Machines name their models: many names take no memory for long. */
const MAX_REMEMBERED = 500;
const remembered = new Map<string | null, Limits>();

/**
 * The limits of a GPU model, in any common spelling. A slice has those of its GPU. They are remembered, since most GPUs of
 * a job have the same model.
 */
export function limitsOf(gpuModel: string | null): Limits {
  const known = remembered.get(gpuModel);
  if (known !== undefined) return known;
  const whole = gpuModel === null ? null : wholeOf(gpuModel);
  const limits = limitsBy(dataSheetOf(whole), SHIPPED.get(normalizeModel(whole) ?? "") ?? null);
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(gpuModel, limits);
  return limits;
}

/** The limits of a node's GPUs: for several models the mean over its GPUs. */
export function limitsOfNode(hardware: Hardware): Limits {
  if (hardware.gpuModels === null) return limitsOf(hardware.gpuModel);
  const groups = groupsOf(hardware).map(({ model, count }) => ({
    count: count ?? 0,
    limits: limitsOf(model),
  }));
  const gpus = groups.reduce((sum, { count }) => sum + count, 0);
  const limits = new Map<string, Limit>();
  for (const [name, { unit }] of groups[0]?.limits ?? []) {
    const sum = groups.reduce(
      (all, each) => all + each.count * (each.limits.get(name)?.max ?? 0),
      0,
    );
    limits.set(name, { max: round(sum / gpus), unit, reason: "the mean over its models" });
  }
  return limits;
}

/** The limits by the model's data sheet, else by its recorded runs, else those of all GPUs. */
export function limitsBy(sheet: DataSheet | null, shipped: ShippedModel | null): Limits {
  const limits = new Map<string, Limit>();
  for (const { name, unit } of QUICK_MARK_METRICS) {
    const peak = PEAKS[name];
    const most = MAX_PER_GPU[unit];
    if (peak === undefined || most === undefined) continue;
    const rated = RATED_METRICS.find((metric) => metric === name);
    if (sheet !== null) {
      const reason = `5 % above the data sheet's ${sheet[peak]}`;
      limits.set(name, { max: round(sheet[peak] * PEAK_TOLERANCE), unit, reason });
    } else if (shipped !== null && rated !== undefined) {
      const { median } = shipped[rated];
      const reason = `${MAX_OF_SHIPPED} times the recorded median of ${median}`;
      limits.set(name, { max: round(median * MAX_OF_SHIPPED), unit, reason });
    } else limits.set(name, { max: most, unit, reason: "more than any GPU reaches" });
  }
  return limits;
}

function round(max: number): number {
  return Math.round(max * 100) / 100;
}

/** Figures of one GPU that are above the peak of its model's data sheet, beyond what clocks and rounding explain. */
export function aboveDataSheet(
  figures: Readonly<Record<string, number | null>>,
  gpuModel: string | null,
): { metric: string; value: number; peak: number }[] {
  const sheet = dataSheetOf(gpuModel === null ? null : wholeOf(gpuModel));
  if (sheet === null) return [];
  return Object.entries(PEAKS).flatMap(([metric, name]) => {
    const value = figures[metric] ?? 0;
    const peak = sheet[name];
    return value > peak * PEAK_TOLERANCE ? [{ metric, value: round(value), peak }] : [];
  });
}

/** The figures of a node or of one of its GPUs, the number of GPUs behind them, and the limits of their model. */
interface Measured {
  figures: Figures;
  gpus: number | null;
  limits: Limits;
}

/**
 * The implausible figures: reasons by metric.
 *
 * @param figures of a whole node, or of one GPU
 * @param gpus the number of GPUs behind the figures; null for an unknown number
 */
export function findImplausible(
  figures: Figures,
  gpus: number | null,
  limits: Limits,
): ReadonlyMap<string, string> {
  const faults = new Map<string, string>();
  for (const { name } of QUICK_MARK_METRICS) {
    const fault = faultOf(name, { figures, gpus, limits });
    if (fault !== null) faults.set(name, fault);
  }
  return faults;
}

/** The reason why a metric's figure is implausible; null for a plausible figure, or none. */
function faultOf(name: string, measured: Measured): string | null {
  const figure = measured.figures[name];
  if (figure === undefined) return null;
  if (name === "power_consumption_watts") return powerFault(figure, measured);
  if (name.endsWith(PER_WATT)) return perWattFault(name, figure, measured);
  const limit = measured.limits.get(name);
  return limit === undefined
    ? boundFault(name, figure, measured.gpus ?? MAX_GPUS_PER_NODE)
    : throughputFault(figure, measured, limit);
}

/**
 * The number of GPUs behind a node's figures: the count stated by the machine, else the number of GPUs with results;
 * null for neither.
 */
export function gpusBehind(stated: number | null, measured: number): number | null {
  return stated ?? (measured > 0 ? measured : null);
}

function throughputFault(figure: number, { gpus }: Measured, limit: Limit): string | null {
  if (figure <= 0) return `${figure} cannot be true`;
  const { max, unit, reason } = limit;
  // Figures of a node that states 0 GPUs are checked as those of one GPU, of an unknown number as those of the most.
  if (figure / Math.max(gpus ?? MAX_GPUS_PER_NODE, 1) <= max) return null;
  return `${figure} ${unit} for ${gpus === null ? `up to ${MAX_GPUS_PER_NODE} GPUs` : plural(gpus, "GPU")} cannot be true: above ${max} ${unit} per GPU, ${reason}`;
}

function powerFault(watts: number, measured: Measured): string | null {
  const { figures } = measured;
  const gpus = measured.gpus ?? 1;
  if (watts < MIN_LOADED_WATTS_PER_GPU * gpus || watts <= 0) {
    return `${watts} W for ${plural(gpus, "GPU")} under load cannot be true: far below the power drawn when idle`;
  }
  if (watts > MAX_WATTS_PER_GPU * gpus) {
    return `${watts} W for ${plural(gpus, "GPU")} cannot be true: more than any GPU draws`;
  }
  const { bf16_tflops: tflops } = figures;
  const isThroughputPlausible = faultOf("bf16_tflops", measured) === null;
  if (tflops !== undefined && isThroughputPlausible && tflops > MAX_TFLOPS_PER_WATT * watts) {
    return `${watts} W for ${tflops} BF16 TFLOPS cannot be true: no GPU is that efficient`;
  }
  return null;
}

/** A figure per watt is as good as the power and the throughput that it was computed from. */
function perWattFault(name: string, tflopsPerWatt: number, measured: Measured): string | null {
  const fault =
    faultOf("power_consumption_watts", measured) ??
    faultOf(name.slice(0, -PER_WATT.length), measured);
  if (fault !== null) return fault;
  if (tflopsPerWatt > 0 && tflopsPerWatt <= MAX_TFLOPS_PER_WATT) return null;
  return `${tflopsPerWatt} TFLOPS per watt cannot be true`;
}

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

const METRIC_NAMES: ReadonlySet<string> = new Set(QUICK_MARK_METRICS.map(({ name }) => name));

/**
 * Every field of a QuickMark result that cannot be true, with its path and the reason; the first 64 of them.
 *
 * @param result valid
 * @param models of the machine's GPUs, by UUID
 */
export function implausibleFields(
  result: { readonly [field: string]: unknown },
  hardware: Hardware,
  models: ReadonlyMap<string, string>,
): Implausible[] {
  const tests: unknown[] = Array.isArray(result.test_results) ? result.test_results : [];
  const aggregate = objectOf(result.aggregate_results);
  const faults: Implausible[] = [];
  const add = (place: string, sent: Fields, gpus: number | null, limits: Limits) => {
    for (const [name, reason] of faultsOf(sent, gpus, limits)) {
      const field = cutAt(`${place}.${name}`.toWellFormed(), MAX_FIELD);
      faults.push({ field, reason: reason.toWellFormed() });
    }
  };
  const gpus = gpusBehind(hardware.gpuCount, tests.length);
  add("aggregate_results", aggregate, gpus, limitsOfNode(hardware));
  for (const [at, test] of tests.entries()) {
    const sent = objectOf(test);
    const model = modelOfTest(sent, models) ?? hardware.gpuModel;
    add(`test_results.${at}`, sent, 1, limitsOf(model));
  }
  const pairs = Object.entries(objectOf(aggregate.gpu_bandwidth_matrix));
  for (const [pair, sent] of pairs.sort(([a], [b]) => (a < b ? -1 : 1))) {
    add(`aggregate_results.gpu_bandwidth_matrix.${pair}`, objectOf(sent), 1, new Map());
  }
  return faults.slice(0, MAX_FAULTS);
}

type Fields = { readonly [field: string]: unknown };

/** The faults of one GPU's or one node's fields, by name. */
function faultsOf(sent: Fields, gpus: number | null, limits: Limits): [string, string][] {
  const faults = new Map(findImplausible(readMetrics(sent), gpus, limits));
  for (const [name, value] of Object.entries(sent)) {
    if (typeof value === "number" && METRIC_NAMES.has(name)) continue;
    const fault = boundFault(name, value, gpus ?? MAX_GPUS_PER_NODE, METRIC_NAMES.has(name));
    if (fault !== null) faults.set(name, fault);
  }
  for (const [name, fault] of memoryFaults(sent)) faults.set(name, fault);
  // The same list, whichever order the text had that was read.
  return [...faults].sort(([a], [b]) => (a < b ? -1 : 1));
}

function objectOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? (value as Fields) : {}; // JSON: keys are strings
}
