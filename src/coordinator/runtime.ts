import { causesOf } from "../db/errors.ts";
import type { Clock } from "../lib/clock.ts";
import { readConfig } from "../lib/config.ts";
import { logEvent } from "../lib/log.ts";
import { Alarm } from "./alarm.ts";
import { OpenSockets } from "./channel/open-sockets.ts";
import { Followups } from "./followups.ts";
import { decide, type Event, type Outcome } from "./life/lifecycle.ts";
import { isSettled, type Job, type Live, type Node, type Progress } from "./life/model.ts";
import { Flusher } from "./projection/flusher.ts";
import { Projection } from "./projection/projection.ts";
import { Retention } from "./retention.ts";
import { Leases } from "./storage/leases.ts";
import { CoordinatorStorage } from "./storage/storage.ts";
import { Watchers, watchedOf } from "./watchers.ts";
import type { Reconciled, Refusal, Seen, Watched } from "./wire/protocol.ts";

/** Told of each change of a job, after it was written. `before` is the job before the change. */
export type ChangeListener = (live: Live, before: Job) => void;

/**
 * The job in its object, from the first contact until the storage is deleted. It stores and carries out the
 * decisions of `life/lifecycle.ts`: state, results, contact and alarm are written in one synchronous block
 * before any `await`; D1 and the followups come afterwards.
 */
export class JobRuntime {
  readonly storage: CoordinatorStorage;
  readonly sockets: OpenSockets;
  readonly leases: Leases;
  readonly projection: Projection;
  readonly #ctx: DurableObjectState;
  readonly #d1: D1Database;
  readonly #clock: Clock;
  readonly #flusher: Flusher;
  readonly #followups: Followups;
  readonly #retention: Retention;
  readonly #alarm: Alarm;
  readonly #listeners: ChangeListener[] = [];
  readonly #watchers = new Watchers();
  #live: Live | null;
  #loading: Promise<void> | null = null;

  constructor(ctx: DurableObjectState, env: Env, clock: Clock) {
    const { DB: d1 } = env;
    const storage = new CoordinatorStorage(ctx.storage);
    const sockets = new OpenSockets(ctx, clock);
    const { nodeTimeoutMs: leaseMs, socketCheckMs } = readConfig(env);
    const leases = new Leases({ storage, sockets, clock, leaseMs, socketCheckMs });
    const projection = new Projection(storage, leases);
    const live = storage.load();
    const flusher = new Flusher({ d1, storage, projection, clock, live });
    const followups = new Followups({ env, storage, clock });
    this.storage = storage;
    this.sockets = sockets;
    this.leases = leases;
    this.projection = projection;
    this.#ctx = ctx;
    this.#d1 = d1;
    this.#clock = clock;
    this.#flusher = flusher;
    this.#followups = followups;
    this.#retention = new Retention({ d1, clock, flusher, followups });
    this.#alarm = new Alarm(ctx.storage, clock);
    this.#live = live;
    if (live === null) return;
    leases.renewAfterOutage(live);
    // The alarm was set for nodes with sockets, which are looked for more seldom.
    if (leases.hasLostSockets) this.#arm(live);
    // Work that the last instance left undone begins at once; the alarm is set in case it fails again.
    if (flusher.isBehind(live) || followups.isPending()) ctx.waitUntil(this.#flush(live));
  }

  /** The job in memory, taken over from D1 on first contact; a refusal when D1 has no such job or cannot be read. */
  async open(jobId: number): Promise<Live | Refusal> {
    if (this.#live === null) {
      this.#loading ??= this.#takeOver(jobId).finally(() => {
        this.#loading = null;
      });
      try {
        await this.#loading;
      } catch (error) {
        logEvent("warn", "takeover_failed", { job: jobId, causes: causesOf(error) });
        return { ok: false, reason: "unavailable" };
      }
    }
    const live = this.#live;
    if (live === null) return { ok: false, reason: "gone" };
    // The alarm may be a moment late, and no caller may continue after the expiry.
    if (!isSettled(live.job) && this.#clock.now() >= live.job.expiresAt) this.tick(live);
    const watching = this.#alarm.watch(() => this.#arm(live));
    if (watching !== null) this.#ctx.waitUntil(watching);
    return live;
  }

  async #takeOver(jobId: number): Promise<void> {
    const { takeOver } = await import("./projection/handover.ts");
    const live = await takeOver(this.#d1, jobId, this.#clock.now());
    if (live === null) return;
    this.#retention.postpone();
    this.storage.create(live);
    this.#live = live;
    this.#arm(live);
    if (this.#flusher.isBehind(live)) this.#ctx.waitUntil(this.#flush(live));
  }

  /** Everything that is told of the job's changes, such as sockets, is told by this. */
  onChange(listener: ChangeListener): void {
    this.#listeners.push(listener);
  }

  /**
   * Lets the lifecycle decide, and writes its changes together with the alarm. Synchronous: one atomic commit.
   *
   * @param alongside writes more in the same commit, if the event was accepted
   */
  apply(
    live: Live,
    event: Event,
    alongside?: (version: number, rank: number | null) => void,
  ): Outcome {
    const before = live.job;
    const now = this.#clock.now();
    const { job, outcome } = decide(before, event, now);
    if (job === before) return outcome;
    this.#ctx.storage.transactionSync(() => {
      this.storage.saveChanges(before, job);
      // The job may have expired instead of accepting the event.
      if (outcome.ok) alongside?.(job.version, outcome.rank);
      for (const { rank } of job.nodes.slice(before.nodes.length)) this.leases.begin(rank, now);
      if (isSettled(job) && !isSettled(before)) this.#followups.begin();
    });
    live.job = job;
    this.#arm(live);
    this.#wakeWatchers(live);
    this.#ctx.waitUntil(this.#flush(live));
    for (const tell of this.#listeners) tell(live, before);
    return outcome;
  }

  /** Lets the lifecycle see the time that has passed: an alarm may be late. */
  tick(live: Live): void {
    const { leaseMs } = this.leases;
    const lastContacts = this.leases.times();
    const lastNews = this.leases.news();
    const { hearingSince } = live;
    this.apply(live, { type: "tick", lastContacts, lastNews, leaseMs, hearingSince });
  }

  /** Records a call of a node, with the progress it reports. A call brings a lost node back. */
  touch(live: Live, node: Node, progress: Progress = {}, isBySocket = false): void {
    this.leases.renew(live, node, progress, isBySocket);
    if (node.lostAt !== null) this.apply(live, { type: "contact", rank: node.rank });
    this.#wakeWatchers(live);
  }

  /** See `Coordinator`. */
  async watch(jobId: number, seen: Seen, waitMs: number): Promise<Watched | Refusal> {
    const live = await this.open(jobId);
    if ("ok" in live) return live;
    const watched = watchedOf(live, this.leases, seen.events);
    if (seen.mark !== watched.mark || waitMs <= 0) return watched;
    const hasWaited = await this.#watchers.wait(seen.mark, waitMs);
    if (!hasWaited) return { ok: false, reason: "unavailable" };
    return watchedOf(live, this.leases, seen.events);
  }

  #wakeWatchers(live: Live): void {
    this.#watchers.wake(() => watchedOf(live, this.leases, 0).mark);
  }

  /** The alarm: does everything due, then sets the next alarm. Never throws: an alarm that fails a few times is lost. */
  async wake(): Promise<void> {
    this.#alarm.clear();
    const live = this.#live;
    if (live === null) return;
    try {
      this.tick(live);
      await this.#flush(live);
      const review = await this.#retention.review(live);
      if (review === "delete") return await this.#forget();
      if (review === "send_again") await this.#flush(live);
    } catch (error) {
      logEvent("error", "alarm_failed", { job: live.identity.jobId, causes: causesOf(error) });
    }
    // Work that has just ended may have moved the next deadline.
    this.#alarm.setAnew(this.#deadlinesOf(live));
  }

  async #forget(): Promise<void> {
    this.#live = null;
    this.#alarm.clear();
    // In this order: if the object stops in between, the alarm finds nothing to do.
    await this.#ctx.storage.deleteAll();
    await this.#ctx.storage.deleteAlarm();
  }

  /** See `Coordinator`. */
  async reconcile(
    jobId: number,
    knownVersion: number,
    lacksBodies: boolean,
  ): Promise<Reconciled | Refusal> {
    const wasLate = this.#live !== null && this.#flusher.isLate(this.#live);
    const live = await this.open(jobId);
    if ("ok" in live) return live;
    const hasForgotten = this.#flusher.hasForgotten(live, knownVersion);
    this.tick(live);
    if (lacksBodies && isSettled(live.job)) this.#followups.again("bodies");
    this.#alarm.doubt();
    this.#arm(live);
    await this.#flush(live);
    return { ok: true, version: live.job.version, wasBehind: wasLate || hasForgotten };
  }

  /** Sets the alarm for the next deadline. */
  #arm(live: Live): void {
    this.#alarm.setBy(this.#deadlinesOf(live));
  }

  /** Sets the alarm after a socket was opened or closed, also for a later time than before. */
  rearm(live: Live): void {
    this.#alarm.moveTo(this.#deadlinesOf(live));
  }

  #deadlinesOf(live: Live): (number | null)[] {
    return [
      this.leases.deadlineOf(live),
      // Followups wait for D1: until then only the flush is retried.
      this.#flusher.retryAt(live) ?? this.#followups.retryAt(),
      this.#retention.endOf(live),
    ];
  }

  /** Brings D1 up to date, then runs the followups. The alarm repeats what failed. */
  async #flush(live: Live): Promise<void> {
    // A turn of the event loop: sockets are told of a change before the rows for D1 are made.
    if (this.sockets.all().length > 0) await scheduler.wait(0);
    await this.#flusher.flush(live);
    const isKnown = isSettled(live.job) && !this.#flusher.isBehind(live);
    if (isKnown && this.#followups.isPending()) await this.#followups.run(live);
    this.#arm(live);
  }
}
