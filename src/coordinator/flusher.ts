import { createMeter, openDatabase } from "../db/client.ts";
import { causesOf } from "../db/errors.ts";
import { type Clock, MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import { platformFailure } from "../lib/platform-failure.ts";
import { backoffMs } from "../lib/retry.ts";
import type { Projection } from "./projection.ts";
import type { CoordinatorStorage, Live } from "./storage.ts";
import { writeProjection } from "./store.ts";

const BACKOFF = { baseMs: 2 * SECOND_MS, capMs: 5 * MINUTE_MS };
/**
 * Of a burst of changes the first is flushed at once, the others together: 256 results within a second
 * are a few batches, not 256.
 */
const PACE_MS = 200;
/** The alarm stands this far ahead while the first flush after a change is on its way. */
const SAFETY_MS = 15 * SECOND_MS;
/** Whoever says what D1 knew before may have read it before this. */
const FRESH_MS = MINUTE_MS;

/**
 * Brings D1 up to date with the object: one flush at a time, again while there is news. It never
 * throws: what fails is left to the alarm, which stands at `retryAt` until D1 has acknowledged all.
 */
export class Flusher {
  readonly #d1: D1Database;
  readonly #storage: CoordinatorStorage;
  readonly #projection: Projection;
  readonly #clock: Clock;
  #running: Promise<void> | null = null;
  /** Since when D1 lacks something, ms; 0 for longer than this object is awake; null when it does not. */
  #behindSince: number | null;
  /** When D1 last acknowledged something to this object since it woke. */
  #acknowledgedAt = 0;
  #failures = 0;
  /** When the last flush began; in real time, which tests do not move. */
  #lastAt = Number.NEGATIVE_INFINITY;

  constructor(options: {
    d1: D1Database;
    storage: CoordinatorStorage;
    projection: Projection;
    clock: Clock;
    /** As it was found on disk; null when there is none yet. */
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

  /** Whether D1 does not know everything yet. */
  isBehind(live: Live): boolean {
    return live.flushedVersion < live.job.version;
  }

  /** Whether D1 lacks something for longer than a flush takes: it failed, or was broken off. */
  isLate(live: Live): boolean {
    return this.isBehind(live) && this.#clock.now() - (this.#behindSince ?? Infinity) >= SAFETY_MS;
  }

  /**
   * D1 may have forgotten what it has acknowledged: its row says an older version, after a database was
   * restored from a backup. From then on it is told again. Answers whether that is so.
   */
  hasForgotten(live: Live, knownVersion: number): boolean {
    const isFresh = this.#clock.now() - this.#acknowledgedAt < FRESH_MS;
    if (knownVersion >= live.flushedVersion || isFresh) return false;
    live.flushedVersion = knownVersion;
    return true;
  }

  /** When to flush next if the flush under way does not succeed, ms; null when D1 knows everything. */
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
        const target = live.job.version;
        const changes = this.#projection.since(live, live.flushedVersion);
        const db = openDatabase(this.#d1, createMeter());
        const { jobId } = live.identity;
        // Each batch is bounded in time; all of them are not, or a slow D1 would never get 16 MiB.
        await writeProjection(db, { jobId, ...changes }, this.#clock.now());
        live.flushedVersion = target;
        this.#storage.setFlushedVersion(target);
        this.#failures = 0;
        this.#acknowledgedAt = this.#clock.now();
      }
      this.#behindSince = null;
    } catch (error) {
      this.#failures++;
      const failure = platformFailure(error)?.kind ?? null;
      const line = { level: "warn", job: live.identity.jobId, failure, flush: causesOf(error) };
      console.warn(JSON.stringify(line));
    }
  }

  async #keepPace(): Promise<void> {
    const wait = this.#lastAt + PACE_MS - performance.now();
    if (wait > 0) await scheduler.wait(Math.min(wait, PACE_MS));
    this.#lastAt = performance.now();
  }
}
