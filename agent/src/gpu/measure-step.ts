/** Which work makes which figure of a run. */
import { CudaError, type Driver } from "./driver.ts";
import type { Engine } from "./engine.ts";
import {
  type FigureTools,
  measureFp32,
  measureHostCopy,
  measureLaunch,
  measureMemory,
} from "./figures.ts";
import type { Lane } from "./lanes.ts";
import type { ProbeMessage } from "./messages.ts";
import { GEMM_METRIC } from "./methods.ts";
import { measurePairs, type PairFigure } from "./pairs.ts";
import type { Figure, Sizes, Step } from "./plan.ts";
import { measureAgain, measureProduct, type ProductFigure } from "./products.ts";
import type { Element } from "./ptx.ts";
import { clockFault } from "./rate.ts";
import type { Checks, Fault, MeasuredFigure } from "./results.ts";
import type { Telemetry } from "./telemetry.ts";

export interface RunWorld {
  driver: Driver;
  telemetry: Telemetry | null;
  /** Best first; each is opened when the ones before it could not multiply here. */
  engines: readonly { name: string; open: () => Engine }[];
  /** Name and version of what calls the driver. */
  ffi: string;
  busyOk: boolean;
  sizes: Sizes;
  /** For durations, in ms. */
  now: () => number;
  /** In ISO form. */
  timestamp: () => string;
  emit: (message: ProbeMessage) => void;
}

/** What a fault of a step is about. */
export const METRICS: Readonly<Record<Figure, string>> = {
  bf16: GEMM_METRIC.bf16,
  memory: "memory_bandwidth_gbs",
  f16: GEMM_METRIC.f16,
  fp32: "fp32_cuda_core_tflops",
  host_to_device: "host_to_device_bandwidth_gbs",
  device_to_host: "device_to_host_bandwidth_gbs",
  launch: "kernel_launch_overhead_us",
  pairs: "gpu_bandwidth_matrix",
  bf16_again: "end_to_start",
};

/** What a run has gathered so far. */
export interface Gathered {
  engine: Engine | null;
  figures: MeasuredFigure[];
  pairs: PairFigure[];
  endToStart: number | null;
  checks: Checks;
  faults: Fault[];
}

/** @throws what the driver or the engine throws; figures that were made before stay in `gathered` */
export function measureStep(
  world: RunWorld,
  lanes: readonly Lane[],
  { figure, rate }: Step,
  gathered: Gathered,
  onBatch: (share: number) => void,
): void {
  const { sizes, now } = world;
  const tools: FigureTools = { lanes, sizes, rate, now, onBatch };
  switch (figure) {
    case "bf16":
      product(world, "bf16", tools, gathered);
      return;
    case "f16":
      product(world, "f16", tools, gathered);
      return;
    case "memory":
      gather(gathered, measureMemory(tools));
      return;
    case "fp32":
      gather(gathered, measureFp32(tools));
      return;
    case "host_to_device":
      gather(gathered, measureHostCopy("h2d", tools));
      return;
    case "device_to_host":
      gather(gathered, measureHostCopy("d2h", tools));
      return;
    case "launch":
      gather(gathered, measureLaunch(tools));
      return;
    case "pairs":
      pairs(world, tools, gathered);
      return;
    case "bf16_again":
      again(tools, gathered);
  }
}

function gather({ figures, faults }: Gathered, figure: MeasuredFigure): void {
  figures.push(figure);
  for (const [gpu, rate] of figure.rates.entries()) {
    const message = clockFault(rate);
    if (message === null) continue;
    faults.push({ metric: figure.metric, gpu, code: "clock_disagrees", message });
  }
}

/** With the engine of the product before, if there was one; otherwise the first that can do it. */
function product(world: RunWorld, type: Element, tools: FigureTools, gathered: Gathered): void {
  const chosen = gathered.engine;
  const measured =
    chosen === null
      ? firstProduct(world, type, tools, gathered)
      : measureProduct(chosen, type, tools);
  const { checks } = gathered;
  gather(gathered, measured.figure);
  gathered.faults.push(...measured.faults);
  gathered.checks = {
    gemmRepeatable: measured.isRepeatable && (checks.gemmRepeatable ?? true),
    gemmError: Math.max(measured.error, checks.gemmError ?? 0),
  };
}

function firstProduct(
  world: RunWorld,
  type: Element,
  tools: FigureTools,
  gathered: Gathered,
): ProductFigure {
  let last: unknown = new Error("no engine for matrix products was found");
  for (const { name, open } of world.engines) {
    try {
      // A library that crashes or hangs takes this process with it: the last word names it.
      world.emit({ type: "progress", progress: 0, message: `opening ${name}` });
      const engine = open();
      const measured = measureProduct(engine, type, tools);
      gathered.engine = engine;
      const version = engine.library === null ? "" : ` ${engine.library}`;
      world.emit({ type: "note", message: `matrix products by ${engine.id}${version} (${name})` });
      return measured;
    } catch (error) {
      last = error;
      if (error instanceof CudaError && (error.isFatal || error.isOutOfMemory)) throw error;
      world.emit({
        type: "note",
        message: `${name} cannot multiply matrices: ${error instanceof Error ? error.message : error}`,
      });
    }
  }
  throw last;
}

function pairs(
  { sizes, now }: RunWorld,
  { lanes, onBatch }: FigureTools,
  gathered: Gathered,
): void {
  const { figures, left } = measurePairs(lanes, sizes.peerCopy, now, onBatch);
  gathered.pairs.push(...figures);
  if (left === 0) return;
  const message = `${left} of ${left + figures.length / 2} pairs not measured: time was up`;
  gathered.faults.push({
    metric: METRICS.pairs,
    gpu: null,
    code: "not_measured",
    message,
  });
}

function again(tools: FigureTools, gathered: Gathered): void {
  const before = gathered.figures.find(({ metric }) => metric === GEMM_METRIC.bf16);
  // Without the figure of the start there is nothing to compare with.
  if (gathered.engine === null || before === undefined) return;
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  gathered.endToStart = sum(measureAgain(gathered.engine, tools)) / sum(before.values);
}
