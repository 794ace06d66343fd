import { type Clock, MINUTE_MS } from "../lib/clock.ts";

/** A job has at most 256 nodes; more joins than this come from a machine in a loop. */
export const MAX_JOINS_PER_MINUTE = 600;

/**
 * Limits the joins of one job per minute. Counts in memory only, because an object that is called this often
 * stays in memory.
 */
export class JoinLimiter {
  readonly #clock: Clock;
  #windowStart = 0;
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Counts one join. Answers null if it is allowed, else the seconds to wait. */
  take(): number | null {
    const now = this.#clock.now();
    if (now - this.#windowStart >= MINUTE_MS) {
      this.#windowStart = now;
      this.#count = 0;
    }
    if (this.#count >= MAX_JOINS_PER_MINUTE) {
      return Math.ceil((this.#windowStart + MINUTE_MS - now) / 1_000);
    }
    this.#count++;
    return null;
  }
}
