import { type Clock, MINUTE_MS } from "../lib/clock.ts";

/** A job takes 256 nodes; more than this a minute is a loop gone wild (design §5). */
export const MAX_JOINS_PER_MINUTE = 600;

/**
 * Counts joins of one job in windows of a minute. In memory only: an object that is asked this often
 * does not lose it.
 */
export class JoinLimiter {
  readonly #clock: Clock;
  #windowStart = 0;
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Null when the join may go on, else the seconds to wait. */
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
