import type { Database } from "../db/client.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, HOUR_MS, MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import { TimeoutError } from "../lib/platform-failure.ts";
import { withTimeout } from "../lib/retry.ts";
import { findFacts, type ReadFacts } from "./facts-store.ts";
import type { OpenJob } from "./schedule.ts";

/** One read of D1 per set of specs serves all runners for this long. */
export const FRESH_MS = 3 * SECOND_MS;
/** A request waits this long for the read of another, which may have been cut off. */
const SHARED_WAIT_MS = 2 * SECOND_MS;
/** A request waits at most this often, since more reads would not help a slow D1. */
const MAX_WAITS = 2;
/** An unreachable job comes last for this long, so that it does not hold up the others of its spec. */
const SHUNNED_MS = 10 * MINUTE_MS;
const MAX_SETS = 1_000;
const MAX_CLOSED = 10_000;

/** Jobs that wait for nodes, shared by all runners of this isolate that offer the same specs. */
export class Candidates {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  /** Read lately, by set of specs; claims of this isolate keep them up to date. */
  readonly #fresh: BoundedCache<ReadFacts>;
  /** Jobs that are full or ended, of which D1 may not know yet. Closed is final. */
  readonly #closed: BoundedCache<true>;
  readonly #shunned: BoundedCache<true>;
  /** Reads under way, by set of specs. */
  readonly #reading = new Map<string, Promise<ReadFacts>>();

  /** @param timeoutMs a runner out of contact for this long is offline */
  constructor(clock: Clock, timeoutMs: number) {
    this.#clock = clock;
    this.#timeoutMs = timeoutMs;
    this.#fresh = new BoundedCache({ maxEntries: MAX_SETS, maxAgeMs: FRESH_MS, clock });
    this.#closed = new BoundedCache({ maxEntries: MAX_CLOSED, maxAgeMs: HOUR_MS, clock });
    this.#shunned = new BoundedCache({ maxEntries: MAX_CLOSED, maxAgeMs: SHUNNED_MS, clock });
  }

  /**
   * What runners that offer these specs decide from. At most one round trip.
   *
   * @param without leaves out jobs in which the machine of this UUID has a task
   */
  of(db: Database, specs: readonly string[], without?: string): Promise<ReadFacts> {
    return this.#share(db, specs, without);
  }

  /** A runner out of contact since then is offline, ms. */
  contactAfter(now: number): number {
    return now - this.#timeoutMs;
  }

  isClosed({ id }: OpenJob): boolean {
    return this.#closed.get(String(id)) === true;
  }

  isShunned({ id }: OpenJob): boolean {
    return this.#shunned.get(String(id)) === true;
  }

  /** Marks a job that takes no more nodes: this isolate sends no runner there again. */
  close(jobId: number): void {
    this.#closed.set(String(jobId), true);
  }

  /** Marks a job whose object does not answer: this isolate sends runners elsewhere first. */
  shun(jobId: number): void {
    this.#shunned.set(String(jobId), true);
  }

  /** The remembered facts; else one of the simultaneous requests reads, and the others wait for it. */
  async #share(db: Database, specs: readonly string[], without?: string): Promise<ReadFacts> {
    const set = without === undefined ? specs.join() : `${specs.join()} ${without}`;
    for (let waits = 1; ; waits++) {
      const facts = this.#fresh.get(set);
      if (facts !== undefined) return facts;
      const underway = this.#reading.get(set);
      if (underway === undefined) break;
      try {
        return await withTimeout(underway, SHARED_WAIT_MS, "candidates of another request");
      } catch (error) {
        if (!(error instanceof TimeoutError) || waits === MAX_WAITS) throw error;
        // The first request to get here reads anew, and the others wait for it.
        if (this.#reading.get(set) === underway) this.#reading.delete(set);
      }
    }
    const now = this.#clock.now();
    const options = { contactAfter: this.contactAfter(now), without };
    const own = findFacts(db, specs, now, options).then((facts) => {
      this.#fresh.set(set, facts, now);
      return facts;
    });
    this.#reading.set(set, own);
    try {
      return await own;
    } finally {
      if (this.#reading.get(set) === own) this.#reading.delete(set);
    }
  }
}
