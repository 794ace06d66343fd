/** The figures of one run, each on all GPUs at once; matrix products are in products.ts. */
import { CudaError } from "./driver.ts";
import { type Lane, type Metering, measureRate, withBuffers } from "./lanes.ts";
import { copyMethod, FMA_METHOD, hostCopyMethod, LAUNCH_METHOD } from "./methods.ts";
import type { Sizes } from "./plan.ts";
import { COPY_GRANULE, COPY_THREADS, FMA_FLOP_PER_ITERATION, FMA_THREADS } from "./ptx.ts";
import type { MeasuredFigure } from "./results.ts";

export interface FigureTools extends Metering {
  lanes: readonly Lane[];
  sizes: Sizes;
}

/** Left for what the driver itself allocates. */
const RESERVED_BYTES = 512 * 2 ** 20;
/** @throws when no size fits into the memory of every GPU */
export function measureMemory(tools: FigureTools): MeasuredFigure {
  const { lanes, sizes } = tools;
  const free = Math.min(...lanes.map(({ gpu }) => gpu.freeMemory()));
  const fitting = sizes.copy.filter((size) => 2 * size + RESERVED_BYTES <= free);
  for (const [i, bytes] of fitting.entries()) {
    try {
      return copies(bytes, tools);
    } catch (error) {
      // Free memory may be in pieces, or somebody else's by now.
      const isLast = i === fitting.length - 1;
      if (isLast || !(error instanceof CudaError && error.isOutOfMemory)) throw error;
    }
  }
  throw new Error(`only ${Math.floor(free / 2 ** 20)} MiB of GPU memory are free`);
}

function copies(bytes: number, tools: FigureTools): MeasuredFigure {
  const { lanes, sizes } = tools;
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
    const rates = measureRate(lanes, works, tools);
    return {
      metric: "memory_bandwidth_gbs",
      method: copyMethod(bytes),
      values: rates.map(({ msPerCall }) => (2 * bytes) / 1e6 / msPerCall),
      rates,
      isAdditive: true,
    };
  });
}

export function measureFp32(tools: FigureTools): MeasuredFigure {
  const { lanes, sizes } = tools;
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
    const rates = measureRate(lanes, works, tools);
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

export function measureHostCopy(direction: "h2d" | "d2h", tools: FigureTools): MeasuredFigure {
  const { lanes, sizes, onBatch } = tools;
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
      const rates = measureRate(lanes, works, tools);
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

/** Of launches that are queued already: a kernel holds the GPU until the host has queued them all. */
export function measureLaunch(tools: FigureTools): MeasuredFigure {
  const { lanes, sizes } = tools;
  const works = lanes.map((lane) =>
    lane.kernel("empty").bind({ grid: 1, threads: 32, args: [["u64", 0n]] }),
  );
  return withBuffers(lanes, [4_096], (buffers) => {
    const holds = lanes.map((lane, i) =>
      lane.kernel("fma_f32").bind({
        grid: 1,
        threads: FMA_THREADS,
        args: [
          ["u64", buffers[i]?.[0] ?? 0n],
          ["u32", sizes.holdIterations],
        ],
      }),
    );
    const rates = measureRate(lanes, works, tools, holds);
    return {
      metric: "kernel_launch_overhead_us",
      method: LAUNCH_METHOD,
      values: rates.map(({ msPerCall }) => msPerCall * 1_000),
      rates,
      isAdditive: false,
    };
  });
}
