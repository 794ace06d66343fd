import { DurableObject } from "cloudflare:workers";
import { benchmarkOf } from "../benchmarks/catalogue.ts";
import type { SequenceStep } from "../benchmarks/sequence.ts";
import { createMeter, openDatabase } from "../db/client.ts";
import { causesOf } from "../db/errors.ts";
import { matchesEntityTag } from "../http/entity-tag.ts";
import { DAY_MS, HOUR_MS, SECOND_MS, systemClock } from "../lib/clock.ts";
import { readConfig } from "../lib/config.ts";
import { rankOf } from "../lib/ids.ts";
import { Aftermath } from "./aftermath.ts";
import { AlarmKeeper } from "./alarm-keeper.ts";
import { ContactBook, type Said } from "./contact-book.ts";
import { Flusher } from "./flusher.ts";
import { toLive } from "./handover.ts";
import { JoinLimiter } from "./join-limiter.ts";
import { decide, type Event, type Outcome } from "./lifecycle.ts";
import {
  hasEnded,
  isSettled,
  type Machine,
  type Node,
  nextDeadline,
  wholeMachine,
} from "./model.ts";
import { etagOf, type NodeView, toNodeView } from "./node-view.ts";
import { Projection } from "./projection.ts";
import type {
  Coordinator,
  LiveDetail,
  LiveTask,
  NodeReply,
  Reconciled,
  Refusal,
  ResultInput,
  ResultReply,
  TaskReply,
  TaskUpdate,
} from "./protocol.ts";
import type { JobRecord } from "./records.ts";
import { readResults } from "./results.ts";
import { CoordinatorStorage, type Live } from "./storage.ts";
import { takeOver, versionOf } from "./store.ts";

/** A deadline missed by more was missed because nobody was there: the platform's alarms are not so late. */
const OUTAGE_MS = 30 * SECOND_MS;
/** An object forgets its job so long after the job's expiry (design §3.11). */
const KEPT_MS = DAY_MS;

/** All results of a job together (contract §2, Limits). */
const MAX_RESULT_BYTES = 16 * 1_024 * 1_024;

/**
 * One object per job: who is here, what may start, when it is over. It stores and carries out what
 * `lifecycle.ts` decides. State, results, contact and the alarm are written in one synchronous block
 * before any `await`; D1 follows by `#flush`.
 */
export class JobCoordinator extends DurableObject<Env> implements Coordinator {
  readonly #clock = systemClock;
  readonly #leaseMs: number;
  readonly #storage: CoordinatorStorage;
  readonly #contacts: ContactBook;
  readonly #projection: Projection;
  readonly #flusher: Flusher;
  readonly #aftermath: Aftermath;
  readonly #alarm: AlarmKeeper;
  readonly #joins = new JoinLimiter(systemClock);
  #live: Live | null;
  #loading: Promise<void> | null = null;
  /** D1 could not be asked whether it knows all: no earlier than this again, ms. */
  #forgetNotBefore = 0;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const storage = new CoordinatorStorage(ctx.storage);
    this.#leaseMs = readConfig(env).nodeTimeoutMs;
    this.#storage = storage;
    this.#alarm = new AlarmKeeper(ctx.storage, this.#clock);
    this.#contacts = new ContactBook(storage, this.#clock.now());
    this.#projection = new Projection(storage, this.#contacts);
    const { DB: d1 } = env;
    const live = storage.load();
    this.#live = live;
    const projection = this.#projection;
    this.#flusher = new Flusher({ d1, storage, projection, clock: this.#clock, live });
    this.#aftermath = new Aftermath({ env, storage, clock: this.#clock });
    if (live === null) return;
    this.#noticeOutage(live);
    // What the last instance left undone is taken up at once; the alarm stands behind it.
    if (this.#flusher.isBehind(live) || this.#aftermath.isPending())
      ctx.waitUntil(this.#flush(live));
  }

  /** A poll. Counts as contact; `known` is the validator that the caller holds. */
  async poll(
    jobId: number,
    taskId: number | null,
    known: string | null,
  ): Promise<NodeReply | Refusal> {
    const live = await this.#open(jobId);
    if ("ok" in live) return live;
    const node = taskId === null ? null : this.#nodeOf(live, taskId);
    // Any caller of an ended job is told to stop, also one that the job no longer knows.
    if (node === undefined && !isSettled(live.job)) return { ok: false, reason: "task_unknown" };
    if (node) this.#touch(live, node.rank);
    const view = this.#view(live, node?.rank ?? null);
    if (node && view.directive === "stop") this.#contacts.tellToStop(node.rank);
    const etag = etagOf(view);
    return {
      ok: true,
      etag,
      pollAfterSeconds: view.poll_after_seconds,
      view: matchesEntityTag(known, etag) ? null : JSON.stringify(view),
    };
  }

  async join(jobId: number, machine: Machine): Promise<TaskReply | Refusal> {
    const live = await this.#open(jobId);
    if ("ok" in live) return live;
    const wait = this.#joins.take();
    if (wait !== null) return { ok: false, reason: "too_many_joins", retryAfterSeconds: wait };
    const before = live.job.nodes.length;
    const known = live.job.nodes.find((node) => node.machine.machineUuid === machine.machineUuid);
    // Before it may come back by this call: its lease begins anew.
    if (known !== undefined) this.#hear(live, known, {});
    const outcome = this.#apply(live, { type: "join", machine: wholeMachine(machine) });
    if (!outcome.ok || outcome.rank === null) return refusal(outcome);
    return this.#taskReply(live, outcome.rank, live.job.nodes.length > before);
  }

  /** Progress of the running step, or the node's word that it will do no more. */
  async heartbeat(jobId: number, taskId: number, update: TaskUpdate): Promise<TaskReply | Refusal> {
    const live = await this.#open(jobId);
    if ("ok" in live) return live;
    const node = this.#nodeOf(live, taskId);
    if (isSettled(live.job)) return this.#ended(node);
    if (node === undefined) return { ok: false, reason: "task_unknown" };
    if (update.giveUp === undefined) {
      this.#touch(live, node.rank, update);
    } else {
      // A lost node comes back and gives up in one: no step is started for it in between.
      this.#hear(live, node, update);
      const event: Event = { type: "give_up", rank: node.rank, message: update.giveUp };
      const outcome = this.#apply(live, event);
      if (!outcome.ok) return refusal(outcome);
    }
    return this.#taskReply(live, node.rank, false);
  }

  /** The result of one step. Exactly once: the same body again gets the same reply. */
  async putResult(
    jobId: number,
    taskId: number,
    position: number,
    input: ResultInput,
  ): Promise<ResultReply | Refusal> {
    const live = await this.#open(jobId);
    if ("ok" in live) return live;
    const node = this.#nodeOf(live, taskId);
    if (node === undefined)
      return { ok: false, reason: isSettled(live.job) ? "ended" : "task_unknown" };
    const step = live.identity.sequence[position];
    if (step === undefined) {
      return { ok: false, reason: "position_invalid", positions: live.identity.sequence.length };
    }
    const stored = this.#storage.resultHash(node.rank, position);
    if (stored !== null) {
      this.#touch(live, node.rank);
      if (stored !== input.hash) return { ok: false, reason: "slot_taken" };
      return this.#resultReply(live, node.rank, step);
    }
    if (isSettled(live.job)) return this.#ended(node);
    if (node.steps[position]?.state !== "running") {
      this.#touch(live, node.rank);
      return { ok: false, reason: "not_ready" };
    }
    const accepted = this.#acceptResult(live, node, position, step, input);
    return accepted.ok ? this.#resultReply(live, node.rank, step) : accepted;
  }

  async detail(jobId: number): Promise<LiveDetail | Refusal> {
    const live = await this.#open(jobId);
    return "ok" in live ? live : { ok: true, ...this.#projection.since(live, -1) };
  }

  async task(jobId: number, taskId: number): Promise<LiveTask | Refusal> {
    const live = await this.#open(jobId);
    if ("ok" in live) return live;
    const node = this.#nodeOf(live, taskId);
    return node === undefined
      ? { ok: false, reason: "task_unknown" }
      : { ok: true, ...this.#projection.task(live, node) };
  }

  async abort(jobId: number): Promise<{ ok: true; job: JobRecord } | Refusal> {
    const live = await this.#open(jobId);
    if ("ok" in live) return live;
    const outcome = this.#apply(live, { type: "abort" });
    return outcome.ok ? { ok: true, job: this.#projection.job(live) } : refusal(outcome);
  }

  async prepareDeletion(
    jobId: number,
  ): Promise<{ ok: true; requiresAgentStop: boolean } | Refusal> {
    const live = await this.#open(jobId);
    if ("ok" in live) return live;
    const outcome = this.#apply(live, { type: "delete" });
    if (!outcome.ok) return refusal(outcome);
    const heardAfter = this.#clock.now() - this.#leaseMs;
    return { ok: true, requiresAgentStop: this.#contacts.hasAgentAtWork(heardAfter) };
  }

  /** Cron asks: whatever was lost on the way between this object, its alarm and D1 is made good. */
  async reconcile(jobId: number, knownVersion: number): Promise<Reconciled | Refusal> {
    const wasLate = this.#live !== null && this.#flusher.isLate(this.#live);
    const live = await this.#open(jobId);
    if ("ok" in live) return live;
    const hasForgotten = this.#flusher.hasForgotten(live, knownVersion);
    this.#tick(live);
    this.#alarm.doubt();
    this.#arm(live);
    await this.#flush(live);
    return { ok: true, version: live.job.version, wasBehind: wasLate || hasForgotten };
  }

  /** Does everything that is due, then arms the next alarm. Never throws: a thrown alarm is lost after a few tries. */
  override async alarm(): Promise<void> {
    this.#alarm.clear();
    const live = this.#live;
    if (live === null) return;
    try {
      this.#tick(live);
      await this.#flush(live);
      const forgetAt = this.#forgetAt(live);
      if (forgetAt !== null && this.#clock.now() >= forgetAt && (await this.#forget(live))) return;
    } catch (error) {
      console.error(
        JSON.stringify({ level: "error", job: live.identity.jobId, alarm: causesOf(error) }),
      );
    }
    // Whatever was set on the way: what is due next may be later than that.
    this.#alarm.clear();
    this.#arm(live);
  }

  /** The job in memory, taken over from D1 on first contact; a refusal when D1 has none or cannot say. */
  async #open(jobId: number): Promise<Live | Refusal> {
    if (this.#live === null) {
      this.#loading ??= this.#takeOver(jobId).finally(() => {
        this.#loading = null;
      });
      try {
        await this.#loading;
      } catch (error) {
        console.warn(JSON.stringify({ level: "warn", job: jobId, takeover: causesOf(error) }));
        return { ok: false, reason: "unavailable" };
      }
    }
    const live = this.#live;
    if (live === null) return { ok: false, reason: "gone" };
    // The alarm may be a moment late: nobody is told to go on after the end.
    if (!isSettled(live.job) && this.#clock.now() >= live.job.expiresAt) this.#tick(live);
    const watching = this.#alarm.watch(() => this.#arm(live));
    if (watching !== null) this.ctx.waitUntil(watching);
    return live;
  }

  async #takeOver(jobId: number): Promise<void> {
    const db = openDatabase(this.env.DB, createMeter());
    const now = this.#clock.now();
    const found = await takeOver(db, jobId, now);
    if (found === null) return;
    const live = toLive(found.row, found.owned, now);
    // Forgotten before: the next ones to ask within the hour find it here.
    this.#forgetNotBefore = now + HOUR_MS;
    this.#storage.create(live);
    this.#live = live;
    this.#arm(live);
    if (this.#flusher.isBehind(live)) this.ctx.waitUntil(this.#flush(live));
  }

  #tick(live: Live): void {
    const lastContacts = this.#contacts.times();
    const { hearingSince } = live;
    this.#apply(live, { type: "tick", lastContacts, leaseMs: this.#leaseMs, hearingSince });
  }

  /**
   * An object sleeps until its alarm. One that wakes long after it was due was kept from waking, and its
   * nodes from being heard: nobody is lost for that, all have a lease from now on.
   */
  #noticeOutage(live: Live): void {
    const now = this.#clock.now();
    const due = nextDeadline(live.job, this.#contacts.times(), this.#leaseMs, live.hearingSince);
    if (due === null || now - due < OUTAGE_MS) return;
    live.hearingSince = now;
    this.#storage.setHearingSince(now);
  }

  /** When everything of this job may be deleted here, ms; null while something of it is still to be done. */
  #forgetAt(live: Live): number | null {
    if (!isSettled(live.job) || this.#flusher.isBehind(live)) return null;
    if (this.#aftermath.isPending()) return null;
    return Math.max(live.job.expiresAt + KEPT_MS, this.#forgetNotBefore);
  }

  /**
   * Deletes everything here, if D1 knows all of it; answers whether it did. Who asks later is answered from
   * D1's row, where the job has ended: it never lives again.
   */
  async #forget(live: Live): Promise<boolean> {
    this.#forgetNotBefore = this.#clock.now() + HOUR_MS;
    const db = openDatabase(this.env.DB, createMeter());
    const known = await versionOf(db, live.identity.jobId);
    if (known !== null && known < live.job.version) {
      live.flushedVersion = known;
      await this.#flush(live);
      return false;
    }
    this.#live = null;
    this.#alarm.clear();
    // In this order: broken off in between, the alarm finds nothing to do.
    await this.ctx.storage.deleteAll();
    await this.ctx.storage.deleteAlarm();
    return true;
  }

  /** Decides, and writes what changed together with the alarm. Synchronous: one atomic commit. */
  #apply(live: Live, event: Event, alongside?: (version: number) => void): Outcome {
    const before = live.job;
    const now = this.#clock.now();
    const { job, outcome } = decide(before, event, now);
    if (job === before) return outcome;
    this.ctx.storage.transactionSync(() => {
      this.#storage.saveChanges(before, job);
      // The job may have expired instead of taking what came with the event.
      if (outcome.ok) alongside?.(job.version);
      for (const node of job.nodes.slice(before.nodes.length)) {
        this.#contacts.begin(node.rank, now);
      }
      if (isSettled(job) && !isSettled(before)) this.#aftermath.begin();
    });
    live.job = job;
    this.#arm(live);
    this.ctx.waitUntil(this.#flush(live));
    return outcome;
  }

  #acceptResult(
    live: Live,
    node: Node,
    position: number,
    step: SequenceStep,
    input: ResultInput,
  ): Outcome | Refusal {
    const { rank } = node;
    const context = { rank, nodeCount: live.job.nodeCount, state: input.state };
    const checked = readResults(benchmarkOf(step.benchmark_id), input.results, context);
    if (!checked.ok) return checked;
    const { read } = checked;
    if (read !== null && this.#storage.resultBytes() + read.bytes > MAX_RESULT_BYTES) {
      return { ok: false, reason: "job_too_large" };
    }
    const { state, startedAt, endedAt, errorMessage, hash } = input;
    const ended = { rank, position, state, startedAt, endedAt, errorMessage };
    const outcome = this.#apply(live, { type: "result", ...ended }, (version) => {
      const slot = { rank, position, hash, results: read?.text ?? null, version };
      this.#storage.saveResult(slot, read?.digest ?? null);
      this.#contacts.begin(rank, this.#clock.now());
    });
    return outcome.ok ? outcome : refusal(outcome);
  }

  /** A sign of life, and what the node says with it. One that was lost lives again. */
  #touch(live: Live, rank: number, said: Said = {}): void {
    const node = live.job.nodes[rank];
    if (node === undefined) return;
    this.#hear(live, node, said);
    if (node.lostAt !== null) this.#apply(live, { type: "contact", rank });
  }

  #hear(live: Live, node: Node, said: Said): void {
    if (isSettled(live.job)) return;
    // A node that has ended its steps may still be heard, but has nothing more to say of them.
    this.#contacts.touch(node.rank, hasEnded(node) ? {} : said, this.#clock.now());
  }

  /** What a node hears that calls after the end: the refusal tells it to stop. */
  #ended(node: Node | undefined): Refusal {
    if (node !== undefined) this.#contacts.tellToStop(node.rank);
    return { ok: false, reason: "ended" };
  }

  /** Sees to it that this object wakes for whatever is due next. */
  #arm(live: Live): void {
    const times = this.#contacts.times();
    const deadline = nextDeadline(live.job, times, this.#leaseMs, live.hearingSince);
    this.#alarm.setBy([
      deadline,
      // The aftermath waits for D1: until then only the flush is retried.
      this.#flusher.retryAt(live) ?? this.#aftermath.retryAt(),
      this.#forgetAt(live),
    ]);
  }

  /** Tells D1 what it does not know yet, then does what follows the end. What fails is left to the alarm. */
  async #flush(live: Live): Promise<void> {
    await this.#flusher.flush(live);
    const isKnown = isSettled(live.job) && !this.#flusher.isBehind(live);
    if (isKnown && this.#aftermath.isPending()) await this.#aftermath.run(live);
    this.#arm(live);
  }

  #nodeOf(live: Live, taskId: number): Node | undefined {
    const rank = rankOf(live.identity.jobId, taskId);
    return rank === null ? undefined : live.job.nodes[rank];
  }

  #view(live: Live, rank: number | null): NodeView {
    const node = rank === null ? null : (live.job.nodes[rank] ?? null);
    const contact = rank === null ? undefined : this.#contacts.of(rank);
    return toNodeView(live.identity, live.job, node, contact, Math.random);
  }

  #taskReply(live: Live, rank: number, created: boolean): TaskReply {
    const view = this.#view(live, rank);
    return {
      ok: true,
      etag: etagOf(view),
      pollAfterSeconds: view.poll_after_seconds,
      task: JSON.stringify({ ...view.task, poll_after_seconds: view.poll_after_seconds }),
      created,
    };
  }

  #resultReply(live: Live, rank: number, step: SequenceStep): ResultReply {
    return { ok: true, etag: etagOf(this.#view(live, rank)), benchmarkId: step.benchmark_id };
  }
}

function refusal(outcome: Outcome): Refusal {
  if (outcome.ok) throw new Error("An accepted outcome is no refusal");
  return outcome;
}
