/**
 * Arrivals of an open-loop client: requests come when they are scheduled, answered or not, as those of many machines do.
 * A latency counts from the scheduled time, so a server that stalls is not spared the requests that pile up behind it.
 */
import { createChance } from "../seed-random.ts";

/** Times of arrivals, ms from the start, with gaps of a Poisson process; the same for the same seed. */
export function arrivals(count: number, perSecond: number, seed: number): number[] {
  if (!(perSecond > 0)) throw new RangeError("a schedule needs a rate above 0");
  const chance = createChance(seed);
  let at = 0;
  return Array.from({ length: count }, () => {
    // 1 − next() is never 0.
    at += (-Math.log(1 - chance.next()) / perSecond) * 1_000;
    return at;
  });
}

export interface Latencies {
  p50: number;
  p95: number;
  p99: number;
}

/** Percentiles of latencies, ms: the smallest value that so many per cent do not exceed. */
export function latenciesOf(values: readonly number[]): Latencies {
  if (values.length === 0) throw new RangeError("no latencies");
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? 0;
  return { p50: at(0.5), p95: at(0.95), p99: at(0.99) };
}

/**
 * Sends requests at their scheduled times.
 *
 * @param send sends the request of that number and waits for its reply
 * @returns latencies from the scheduled times, ms, and how late the last request was sent: a client that cannot keep its own
 * schedule measures itself
 */
export async function runSchedule(
  times: readonly number[],
  send: (index: number) => Promise<void>,
  clock: SchedulingClock = REAL,
): Promise<{ latencies: number[]; maxLateMs: number }> {
  const start = clock.now();
  const pending: Promise<number>[] = [];
  let maxLateMs = 0;
  for (const [index, time] of times.entries()) {
    const wait = start + time - clock.now();
    if (wait > 0) await clock.sleep(wait);
    maxLateMs = Math.max(maxLateMs, clock.now() - start - time);
    pending.push(send(index).then(() => clock.now() - start - time));
  }
  return { latencies: await Promise.all(pending), maxLateMs };
}

export interface SchedulingClock {
  /** ms */
  now(): number;
  sleep(ms: number): Promise<void>;
}

const REAL: SchedulingClock = {
  now: () => performance.now(),
  sleep: (ms) => new Promise((done) => setTimeout(done, ms)),
};
