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

/** How a figure is measured. */
export interface Metering {
  rate: RatePlan;
  /** The host's clock, in ms. */
  now: () => number;
  /** With the share of the longest time that has passed. */
  onBatch: (share: number) => void;
}

/** Starts so many calls on each lane; the answer waits for them and tells the device time of each lane, in ms. */
export type StartBatch = (calls: readonly number[]) => () => number[];

/** The host's clock ends a figure, too, whatever the GPU's says. */
function hostLimitMs({ maxMs }: RatePlan): number {
  return 1.5 * maxMs + 1_500;
}

/**
 * Measures the same work on all lanes at once.
 *
 * @param works launches one call on the lane of the same place
 * @param holds launches something long on it, which its calls are queued behind; then only the queue is timed
 */
export function measureRate(
  lanes: readonly Lane[],
  works: readonly (() => void)[],
  metering: Metering,
  holds: readonly (() => void)[] | null = null,
): Rate[] {
  const start: StartBatch = (calls) => {
    // Every lane has its work before any is waited for.
    for (const [i, { gpu, start, end }] of lanes.entries()) {
      holds?.[i]?.();
      gpu.record(start);
      for (let call = 0; call < (calls[i] ?? 0); call++) works[i]?.();
      gpu.record(end);
    }
    return () =>
      lanes.map(({ gpu, start, end }) => {
        gpu.waitFor(end);
        return gpu.elapsedMs(start, end);
      });
  };
  return measureBatches(lanes, start, metering, holds === null);
}

/**
 * @param isWhole batches are all that the lanes do meanwhile, so that the host's clock can vouch for the GPU's
 * @throws when the GPU's clock stands still
 */
export function measureBatches(
  lanes: readonly Lane[],
  start: StartBatch,
  { rate, now, onBatch }: Metering,
  isWhole = true,
): Rate[] {
  const meter = createRateMeter(lanes.length, rate);
  const began = now();
  let elapsedMs = 0;
  for (let calls = meter.next(); calls !== null; calls = meter.next()) {
    const before = now();
    if (before - began > hostLimitMs(rate)) break;
    const wait = start(calls);
    const started = now();
    for (const { telemetry, samples } of lanes) {
      if (telemetry !== null) samples.push(telemetry.sample());
    }
    // A reading may take longer than the batch, as that of nvidia-smi does: the GPUs are idle then.
    const isClocked = isWhole && now() - started <= rate.batchMs / 2;
    const times = wait();
    meter.add(times, isClocked ? now() - before : null);
    elapsedMs += Math.max(...times);
    onBatch(Math.min(1, Math.max(0, elapsedMs) / rate.maxMs));
  }
  const rates = meter.rates();
  if (rates.some(({ samples }) => samples === 0)) {
    const seconds = (hostLimitMs(rate) / 1_000).toFixed(1);
    throw new Error(
      `after ${seconds} s the GPU's clock has counted ${(elapsedMs / 1_000).toFixed(1)} s: no figure can rely on that clock`,
    );
  }
  return rates;
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
