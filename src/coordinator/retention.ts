import { type Clock, DAY_MS, HOUR_MS } from "../lib/clock.ts";
import type { Followups } from "./followups.ts";
import { isSettled, type Live } from "./life/model.ts";
import type { Flusher } from "./projection/flusher.ts";

/** The object deletes its storage this long after the job's expiry. */
const KEPT_MS = DAY_MS;
/** Pause after the handover from D1, and after each query for D1's version. */
const PAUSE_MS = HOUR_MS;

/**
 * Decides when the object may delete its storage: long after the job's end, once D1 has all of it. Later
 * callers are answered from D1's row, in which the job has ended, so it never starts again.
 */
export class Retention {
  readonly #d1: D1Database;
  readonly #clock: Clock;
  readonly #flusher: Flusher;
  readonly #followups: Followups;
  /** Earliest time of the deletion, ms. */
  #notBefore = 0;

  constructor(options: { d1: D1Database; clock: Clock; flusher: Flusher; followups: Followups }) {
    this.#d1 = options.d1;
    this.#clock = options.clock;
    this.#flusher = options.flusher;
    this.#followups = options.followups;
  }

  /** Keeps the storage for an hour: a job that was just taken over may have more late callers. */
  postpone(): void {
    this.#notBefore = this.#clock.now() + PAUSE_MS;
  }

  /** Time from which the storage may be deleted, ms; null while work on the job is left. */
  endOf(live: Live): number | null {
    if (!isSettled(live.job) || this.#flusher.isBehind(live)) return null;
    if (this.#followups.isPending()) return null;
    return Math.max(live.job.expiresAt + KEPT_MS, this.#notBefore);
  }

  /**
   * Once the storage has been kept long enough, compares D1's version of the job with the object's, at most
   * once an hour. Answers `send_again` when D1 has lost changes: the next flush sends them.
   */
  async review(live: Live): Promise<"keep" | "send_again" | "delete"> {
    const end = this.endOf(live);
    if (end === null || this.#clock.now() < end) return "keep";
    this.postpone();
    const { versionInD1 } = await import("./projection/handover.ts");
    const version = await versionInD1(this.#d1, live.identity.jobId);
    if (version === null || version >= live.job.version) return "delete";
    live.flushedVersion = version;
    return "send_again";
  }
}
