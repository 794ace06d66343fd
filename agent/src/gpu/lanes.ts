/** All GPUs at work at once: each has its context, its stream, two events and its readings. */
import type { Driver, EventHandle, Gpu, Kernel } from "./driver.ts";
import { basicModule } from "./ptx.ts";
import { createRateMeter, type Rate, type RatePlan } from "./rate.ts";
import type { GpuTelemetry, Sample, Telemetry } from "./telemetry.ts";

export interface Lane {
  index: number;
  gpu: Gpu;
  telemetry: GpuTelemetry | null;
  kernel: (name: string) => Kernel;
  start: EventHandle;
  end: EventHandle;
  /** Readings under load, of all figures. */
  samples: Sample[];
}

/** @param onOpened called after each GPU: contexts and compilation take seconds */
export function openLanes(
  driver: Driver,
  telemetry: Telemetry | null,
  onOpened: (index: number) => void,
): Lane[] {
  return driver.gpus.map(({ busId }, index) => {
    const gpu = driver.open(index);
    const lane = {
      index,
      gpu,
      telemetry: telemetry?.gpu(busId) ?? null,
      kernel: gpu.load(basicModule()),
      start: gpu.createEvent(),
      end: gpu.createEvent(),
      samples: [],
    };
    onOpened(index);
    return lane;
  });
}

/**
 * Measures the same work on all lanes at once.
 *
 * @param works launches one call on the lane of the same place
 * @param onBatch with the share of the longest time that has passed
 */
export function measureRate(
  lanes: readonly Lane[],
  works: readonly (() => void)[],
  plan: RatePlan,
  onBatch: (share: number) => void,
): Rate[] {
  const meter = createRateMeter(lanes.length, plan);
  let elapsedMs = 0;
  for (let calls = meter.next(); calls !== null; calls = meter.next()) {
    // Every lane has its work before any is waited for.
    for (const [i, { gpu, start, end }] of lanes.entries()) {
      gpu.record(start);
      for (let call = 0; call < (calls[i] ?? 0); call++) works[i]?.();
      gpu.record(end);
    }
    for (const { telemetry, samples } of lanes) {
      if (telemetry !== null) samples.push(telemetry.sample());
    }
    const times = lanes.map(({ gpu, start, end }) => {
      gpu.waitFor(end);
      return gpu.elapsedMs(start, end);
    });
    meter.add(times);
    elapsedMs += Math.max(...times);
    onBatch(Math.min(1, elapsedMs / plan.maxMs));
  }
  return meter.rates();
}

/** Holds memory of all lanes while `use` runs: of each lane one buffer of every size. */
export function withBuffers<Result>(
  lanes: readonly Lane[],
  sizes: readonly number[],
  use: (buffers: bigint[][]) => Result,
): Result {
  const held: { gpu: Gpu; address: bigint }[] = [];
  try {
    const buffers = lanes.map(({ gpu }) =>
      sizes.map((bytes) => {
        const address = gpu.allocate(bytes);
        held.push({ gpu, address });
        return address;
      }),
    );
    return use(buffers);
  } finally {
    for (const { gpu, address } of held) {
      try {
        gpu.free(address);
      } catch {
        // The context may be lost; the error that lost it is the one to tell.
      }
    }
  }
}
