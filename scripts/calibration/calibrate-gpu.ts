/**
 * Which definition of a figure is which, on one real GPU: sizes, layouts, data and states beside each other, so that the
 * definitions can be fixed and classes declared equal (docs/measuring.md). Everything is tried by the agent's own code.
 */
import type { Driver } from "../../agent/src/gpu/driver.ts";
import type { Engine, LaunchedEngine } from "../../agent/src/gpu/engine.ts";
import { ptxEngine } from "../../agent/src/gpu/engine.ts";
import {
  type FigureTools,
  measureFp32,
  measureHostCopy,
  measureLaunch,
  measureMemory,
} from "../../agent/src/gpu/figures.ts";
import { type Lane, measureRate, openLanes } from "../../agent/src/gpu/lanes.ts";
import type { Sizes } from "../../agent/src/gpu/plan.ts";
import {
  type Fill,
  measureProduct,
  teraflops,
  withProducts,
} from "../../agent/src/gpu/products.ts";
import { RATE, type Rate, type RatePlan } from "../../agent/src/gpu/rate.ts";
import type { MeasuredFigure } from "../../agent/src/gpu/results.ts";
import type { Telemetry } from "../../agent/src/gpu/telemetry.ts";

/** A library that multiplies; `open` makes it anew for a layout. */
export interface Library {
  name: string;
  open: (isTransposed: boolean) => LaunchedEngine;
}

export interface CalibrationWorld {
  driver: Driver;
  telemetry: Telemetry | null;
  libraries: readonly Library[];
  /** PyTorch, where it is installed. */
  torch: (() => Engine) | null;
  sizes: Sizes;
  gemmSizes: readonly number[];
  /** In bytes. */
  copySizes: readonly number[];
  /** For copies, blocks for each multiprocessor. */
  copyBlocks: readonly number[];
  /** Shipped medians of this model; null where none are known. */
  shipped: { bf16Tflops: number; memoryGbs: number } | null;
  now: () => number;
  /** Waits, so that the GPU is cold again. */
  rest: (ms: number) => void;
  /** Called with each row once it is there. */
  onRow: (row: CalibrationRow) => void;
}

export interface CalibrationRow {
  /** What the figure is, such as `bf16 4096 nn normal, settled`. */
  name: string;
  engine: string;
  value: number | null;
  unit: "TFLOPS" | "GB/s" | "us";
  /** Of the shipped median; null for figures without one. */
  ofShipped: number | null;
  settled: boolean | null;
  spread: number | null;
  drift: number | null;
  /** Median while it was measured. */
  watts: number | null;
  /** Of a checked product. */
  error: number | null;
  /** Why there is no figure. */
  fault: string | null;
}

const SETTLED: RatePlan = { ...RATE, maxMs: 6_000 };
/** A few calls from rest, before clocks fall. */
const BURST: RatePlan = { ...RATE, warmMs: 0, batchMs: 5, window: 3, maxMs: 40 };
const REST_MS = 1_500;

const ZERO = `.version 7.0
.target sm_80
.address_size 64
.visible .entry zero(.param .u64 p, .param .u64 words)
{
  .reg .pred %end;
  .reg .b32 %cta, %ctas, %threads, %thread, %zero;
  .reg .b64 %p, %words, %word, %step, %wide, %address;
  ld.param.u64 %p, [p]; ld.param.u64 %words, [words];
  mov.u32 %cta, %ctaid.x; mov.u32 %threads, %ntid.x; mov.u32 %thread, %tid.x; mov.u32 %ctas, %nctaid.x;
  mov.u32 %zero, 0;
  mul.wide.u32 %word, %cta, %threads; cvt.u64.u32 %wide, %thread; add.u64 %word, %word, %wide;
  mul.wide.u32 %step, %ctas, %threads;
LOOP:
  setp.ge.u64 %end, %word, %words; @%end bra DONE;
  shl.b64 %address, %word, 2; add.u64 %address, %p, %address; st.global.u32 [%address], %zero;
  add.u64 %word, %word, %step; bra LOOP;
DONE:
  ret;
}
`;

/** Measures on the first GPU. What fails is a row with its fault. */
export function calibrateGpu(world: CalibrationWorld): CalibrationRow[] {
  const { driver, telemetry } = world;
  const [lane] = openLanes({ ...driver, gpus: driver.gpus.slice(0, 1) }, telemetry, () => {});
  if (lane === undefined) throw new Error("there is no GPU");
  const rows: CalibrationRow[] = [];
  const add = (row: Omit<CalibrationRow, keyof Blank> & Partial<Blank>): void => {
    const whole = { ...BLANK, ...row };
    rows.push(whole);
    world.onRow(whole);
  };
  for (const library of world.libraries) productsOf(world, lane, library, add);
  ownProducts(world, lane, add);
  if (world.torch !== null) torchProducts(world, lane, world.torch, add);
  copies(world, lane, add);
  others(world, lane, add);
  return rows;
}

const BLANK: Blank = {
  value: null,
  ofShipped: null,
  settled: null,
  spread: null,
  drift: null,
  watts: null,
  error: null,
  fault: null,
};
/** What a row may leave out. */
type Blank = Omit<CalibrationRow, "name" | "engine" | "unit">;
type Add = (row: Omit<CalibrationRow, keyof Blank> & Partial<Blank>) => void;

/** A library's product: size × layout × data, in a burst from rest and settled. */
function productsOf(world: CalibrationWorld, lane: Lane, library: Library, add: Add): void {
  const zero: Fill = (_lane, _type, address, elements) => {
    lane.gpu
      .load(ZERO)("zero")
      .bind({
        grid: 4 * lane.gpu.description.multiprocessors,
        threads: 256,
        args: [
          ["u64", address],
          ["u64", elements / 2],
        ],
      })();
    lane.gpu.finish();
  };
  for (const isTransposed of [false, true]) {
    for (const n of world.gemmSizes) {
      for (const data of ["normal", "zeros"] as const) {
        // What zeros flatter is the same for every layout.
        if (data === "zeros" && isTransposed) continue;
        const name = `bf16 ${n} ${isTransposed ? "nt" : "nn"} ${data}`;
        attempt(add, { name, engine: library.name, unit: "TFLOPS" }, () => {
          const engine = library.open(isTransposed);
          const tools = toolsFor(world, lane, n, SETTLED);
          withProducts(
            engine,
            "bf16",
            tools,
            ([work = () => {}]) => {
              for (const [state, rate] of [
                ["burst", BURST],
                ["settled", SETTLED],
              ] as const) {
                if (state === "burst") world.rest(REST_MS);
                const from = lane.samples.length;
                const [measured] = measureRate([lane], [work], { ...tools, rate });
                if (measured === undefined) continue;
                const value = teraflops(n, measured);
                const label = `${name}, ${state}`;
                add({
                  name: label,
                  engine: `${library.name} ${engine.library ?? ""}`.trim(),
                  unit: "TFLOPS",
                  ...measuredBy(measured, lane, from),
                  value,
                  ofShipped: share(value, world.shipped?.bf16Tflops),
                });
              }
            },
            data === "zeros" ? zero : undefined,
          );
        });
      }
    }
  }
}

/** This agent's kernel, checked against the host. */
function ownProducts(world: CalibrationWorld, lane: Lane, add: Add): void {
  for (const n of world.gemmSizes) checkedProduct(world, lane, n, ptxEngine(), add);
}

function torchProducts(world: CalibrationWorld, lane: Lane, open: () => Engine, add: Add): void {
  attempt(add, { name: "bf16", engine: "torch", unit: "TFLOPS" }, () => {
    const engine = open();
    for (const n of world.gemmSizes) checkedProduct(world, lane, n, engine, add);
  });
}

function checkedProduct(
  world: CalibrationWorld,
  lane: Lane,
  n: number,
  engine: Engine,
  add: Add,
): void {
  const layout = engine.id === "ptx" ? "nt" : "nn";
  const row = {
    name: `bf16 ${n} ${layout} normal, settled`,
    engine: `${engine.id} ${engine.library ?? ""}`.trim(),
    unit: "TFLOPS",
  } as const;
  attempt(add, row, () => {
    const from = lane.samples.length;
    const { figure, error } = measureProduct(engine, "bf16", toolsFor(world, lane, n, SETTLED));
    add({ ...row, ...figureOf(figure, lane, from, world.shipped?.bf16Tflops), error });
  });
}

/** Copies within the GPU: size × grid, and what reading the telemetry meanwhile costs. */
function copies(world: CalibrationWorld, lane: Lane, add: Add): void {
  const silent = { ...lane, telemetry: null };
  const copy = (label: string, bytes: number, blocks: number, by: Lane): void => {
    const row = { name: `copy ${label}`, engine: "ptx", unit: "GB/s" } as const;
    attempt(add, row, () => {
      const from = lane.samples.length;
      const sizes = { ...world.sizes, copy: [bytes], copyBlocks: blocks };
      const tools = { ...toolsFor(world, by, world.sizes.gemm, SETTLED), sizes };
      const figure = measureMemory(tools);
      add({ ...row, ...figureOf(figure, lane, from, world.shipped?.memoryGbs) });
    });
  };
  for (const bytes of world.copySizes) {
    for (const blocks of world.copyBlocks) {
      copy(`${bytes / 2 ** 20} MiB, ${blocks} blocks`, bytes, blocks, lane);
    }
  }
  const [bytes = 0] = world.sizes.copy;
  for (const by of [lane, silent]) {
    const label = by === silent ? "without readings" : "with readings";
    copy(`${bytes / 2 ** 20} MiB, ${label}`, bytes, world.sizes.copyBlocks, by);
  }
}

/** The other figures of the program, as they are measured. */
function others(world: CalibrationWorld, lane: Lane, add: Add): void {
  const launches: RatePlan = { ...RATE, warmMs: 0, maxCalls: 256, maxBatches: 40 };
  const all = [
    ["fp32", "TFLOPS", RATE, measureFp32],
    ["host to device", "GB/s", RATE, (tools: FigureTools) => measureHostCopy("h2d", tools)],
    ["device to host", "GB/s", RATE, (tools: FigureTools) => measureHostCopy("d2h", tools)],
    ["launch", "us", launches, measureLaunch],
  ] as const;
  for (const [name, unit, rate, measure] of all) {
    attempt(add, { name, engine: "ptx", unit }, () => {
      const from = lane.samples.length;
      const figure = measure(toolsFor(world, lane, world.sizes.gemm, rate));
      add({ name, engine: "ptx", unit, ...figureOf(figure, lane, from, undefined) });
    });
  }
}

function toolsFor(
  { sizes, now }: CalibrationWorld,
  lane: Lane,
  n: number,
  rate: RatePlan,
): FigureTools {
  return { lanes: [lane], sizes: { ...sizes, gemm: n }, rate, now, onBatch: () => {} };
}

function figureOf(
  { values, rates: [rate] }: MeasuredFigure,
  lane: Lane,
  from: number,
  shipped: number | undefined,
): Partial<Blank> {
  const value = values[0] ?? null;
  return {
    ...(rate === undefined ? {} : measuredBy(rate, lane, from)),
    value,
    ofShipped: value === null ? null : share(value, shipped),
  };
}

function measuredBy({ settled, spread, drift }: Rate, lane: Lane, from: number): Partial<Blank> {
  const watts = lane.samples
    .slice(from)
    .flatMap((sample) => sample.watts ?? [])
    .sort((a, b) => a - b);
  return { settled, spread, drift, watts: watts[watts.length >> 1] ?? null };
}

function share(value: number, shipped: number | undefined): number | null {
  return shipped === undefined ? null : value / shipped;
}

function attempt(
  add: Add,
  row: Pick<CalibrationRow, "name" | "engine" | "unit">,
  measure: () => void,
): void {
  try {
    measure();
  } catch (error) {
    add({ ...row, fault: error instanceof Error ? error.message : String(error) });
  }
}
