import { DurableObject } from "cloudflare:workers";
import { randomBytes } from "node:crypto";
import type { Benchmark, JsonObject, ResultContext } from "../benchmarks/benchmark.ts";
import { benchmarkOf } from "../benchmarks/catalogue.ts";
import { isClusterStep, resultKeys, type SequenceStep } from "../benchmarks/sequence.ts";
import { createMeter, openDatabase } from "../db/client.ts";
import type { ErrorDetail } from "../http/errors.ts";
import { toDetails } from "../http/validation.ts";
import { MINUTE_MS, SECOND_MS, systemClock } from "../lib/clock.ts";
import { readConfig } from "../lib/config.ts";
import { rankOf, taskIdOf } from "../lib/ids.ts";
import { backoffMs, withTimeout } from "../lib/retry.ts";
import { JoinLimiter } from "./join-limiter.ts";
import {
  decide,
  type Event,
  isSettled,
  type Job,
  type Machine,
  type Node,
  newJob,
  nextDeadline,
  type Outcome,
} from "./lifecycle.ts";
import { etagOf, type NodeView, toNodeView } from "./node-view.ts";
import { summarizeStep, toJobRecord, toTaskRecord } from "./projection.ts";
import type {
  Coordinator,
  LiveDetail,
  NodeReply,
  Refusal,
  ResultInput,
  ResultReply,
  TaskReply,
  TaskUpdate,
} from "./protocol.ts";
import type { JobRecord, ResultRecord, TaskRecord } from "./records.ts";
import { type Contact, CoordinatorStorage, type Snapshot } from "./storage.ts";
import { type JobRow, takeOver, writeProjection } from "./store.ts";

/** Contact is written at most this often: an object's memory is short, but writes cost (design §4). */
const CONTACT_GRANULARITY_MS = MINUTE_MS;
/** All results of a job together (contract §2, Limits). */
const MAX_RESULT_BYTES = 16 * 1_024 * 1_024;
/** A flush that takes longer is given up and done again from the alarm. */
const FLUSH_TIMEOUT_MS = 20 * SECOND_MS;
const FLUSH_BACKOFF = { baseMs: 2 * SECOND_MS, capMs: 5 * MINUTE_MS };
/** The alarm stands this far ahead while the first flush after a change is on its way. */
const FLUSH_SAFETY_MS = 15 * SECOND_MS;

/**
 * One object per job: who is here, what may start, when it is over. It stores and carries out what
 * `lifecycle.ts` decides. State, results, contact and the alarm are written in one synchronous block
 * before any `await`; D1 follows by `#flush`.
 */
export class JobCoordinator extends DurableObject<Env> implements Coordinator {
  readonly #clock = systemClock;
  readonly #storage: CoordinatorStorage;
  readonly #leaseMs: number;
  readonly #joins = new JoinLimiter(systemClock);
  #live: Snapshot | null;
  #loading: Promise<void> | null = null;
  #flushing: Promise<void> | null = null;
  #flushFailures = 0;
  /** When the alarm is set for; undefined until it is known. */
  #alarmAt: number | null | undefined;
  /** When each node's contact was last written, by rank. */
  readonly #contactWrittenAt: number[];
  /** Summaries of ended cluster steps: they are final, and costly for 256 nodes. */
  readonly #finalSummaries = new Map<number, string | null>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#leaseMs = readConfig(env).nodeTimeoutMs;
    this.#storage = new CoordinatorStorage(ctx.storage);
    this.#live = this.#storage.load();
    const now = this.#clock.now();
    const contacts = this.#live?.contacts ?? [];
    this.#contactWrittenAt = contacts.map((contact) => contact.at);
    // Contact is written up to a minute late: what memory knew and lost gets the benefit of the doubt.
    for (const contact of contacts) contact.at = Math.min(now, contact.at + CONTACT_GRANULARITY_MS);
    // What the last instance left undone is taken up at once; the alarm stands behind it.
    if (this.#live !== null) ctx.waitUntil(this.#flush(this.#live));
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
    const etag = etagOf(view);
    const unchanged = known?.split(",").some((tag) => weak(tag) === weak(etag)) ?? false;
    return {
      ok: true,
      etag,
      pollAfterSeconds: view.poll_after_seconds,
      view: unchanged ? null : JSON.stringify(view),
    };
  }

  async join(jobId: number, machine: Machine): Promise<TaskReply | Refusal> {
    const live = await this.#open(jobId);
    if ("ok" in live) return live;
    const wait = this.#joins.take();
    if (wait !== null) return { ok: false, reason: "too_many_joins", retryAfterSeconds: wait };
    const before = live.job.nodes.length;
    const outcome = this.#apply(live, { type: "join", machine });
    if (!outcome.ok || outcome.rank === null) return refusal(outcome);
    return this.#taskReply(live, outcome.rank, live.job.nodes.length > before);
  }

  /** Progress of the running step, or the node's word that it will do no more. */
  async heartbeat(jobId: number, taskId: number, update: TaskUpdate): Promise<TaskReply | Refusal> {
    const live = await this.#open(jobId);
    if ("ok" in live) return live;
    if (isSettled(live.job)) return { ok: false, reason: "ended" };
    const node = this.#nodeOf(live, taskId);
    if (node === undefined) return { ok: false, reason: "task_unknown" };
    this.#touch(live, node.rank, update);
    if (update.giveUp !== undefined) {
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
      if (stored !== input.hash) return { ok: false, reason: "slot_taken" };
      return this.#resultReply(live, node.rank, step);
    }
    if (isSettled(live.job)) return { ok: false, reason: "ended" };
    if (node.steps[position]?.state !== "running") {
      this.#touch(live, node.rank);
      return { ok: false, reason: "not_ready" };
    }
    const accepted = this.#acceptResult(live, node, position, step, input);
    return accepted.ok ? this.#resultReply(live, node.rank, step) : accepted;
  }

  async detail(jobId: number): Promise<LiveDetail | Refusal> {
    const live = await this.#open(jobId);
    if ("ok" in live) return live;
    const versions = this.#storage.nodeVersions();
    return {
      ok: true,
      job: this.#jobRecord(live),
      tasks: live.job.nodes.map((node) => this.#taskRecord(live, node, versions[node.rank] ?? 0)),
      results: this.#storage.results().map((result) => this.#resultRecord(live, result)),
    };
  }

  async abort(jobId: number): Promise<{ ok: true; job: JobRecord } | Refusal> {
    const live = await this.#open(jobId);
    if ("ok" in live) return live;
    const outcome = this.#apply(live, { type: "abort" });
    return outcome.ok ? { ok: true, job: this.#jobRecord(live) } : refusal(outcome);
  }

  /** Does everything that is due, then arms the next alarm. Never throws: a thrown alarm is lost after a few tries. */
  override async alarm(): Promise<void> {
    this.#alarmAt = null;
    const live = this.#live;
    if (live === null) return;
    try {
      this.#tick(live);
      await this.#flush(live);
    } catch (error) {
      console.error(
        JSON.stringify({ level: "error", job: live.identity.jobId, alarm: String(error) }),
      );
    }
    this.#arm(live);
  }

  /** The job in memory, taken over from D1 on first contact; a refusal when D1 has none or cannot say. */
  async #open(jobId: number): Promise<Snapshot | Refusal> {
    if (this.#live === null) {
      this.#loading ??= this.#takeOver(jobId).finally(() => {
        this.#loading = null;
      });
      try {
        await this.#loading;
      } catch (error) {
        console.warn(JSON.stringify({ level: "warn", job: jobId, takeover: String(error) }));
        return { ok: false, reason: "unavailable" };
      }
    }
    const live = this.#live;
    if (live === null) return { ok: false, reason: "gone" };
    // The alarm may be a moment late: nobody is told to go on after the end.
    if (!isSettled(live.job) && this.#clock.now() >= live.job.expiresAt) this.#tick(live);
    return live;
  }

  async #takeOver(jobId: number): Promise<void> {
    const db = openDatabase(this.env.DB, createMeter());
    const found = await takeOver(db, jobId, this.#clock.now());
    if (found === null) return;
    const snapshot = toSnapshot(found.row, found.owned);
    this.#storage.create(snapshot);
    this.#live = snapshot;
    this.#arm(snapshot);
  }

  #tick(live: Snapshot): void {
    const lastContacts = live.contacts.map((contact) => contact.at);
    this.#apply(live, { type: "tick", lastContacts, leaseMs: this.#leaseMs });
  }

  /** Decides, and writes what changed together with the alarm. Synchronous: one atomic commit. */
  #apply(live: Snapshot, event: Event, alongside?: (version: number) => void): Outcome {
    const before = live.job;
    const now = this.#clock.now();
    const { job, outcome } = decide(before, event, now);
    if (job === before) return outcome;
    this.ctx.storage.transactionSync(() => {
      this.#storage.saveChanges(before, job);
      alongside?.(job.version);
      for (const node of job.nodes.slice(before.nodes.length)) {
        this.#saveContact(live, node.rank, { at: now, progress: 0, message: null });
      }
    });
    live.job = job;
    this.#arm(live);
    this.ctx.waitUntil(this.#flush(live));
    return outcome;
  }

  #acceptResult(
    live: Snapshot,
    node: Node,
    position: number,
    step: SequenceStep,
    input: ResultInput,
  ): Outcome | Refusal {
    const { rank } = node;
    const benchmark = benchmarkOf(step.benchmark_id);
    const read = readResults(benchmark, input.results, { rank, nodeCount: live.job.nodeCount });
    if (!read.ok) return read;
    const { results } = read;
    const text = results === null ? null : JSON.stringify(results);
    if (text !== null && this.#storage.resultBytes() + byteLength(text) > MAX_RESULT_BYTES) {
      return { ok: false, reason: "too_large" };
    }
    const { state, startedAt, endedAt, errorMessage } = input;
    const event: Event = {
      type: "result",
      rank,
      position,
      state,
      startedAt,
      endedAt,
      errorMessage,
    };
    const outcome = this.#apply(live, event, (version) => {
      const slot = { rank, position, hash: input.hash, results: text, version };
      this.#storage.saveResult(slot, results === null ? null : benchmark.digest(results));
      this.#saveContact(live, rank, { at: this.#clock.now(), progress: 0, message: null });
    });
    return outcome.ok ? outcome : refusal(outcome);
  }

  /** Records a sign of life: in memory always, on disk at most once a minute or when the node says something. */
  #touch(live: Snapshot, rank: number, said: { progress?: number; message?: string } = {}): void {
    const now = this.#clock.now();
    const node = live.job.nodes[rank];
    const contact = live.contacts[rank];
    if (node === undefined || contact === undefined || isSettled(live.job)) return;
    const next: Contact = {
      at: now,
      progress: said.progress ?? contact.progress,
      message: said.message ?? contact.message,
    };
    const news = next.progress !== contact.progress || next.message !== contact.message;
    const writtenAt = this.#contactWrittenAt[rank] ?? 0;
    if (news || now - writtenAt >= CONTACT_GRANULARITY_MS) this.#saveContact(live, rank, next);
    else live.contacts[rank] = next;
    if (node.lostAt !== null) this.#apply(live, { type: "contact", rank });
  }

  #saveContact(live: Snapshot, rank: number, contact: Contact): void {
    live.contacts[rank] = contact;
    this.#contactWrittenAt[rank] = contact.at;
    this.#storage.saveContact(rank, contact);
  }

  /** Sets the alarm to the earliest deadline. An alarm that stands earlier is left: it re-arms when it fires. */
  #arm(live: Snapshot): void {
    const now = this.#clock.now();
    const lastContacts = live.contacts.map((contact) => contact.at);
    const deadline = nextDeadline(live.job, lastContacts, this.#leaseMs);
    const flushAt = live.flushedVersion < live.job.version ? now + this.#flushDelayMs() : null;
    const due = [deadline, flushAt].filter((at) => at !== null);
    if (due.length === 0) return;
    const at = Math.min(...due);
    if (this.#alarmAt !== null && this.#alarmAt !== undefined && this.#alarmAt <= at) return;
    this.#alarmAt = at;
    // Part of the same commit as the writes before it: there is no `await` between them.
    void this.ctx.storage.setAlarm(at);
  }

  #flushDelayMs(): number {
    if (this.#flushFailures === 0) return FLUSH_SAFETY_MS;
    return FLUSH_BACKOFF.baseMs + backoffMs(this.#flushFailures, FLUSH_BACKOFF);
  }

  /** Brings D1 up to date; one at a time, again while there is news. Failures are left to the alarm. */
  #flush(live: Snapshot): Promise<void> {
    this.#flushing ??= this.#flushUntilCurrent(live).finally(() => {
      this.#flushing = null;
    });
    return this.#flushing;
  }

  async #flushUntilCurrent(live: Snapshot): Promise<void> {
    try {
      while (live.flushedVersion < live.job.version) {
        const target = live.job.version;
        const write = writeProjection(
          openDatabase(this.env.DB, createMeter()),
          this.#changesSince(live, live.flushedVersion),
          this.#clock.now(),
        );
        await withTimeout(write, FLUSH_TIMEOUT_MS, "flush");
        live.flushedVersion = target;
        this.#storage.setFlushedVersion(target);
        this.#flushFailures = 0;
      }
    } catch (error) {
      this.#flushFailures++;
      const { jobId } = live.identity;
      console.warn(JSON.stringify({ level: "warn", job: jobId, flush: String(error) }));
      this.#arm(live);
    }
  }

  #changesSince(live: Snapshot, flushed: number) {
    const versions = this.#storage.nodeVersions();
    return {
      jobId: live.identity.jobId,
      job: this.#jobRecord(live),
      tasks: live.job.nodes
        .filter((node) => (versions[node.rank] ?? 0) > flushed)
        .map((node) => this.#taskRecord(live, node, versions[node.rank] ?? 0)),
      results: this.#storage
        .results({ newerThan: flushed })
        .map((result) => this.#resultRecord(live, result)),
    };
  }

  #jobRecord(live: Snapshot): JobRecord {
    return toJobRecord(live.job, (position) => this.#summary(live, position));
  }

  #summary(live: Snapshot, position: number): string | null {
    const known = this.#finalSummaries.get(position);
    if (known !== undefined) return known;
    const summary = summarizeStep(
      live.identity,
      live.job,
      position,
      this.#storage.digests(position),
    );
    if (live.job.steps[position]?.endedAt !== null) this.#finalSummaries.set(position, summary);
    return summary;
  }

  #taskRecord(live: Snapshot, node: Node, version: number): TaskRecord {
    return toTaskRecord(live.identity, node, live.contacts[node.rank], version);
  }

  #resultRecord(
    live: Snapshot,
    result: { rank: number; position: number; results: string },
  ): ResultRecord {
    const { rank, position, results } = result;
    return { taskId: taskIdOf(live.identity.jobId, rank), position, results };
  }

  #nodeOf(live: Snapshot, taskId: number): Node | undefined {
    const rank = rankOf(live.identity.jobId, taskId);
    return rank === null ? undefined : live.job.nodes[rank];
  }

  #view(live: Snapshot, rank: number | null): NodeView {
    const node = rank === null ? null : (live.job.nodes[rank] ?? null);
    const contact = rank === null ? undefined : live.contacts[rank];
    return toNodeView(live.identity, live.job, node, contact, Math.random);
  }

  #taskReply(live: Snapshot, rank: number, created: boolean): TaskReply {
    const view = this.#view(live, rank);
    return {
      ok: true,
      etag: etagOf(view),
      pollAfterSeconds: view.poll_after_seconds,
      task: JSON.stringify({ ...view.task, poll_after_seconds: view.poll_after_seconds }),
      created,
    };
  }

  #resultReply(live: Snapshot, rank: number, step: SequenceStep): ResultReply {
    return { ok: true, etag: etagOf(this.#view(live, rank)), benchmarkId: step.benchmark_id };
  }
}

/** Validates and normalises by the benchmark's schema, then by the rules that need the sender's rank. */
function readResults(
  benchmark: Benchmark,
  text: string | null,
  context: ResultContext,
): { ok: true; results: JsonObject | null } | Extract<Refusal, { reason: "result_invalid" }> {
  if (text === null) return { ok: true, results: null };
  const refuse = (details: ErrorDetail[]) => {
    const prefixed = details.map(({ field, message }) => ({ field: `results.${field}`, message }));
    return { ok: false, reason: "result_invalid", details: prefixed } as const;
  };
  const parsed = benchmark.result.safeParse(JSON.parse(text));
  if (!parsed.success) return refuse(toDetails(parsed.error.issues).slice(0, 20));
  const fault = benchmark.checkResult(parsed.data, context);
  return fault === null ? { ok: true, results: parsed.data } : refuse([fault]);
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).byteLength;
}

/** If-None-Match compares weakly (RFC 9110 §13.1.2). */
function weak(tag: string): string {
  return tag.trim().replace(/^W\//, "");
}

function refusal(outcome: Outcome): Refusal {
  if (outcome.ok) throw new Error("An accepted outcome is no refusal");
  return outcome;
}

/** A job as D1 hands it over. One that ended there is kept as it ended, so that late callers cost no D1 read. */
function toSnapshot(row: JobRow, owned: boolean): Snapshot {
  // Written by the jobs service with JSON.stringify.
  const sequence: SequenceStep[] = JSON.parse(row.sequence);
  const keys = resultKeys(sequence);
  const fresh = newJob({
    nodeCount: row.nodeCount,
    plan: sequence.map((step, at) => ({ key: keys[at] ?? "", cluster: isClusterStep(step) })),
    expiresAt: row.expiresAt,
  });
  const ended: Partial<Job> = owned
    ? {}
    : {
        state: row.deletedAt === null ? (row.state as Job["state"]) : "aborted",
        endedAt: row.endedAt ?? row.deletedAt ?? row.expiresAt,
      };
  return {
    identity: {
      jobId: row.id,
      name: row.name,
      sequence,
      createdAt: row.createdAt,
      peerKey: randomBytes(32).toString("hex"),
    },
    job: { ...fresh, ...ended, version: row.version },
    contacts: [],
    flushedVersion: row.version,
  };
}
