/** QuickMark's results, and how they were made: `measurement` goes with every result. Pure. */
import { cleaned } from "../gpus/rows.ts";
import { clip } from "../log.ts";
import type { GpuDescription } from "./driver.ts";
import type { Results } from "./messages.ts";
import type { PairFigure } from "./pairs.ts";
import type { Rate } from "./rate.ts";
import { type GpuFacts, type GpuProcess, NO_FACTS, type Sample } from "./telemetry.ts";

export interface MeasuredFigure {
  metric: string;
  method: string;
  /** Of each GPU, in the metric's unit. */
  values: number[];
  rates: Rate[];
  /** The aggregate is the sum; otherwise the mean. */
  isAdditive: boolean;
}

export interface Fault {
  metric: string;
  /** Index of the GPU, or null where it concerns all. */
  gpu: number | null;
  code: string;
  message: string;
}

export interface Checks {
  gemmRepeatable: boolean | null;
  gemmError: number | null;
}

export interface RunRecord {
  engine: { id: string; library: string | null } | null;
  ffi: string;
  driverVersion: string | null;
  cuda: number;
  gpus: readonly {
    description: GpuDescription;
    facts: GpuFacts | null;
    /** Of others, before anything was measured; null where they are not shown. */
    processes: readonly GpuProcess[] | null;
    samples: Sample[];
  }[];
  busy: boolean;
  figures: readonly MeasuredFigure[];
  pairs: readonly PairFigure[];
  /** BF16 at the end over BF16 at the start; null before it is known. */
  endToStart: number | null;
  checks: Checks;
  faults: readonly Fault[];
}

const MOST_PROCESSES = 16;

/** Without these a result has no verdict. */
const REQUIRED = ["bf16_tflops", "memory_bandwidth_gbs"];

export function isComplete({ figures }: RunRecord): boolean {
  return REQUIRED.every((metric) => figures.some((figure) => figure.metric === metric));
}

/** @param partial the run ended early, or lacks a figure that every result must have */
export function buildResults(run: RunRecord, partial: boolean, timestamp: string): Results {
  const without = measurementOf(run, partial, []);
  const room = MAX_MEASUREMENT_BYTES - bytesOf(without);
  return {
    aggregate_results: { gpu_id: "aggregate", ...aggregate(run) },
    test_results: run.gpus.map((_, i) => ofGpu(run, i)),
    measurement: measurementOf(run, partial, fitting(run.gpus.map(factsOf), room)),
    timestamp,
  };
}

function measurementOf(run: RunRecord, partial: boolean, facts: readonly Results[]): Results {
  return {
    version: 1,
    ...(partial ? { partial: true } : {}),
    engine: {
      id: run.engine?.id ?? null,
      library: run.engine?.library ?? null,
      ffi: run.ffi,
      driver: run.driverVersion,
      cuda: run.cuda,
    },
    methods: Object.fromEntries([
      ...run.figures.map(({ metric, method }) => [metric, method]),
      ...run.pairs.slice(0, 1).map(({ method }) => ["gpu_bandwidth_matrix", method]),
    ]),
    quality: Object.fromEntries(run.figures.map(({ metric, rates }) => [metric, quality(rates)])),
    conditions: {
      busy: run.busy,
      throttle: throttleOf(run.gpus.flatMap(({ samples }) => samples)),
      end_to_start: rounded(run.endToStart, 4),
      facts,
    },
    checks: {
      gemm_repeatable: run.checks.gemmRepeatable,
      gemm_error: rounded(run.checks.gemmError, 6),
    },
    faults: told(run.faults),
  };
}

function aggregate({ figures, pairs, gpus }: RunRecord): Results {
  const watts = gpus.map(({ samples }) => peak(samples, "watts"));
  const celsius = gpus.map(({ samples }) => peak(samples, "celsius"));
  const isWhole = (readings: (number | null)[]): readings is number[] => !readings.includes(null);
  return {
    ...Object.fromEntries(
      figures.map(({ metric, values, isAdditive }) => {
        const sum = values.reduce((total, value) => total + value, 0);
        return [metric, rounded(isAdditive ? sum : sum / values.length)];
      }),
    ),
    ...(pairs.length === 0 ? {} : { gpu_bandwidth_matrix: matrix(pairs) }),
    // The sum of some of the GPUs would look like a node that needs little.
    power_consumption_watts: isWhole(watts) ? rounded(watts.reduce((a, b) => a + b, 0)) : null,
    temperature_centigrade: isWhole(celsius) ? Math.max(...celsius) : null,
  };
}

function matrix(pairs: readonly PairFigure[]): Results {
  return Object.fromEntries(
    pairs.map(({ from, to, simplexGbs, duplexGbs, connection }) => [
      `gpu${from}_to_gpu${to}`,
      {
        connection_type: connection,
        simplex_gbs: rounded(simplexGbs),
        duplex_gbs: rounded(duplexGbs),
      },
    ]),
  );
}

function ofGpu({ figures, gpus }: RunRecord, index: number): Results {
  const { description, samples } = gpus[index] ?? { description: null, samples: [] };
  return {
    gpu_id: description?.uuid ?? null,
    ...Object.fromEntries(
      figures.map(({ metric, values }) => [metric, rounded(values[index] ?? null)]),
    ),
    power_consumption_watts: rounded(peak(samples, "watts")),
    temperature_centigrade: peak(samples, "celsius"),
  };
}

/** Of all GPUs together: as good as the worst of them. */
function quality(rates: readonly Rate[]): Results {
  const drifts = rates.map(({ drift }) => drift);
  return {
    settled: rates.every(({ settled }) => settled),
    spread: rounded(Math.max(...rates.map(({ spread }) => spread)), 4),
    drift: rounded(
      drifts.reduce((worst, drift) => (Math.abs(drift) > Math.abs(worst) ? drift : worst), 0),
      4,
    ),
    samples: Math.min(...rates.map(({ samples }) => samples)),
    calls_per_sample: Math.min(...rates.map(({ callsPerSample }) => callsPerSample)),
    seconds: rounded(Math.max(...rates.map(({ deviceMs }) => deviceMs)) / 1_000, 3),
  };
}

/** A reading that is not there is null, never 0. */
function factsOf({ description, facts, processes, samples }: RunRecord["gpus"][number]): Results {
  const { name, uuid, busId, capability, multiprocessors, memoryBytes } = description;
  return {
    ...(facts ?? NO_FACTS),
    // The driver knows these itself.
    uuid: facts?.uuid ?? uuid,
    pci_address: busId,
    processes:
      processes?.slice(0, MOST_PROCESSES).map(({ pid, bytes }) => ({ pid, memory_bytes: bytes })) ??
      null,
    model: name,
    compute_capability: `${Math.floor(capability / 10)}.${capability % 10}`,
    multiprocessors,
    memory_bytes: memoryBytes,
    telemetry: facts !== null,
    pcie_generation: peak(samples, "pcieGeneration"),
    pcie_width: peak(samples, "pcieWidth"),
    watts: middle(samples, "watts"),
    peak_watts: peak(samples, "watts"),
    celsius: middle(samples, "celsius"),
    peak_celsius: peak(samples, "celsius"),
    sm_mhz: middle(samples, "smMhz"),
    memory_mhz: middle(samples, "memoryMhz"),
    throttle: throttleOf(samples),
  };
}

type Reading = Exclude<keyof Sample, "throttle">;

function readings(samples: readonly Sample[], name: Reading): number[] {
  return samples.flatMap((sample) => sample[name] ?? []);
}

function peak(samples: readonly Sample[], name: Reading): number | null {
  const values = readings(samples, name);
  return values.length === 0 ? null : Math.max(...values);
}

function middle(samples: readonly Sample[], name: Reading): number | null {
  const values = readings(samples, name).sort((a, b) => a - b);
  return values[values.length >> 1] ?? null;
}

/** Null when no sample could tell. */
function throttleOf(samples: readonly Sample[]): string[] | null {
  const told = samples.flatMap(({ throttle }) => (throttle === null ? [] : [throttle]));
  return told.length === 0 ? null : [...new Set(told.flat())].sort();
}

/** The server takes 32 KiB. */
const MAX_MEASUREMENT_BYTES = 31 * 1_024;
const MAX_FAULTS_BYTES = 10 * 1_024;
const MAX_FAULT_TEXT = 300;

function bytesOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}

/** As many of the first as there is room for. */
function fitting<Entry>(entries: readonly Entry[], room: number): Entry[] {
  let bytes = 0;
  return entries.filter((each) => {
    bytes += bytesOf(each) + 1;
    return bytes <= room;
  });
}

/** The faults, wrong products before all others; how many there was no room for is the last of them. */
function told(faults: readonly Fault[]): Fault[] {
  const isProduct = ({ code }: Fault) => code.startsWith("product_");
  const sorted = [...faults.filter(isProduct), ...faults.filter((each) => !isProduct(each))];
  const tame = sorted.map(({ message, ...fault }) => ({
    ...fault,
    message: clip(cleaned(message), MAX_FAULT_TEXT),
  }));
  const kept = fitting(tame, MAX_FAULTS_BYTES);
  const next = tame[kept.length];
  if (next === undefined) return tame;
  const message = `${tame.length - kept.length} more faults are not listed`;
  return [...kept, { metric: next.metric, gpu: null, code: "more_faults", message }];
}

function rounded(value: number | null, digits = 2): number | null {
  return value === null ? null : Math.round(value * 10 ** digits) / 10 ** digits;
}
