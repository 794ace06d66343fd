/**
 * From times of batches to a rate that can be repeated: warm up by device time, then batches until the last ones agree or
 * the time is up. Pure: it says how many calls the next batch has, and is told how long they took.
 */

export interface RatePlan {
  /** Device time before anything counts, since clocks fall once a GPU is warm. */
  warmMs: number;
  /** Device time of a batch: long enough for the events' resolution, short enough for many. */
  batchMs: number;
  /** So many of the last batches must agree, and are the figure. */
  window: number;
  /** Largest less smallest of them, over their median. */
  tolerance: number;
  /** Device time of the whole, warm-up included. It is passed by one batch at most. */
  maxMs: number;
  /** A launch costs the host some microseconds: more in a batch would take longer to queue than to wait for. */
  maxCalls: number;
  /** Against a device whose clock stands still. */
  maxBatches: number;
}

export const RATE: RatePlan = {
  warmMs: 500,
  batchMs: 80,
  window: 12,
  tolerance: 0.02,
  maxMs: 3_000,
  // The driver queues about a thousand; the next launch waits for the first to end.
  maxCalls: 4_096,
  maxBatches: 400,
};

const MAX_GROWTH = 16;
/** So many times longer than the GPU a batch may keep the host, as long as it is short. */
const HOST_OVERHEAD = 4;
/** Events tell half a microsecond. */
const LEAST_MS = 0.0005;

export interface Rate {
  /** Device time of one call: the median of the last batches. */
  msPerCall: number;
  settled: boolean;
  /** 90th less 10th percentile of all batches, over their median. */
  spread: number;
  /** The last batches' median over that of the first, less 1: above 0 means that it became slower. */
  drift: number;
  /** Batches after the warm-up. */
  samples: number;
  callsPerSample: number;
  /** Device time of all samples. */
  deviceMs: number;
  /** Of the batches whose host time is known; null if it is of none. */
  clockShare: ClockShare | null;
}

/** Device time of batches over the host's time for them. */
export interface ClockShare {
  own: number;
  /** Of the lane that was busy the longest: the host waits for that one. */
  slowest: number;
}

export interface RateMeter {
  /** Calls of the next batch for each lane; null when the figure is there. */
  next(): readonly number[] | null;
  /**
   * @param times device time of that batch for each lane, in ms
   * @param hostMs what the host's clock says of the whole batch; null if that is no measure of it
   */
  add(times: readonly number[], hostMs: number | null): void;
  /** Of each lane. Without a batch after the warm-up its numbers are NaN. */
  rates(): Rate[];
}

interface Lane {
  calls: number;
  /** Time per call of each batch after the warm-up. */
  series: number[];
  /** Of those batches together. */
  deviceMs: number;
  /** Of those whose host time is known. */
  clockedMs: number;
}

/** @param count lanes (GPUs) that work at once; they go on until all have settled */
export function createRateMeter(count: number, plan: RatePlan = RATE): RateMeter {
  const lanes: Lane[] = Array.from({ length: count }, () => ({
    calls: 1,
    series: [],
    deviceMs: 0,
    clockedMs: 0,
  }));
  /** Of the same batches; null without one. */
  let hostTotalMs: number | null = null;
  let elapsedMs = 0;
  let batches = 0;

  /** The slowest lane's time is that of the batch. */
  function isDone(): boolean {
    const measured = lanes[0]?.series.length ?? 0;
    return (
      measured > 0 &&
      (elapsedMs >= plan.maxMs ||
        batches >= plan.maxBatches ||
        lanes.every(({ series }) => agree(series)))
    );
  }

  function agree(series: readonly number[]): boolean {
    const last = series.slice(-plan.window);
    return (
      last.length === plan.window &&
      (Math.max(...last) - Math.min(...last)) / median(last) <= plan.tolerance
    );
  }

  return {
    next: () => (isDone() ? null : lanes.map(({ calls }) => calls)),

    add(times, hostMs) {
      if (times.length !== count) throw new RangeError(`times of ${count} lanes are needed`);
      // The first calls load code and raise clocks: they only tell how many make a batch.
      const isWarm = (elapsedMs >= plan.warmMs && batches >= 2) || batches >= plan.maxBatches / 2;
      for (const [i, lane] of lanes.entries()) {
        const perCall = readTime(times[i]) / lane.calls;
        if (isWarm) {
          lane.series.push(perCall);
          lane.deviceMs += readTime(times[i]);
          if (hostMs !== null) lane.clockedMs += readTime(times[i]);
        } else {
          // By steps, so that one reading that is far too short makes no batch of minutes.
          const most = Math.min(plan.maxCalls, lane.calls * MAX_GROWTH);
          // A clock that stands still must not make one either.
          const least = (hostMs ?? 0) / lane.calls / HOST_OVERHEAD;
          const wanted = Math.round(plan.batchMs / Math.max(perCall, least));
          lane.calls = Math.max(1, Math.min(most, wanted));
        }
      }
      if (isWarm && hostMs !== null) hostTotalMs = (hostTotalMs ?? 0) + hostMs;
      elapsedMs += Math.max(...times.map(readTime));
      batches += 1;
    },

    rates() {
      const longestMs = Math.max(...lanes.map(({ clockedMs }) => clockedMs));
      return lanes.map(({ calls, series, deviceMs, clockedMs }) => {
        const msPerCall = median(series.slice(-plan.window));
        return {
          msPerCall,
          settled: agree(series),
          spread: (quantile(series, 0.9) - quantile(series, 0.1)) / median(series),
          drift: msPerCall / median(series.slice(0, plan.window)) - 1,
          samples: series.length,
          callsPerSample: calls,
          deviceMs,
          clockShare:
            hostTotalMs === null
              ? null
              : { own: clockedMs / hostTotalMs, slowest: longestMs / hostTotalMs },
        };
      });
    },
  };
}

/** Some GPU is at work for all but the queueing of a batch, and none for longer than the batch takes. */
const CLOCK_SHARES = { least: 0.5, most: 1.03 } as const;

/** What is wrong with a GPU whose events and the host's clock tell different times; null if they agree. */
export function clockFault({ clockShare }: Rate): string | null {
  if (clockShare === null) return null;
  const { own, slowest } = clockShare;
  const { least, most } = CLOCK_SHARES;
  if (own <= most && slowest >= least) return null;
  return `the GPU's clock counted ${(own <= most ? slowest : own).toPrecision(2)} s in a second of the host's: do not trust this figure`;
}

/** A time that no device can have needed would make a rate of infinity. */
function readTime(ms: number | undefined): number {
  if (ms === undefined || !Number.isFinite(ms)) throw new RangeError(`${ms} is no time of a batch`);
  return Math.max(ms, LEAST_MS);
}

/** NaN of nothing. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const low = sorted[Math.floor(place)] ?? Number.NaN;
  const high = sorted[Math.ceil(place)] ?? Number.NaN;
  return low + (high - low) * (place - Math.floor(place));
}
