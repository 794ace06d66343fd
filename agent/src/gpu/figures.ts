/** The figures of one run, each on all GPUs at once. */
import type { Engine } from "./engine.ts";
import { type Lane, measureRate, withBuffers } from "./lanes.ts";
import {
  copyMethod,
  FMA_METHOD,
  GEMM_METRIC,
  gemmMethod,
  hostCopyMethod,
  LAUNCH_METHOD,
} from "./methods.ts";
import type { Sizes } from "./plan.ts";
import { MOST_ERROR, productError, SEEDS, sampleProduct } from "./product-check.ts";
import {
  COPY_GRANULE,
  COPY_THREADS,
  type Element,
  FMA_FLOP_PER_ITERATION,
  FMA_THREADS,
} from "./ptx.ts";
import type { RatePlan } from "./rate.ts";
import type { Fault, MeasuredFigure } from "./results.ts";

export interface FigureTools {
  lanes: readonly Lane[];
  sizes: Sizes;
  rate: RatePlan;
  onBatch: (share: number) => void;
}

export interface ProductFigure {
  figure: MeasuredFigure;
  isRepeatable: boolean;
  error: number;
  faults: Fault[];
}

/** Left for what the driver itself allocates. */
const RESERVED_BYTES = 512 * 2 ** 20;
const FILL_THREADS = 256;
const FILL_BLOCKS = 4;

/** A matrix product, checked before and after it is measured. */
export function measureProduct(engine: Engine, type: Element, tools: FigureTools): ProductFigure {
  const { lanes, sizes, rate, onBatch } = tools;
  const n = sizes.gemm;
  return withProducts(engine, type, tools, (works, read) => {
    const products = (): Uint8Array[] => {
      for (const work of works) work();
      return read();
    };
    const first = products();
    const rates = measureRate(lanes, works, rate, onBatch);
    const second = products();
    const expected = sampleProduct(type, n, engine.isTransposed);
    const metric = GEMM_METRIC[type];
    const checked = lanes.map((_, i) => {
      const [before, after] = [first[i] ?? new Uint8Array(), second[i] ?? new Uint8Array()];
      const error = Math.max(productError(expected, before), productError(expected, after));
      return { isRepeatable: Buffer.compare(before, after) === 0, error };
    });
    return {
      figure: {
        metric,
        method: gemmMethod(engine.id, n),
        values: rates.map(({ msPerCall }) => (2 * n ** 3) / 1e9 / msPerCall),
        rates,
        isAdditive: true,
      },
      isRepeatable: checked.every(({ isRepeatable }) => isRepeatable),
      error: Math.max(...checked.map(({ error }) => error)),
      faults: checked.flatMap((check, gpu) => checkFaults(metric, gpu, check)),
    };
  });
}

/**
 * A product on each GPU, its factors filled, while `use` runs.
 *
 * @param use gets the work of each GPU, and what reads the products
 */
function withProducts<Result>(
  engine: Engine,
  type: Element,
  { lanes, sizes, onBatch }: FigureTools,
  use: (works: (() => void)[], read: () => Uint8Array[]) => Result,
): Result {
  const n = sizes.gemm;
  const bytes = n * n * 2;
  return withBuffers(lanes, [bytes, bytes, bytes], (buffers) => {
    const works = lanes.map((lane, i) => {
      const [a = 0n, b = 0n, c = 0n] = buffers[i] ?? [];
      fill(lane, type, a, n * n, SEEDS.a);
      fill(lane, type, b, n * n, SEEDS.b);
      const work = engine.prepare(lane.gpu, { type, n, a, b, c });
      onBatch(0);
      return work;
    });
    return use(works, () => lanes.map(({ gpu }, i) => gpu.read(buffers[i]?.[2] ?? 0n, bytes)));
  });
}

/** BF16 once more, for what warmth has cost; it is not checked. */
export function measureAgain(engine: Engine, tools: FigureTools): number[] {
  const { lanes, sizes, rate, onBatch } = tools;
  const n = sizes.gemm;
  return withProducts(engine, "bf16", tools, (works) => {
    const rates = measureRate(lanes, works, rate, onBatch);
    return rates.map(({ msPerCall }) => (2 * n ** 3) / 1e9 / msPerCall);
  });
}

function fill(lane: Lane, type: Element, address: bigint, elements: number, seed: number): void {
  lane.kernel(`fill_${type}`).bind({
    grid: FILL_BLOCKS * lane.gpu.description.multiprocessors,
    threads: FILL_THREADS,
    args: [
      ["u64", address],
      ["u64", elements / 2],
      ["u32", seed],
    ],
  })();
  lane.gpu.finish();
}

function checkFaults(
  metric: string,
  gpu: number,
  { isRepeatable, error }: { isRepeatable: boolean; error: number },
): Fault[] {
  const faults: Fault[] = [];
  if (!isRepeatable) {
    const message =
      "the same matrix product had different bits the second time: this GPU computes wrongly without an error (silent corruption)";
    faults.push({ metric, gpu, code: "product_differs", message });
  }
  if (error > MOST_ERROR) {
    const message = `elements of a matrix product are wrong by up to ${Number.isFinite(error) ? `${(100 * error).toFixed(1)} %` : "an infinite amount"}: this GPU computes wrongly without an error (silent corruption)`;
    faults.push({ metric, gpu, code: "product_wrong", message });
  }
  return faults;
}

/** @throws when no size fits into the memory of every GPU */
export function measureMemory({ lanes, sizes, rate, onBatch }: FigureTools): MeasuredFigure {
  const free = Math.min(...lanes.map(({ gpu }) => gpu.freeMemory()));
  const bytes = sizes.copy.find((size) => 2 * size + RESERVED_BYTES <= free);
  if (bytes === undefined) {
    throw new Error(`only ${Math.floor(free / 2 ** 20)} MiB of GPU memory are free`);
  }
  return withBuffers(lanes, [bytes, bytes], (buffers) => {
    const works = lanes.map((lane, i) => {
      const [from = 0n, to = 0n] = buffers[i] ?? [];
      const most = bytes / COPY_GRANULE;
      return lane.kernel("copy").bind({
        grid: Math.min(most, sizes.copyBlocks * lane.gpu.description.multiprocessors),
        threads: COPY_THREADS,
        args: [
          ["u64", from],
          ["u64", to],
          ["u64", bytes],
        ],
      });
    });
    const rates = measureRate(lanes, works, rate, onBatch);
    return {
      metric: "memory_bandwidth_gbs",
      method: copyMethod(bytes),
      values: rates.map(({ msPerCall }) => (2 * bytes) / 1e6 / msPerCall),
      rates,
      isAdditive: true,
    };
  });
}

export function measureFp32({ lanes, sizes, rate, onBatch }: FigureTools): MeasuredFigure {
  return withBuffers(lanes, [4_096], (buffers) => {
    const grids = lanes.map(({ gpu }) => sizes.fmaBlocks * gpu.description.multiprocessors);
    const works = lanes.map((lane, i) =>
      lane.kernel("fma_f32").bind({
        grid: grids[i] ?? 1,
        threads: FMA_THREADS,
        args: [
          ["u64", buffers[i]?.[0] ?? 0n],
          ["u32", sizes.fmaIterations],
        ],
      }),
    );
    const rates = measureRate(lanes, works, rate, onBatch);
    const flop = FMA_THREADS * sizes.fmaIterations * FMA_FLOP_PER_ITERATION;
    return {
      metric: "fp32_cuda_core_tflops",
      method: FMA_METHOD,
      values: rates.map(({ msPerCall }, i) => ((grids[i] ?? 0) * flop) / 1e9 / msPerCall),
      rates,
      isAdditive: true,
    };
  });
}

export function measureHostCopy(
  direction: "h2d" | "d2h",
  { lanes, sizes, rate, onBatch }: FigureTools,
): MeasuredFigure {
  const bytes = sizes.hostCopy;
  const held: { lane: Lane; address: bigint }[] = [];
  try {
    const host = lanes.map((lane) => {
      const address = lane.gpu.allocateHost(bytes);
      held.push({ lane, address });
      onBatch(0);
      return address;
    });
    return withBuffers(lanes, [bytes], (buffers) => {
      const works = lanes.map(({ gpu }, i) => {
        const [there, here] = [buffers[i]?.[0] ?? 0n, host[i] ?? 0n];
        return direction === "h2d"
          ? () => gpu.copyToDevice(there, here, bytes)
          : () => gpu.copyToHost(here, there, bytes);
      });
      const rates = measureRate(lanes, works, rate, onBatch);
      return {
        metric:
          direction === "h2d" ? "host_to_device_bandwidth_gbs" : "device_to_host_bandwidth_gbs",
        method: hostCopyMethod(direction, bytes),
        values: rates.map(({ msPerCall }) => bytes / 1e6 / msPerCall),
        rates,
        isAdditive: true,
      };
    });
  } finally {
    for (const { lane, address } of held) {
      try {
        lane.gpu.freeHost(address);
      } catch {
        // As with the GPU's memory: the first error is the one to tell.
      }
    }
  }
}

export function measureLaunch({ lanes, rate, onBatch }: FigureTools): MeasuredFigure {
  const works = lanes.map((lane) =>
    lane.kernel("empty").bind({ grid: 1, threads: 32, args: [["u64", 0n]] }),
  );
  const rates = measureRate(lanes, works, rate, onBatch);
  return {
    metric: "kernel_launch_overhead_us",
    method: LAUNCH_METHOD,
    values: rates.map(({ msPerCall }) => msPerCall * 1_000),
    rates,
    isAdditive: false,
  };
}
