import { createMeter, openDatabase } from "../../db/client.ts";
import { causesOf } from "../../db/errors.ts";
import { type Clock, MINUTE_MS, SECOND_MS } from "../../lib/clock.ts";
import { logEvent } from "../../lib/log.ts";
import { platformFailure } from "../../lib/platform-failure.ts";
import { backoffMs } from "../../lib/retry.ts";
import type { Live } from "../life/model.ts";
import type { CoordinatorStorage } from "../storage/storage.ts";
import type { Projection } from "./projection.ts";

const BACKOFF = { baseMs: 2 * SECOND_MS, capMs: 5 * MINUTE_MS };
/**
 * Shortest time between two flushes: the first of a burst of changes is flushed at once, the others together,
 * so that 256 results within a second are a few batches, not 256.
 */
const PACE_MS = 200;
/** Time until the alarm while the first flush after a change runs. */
const SAFETY_MS = 15 * SECOND_MS;
/** A version that was read from D1 may be this much older than the latest acknowledgement. */
const FRESH_MS = MINUTE_MS;

/**
 * Brings D1 up to date with the object: one flush at a time, repeated while there are changes. It never
 * throws: the alarm, set for `retryAt`, repeats a flush that fails until D1 has acknowledged everything.
 */
export class Flusher {
  readonly #d1: D1Database;
  readonly #storage: CoordinatorStorage;
  readonly #projection: Projection;
  readonly #clock: Clock;
  #running: Promise<void> | null = null;
  /** Time since which D1 lacks changes, ms; 0 for a time before the object woke; null while it lacks none. */
  #behindSince: number | null;
  /** Time of D1's latest acknowledgement since the object woke, ms. */
  #acknowledgedAt = 0;
  #failures = 0;
  /** Events that D1 has acknowledged; an object may forget a job, and get it anew from D1. */
  readonly #knownEvents = new WeakMap<Live, number>();
  /** Start of the last batch, ms; in real time, which tests do not move. */
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(options: {
    d1: D1Database;
    storage: CoordinatorStorage;
    projection: Projection;
    clock: Clock;
    /** The job on disk; null before the object has one. */
    live: Live | null;
  }) {
    this.#d1 = options.d1;
    this.#storage = options.storage;
    this.#projection = options.projection;
    this.#clock = options.clock;
    this.#behindSince = options.live !== null && this.isBehind(options.live) ? 0 : null;
  }

  flush(live: Live): Promise<void> {
    if (this.isBehind(live)) this.#behindSince ??= this.#clock.now();
    this.#running ??= this.#flushUntilCurrent(live).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  /** True while D1 lacks changes. */
  isBehind(live: Live): boolean {
    return live.flushedVersion < live.job.version;
  }

  /** True when D1 has lacked changes for longer than a flush takes: the flush failed or was interrupted. */
  isLate(live: Live): boolean {
    return this.isBehind(live) && this.#clock.now() - (this.#behindSince ?? Infinity) >= SAFETY_MS;
  }

  /**
   * True when D1 has lost changes that it had acknowledged, because the database was restored from a backup.
   * The next flush then sends them again.
   *
   * @param knownVersion the version in D1's row
   */
  hasForgotten(live: Live, knownVersion: number): boolean {
    const isFresh = this.#clock.now() - this.#acknowledgedAt < FRESH_MS;
    if (knownVersion >= live.flushedVersion || isFresh) return false;
    live.flushedVersion = knownVersion;
    this.#knownEvents.delete(live);
    return true;
  }

  /** Time of the next try if the running flush fails, ms; null when D1 lacks nothing. */
  retryAt(live: Live): number | null {
    if (!this.isBehind(live)) return null;
    const delayMs =
      this.#failures === 0 ? SAFETY_MS : BACKOFF.baseMs + backoffMs(this.#failures, BACKOFF);
    return this.#clock.now() + delayMs;
  }

  async #flushUntilCurrent(live: Live): Promise<void> {
    try {
      while (this.isBehind(live)) {
        await this.#keepPace();
        const { writeProjection } = await import("./write-projection.ts");
        const target = live.job.version;
        const changes = this.#projection.since(live, live.flushedVersion);
        const db = openDatabase(this.#d1, createMeter());
        const { jobId } = live.identity;
        const knownEvents = this.#knownEvents.get(live) ?? 0;
        // Each batch is bounded in time, but not all of them together: a slow D1 would never get 16 MiB.
        await writeProjection(db, { jobId, knownEvents, ...changes }, this.#clock.now());
        this.#knownEvents.set(live, changes.job.events.length);
        live.flushedVersion = target;
        this.#storage.setFlushedVersion(target);
        this.#failures = 0;
        this.#acknowledgedAt = this.#clock.now();
      }
      this.#behindSince = null;
    } catch (error) {
      this.#failures++;
      logEvent("warn", "flush_failed", {
        job: live.identity.jobId,
        failure: platformFailure(error)?.kind ?? null,
        causes: causesOf(error),
      });
    }
  }

  async #keepPace(): Promise<void> {
    const wait = this.#lastAt + PACE_MS - performance.now();
    if (wait > 0) await scheduler.wait(Math.min(wait, PACE_MS));
    this.#lastAt = performance.now();
  }
}
