import type { CallCoordinator, CallerPlace } from "../coordinator/client.ts";
import { joinedTaskOf } from "../coordinator/task-token.ts";
import { toMachine } from "../coordinator/wire/machine.ts";
import type { Refusal, TaskReply } from "../coordinator/wire/protocol.ts";
import type { JoinedTaskWire } from "../coordinator/wire/task.ts";
import type { Database, Meter } from "../db/client.ts";
import { invalid, unauthorized, unavailable } from "../http/errors.ts";
import { type JobTokenFacts, jobTokenOf } from "../identity/job-token.ts";
import type { Tokens } from "../identity/tokens.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, HOUR_MS } from "../lib/clock.ts";
import type { WakeRunners } from "../lobbies/wake.ts";
import type { Candidates } from "./candidates.ts";
import type { Reservation } from "./claim-conditions.ts";
import type { ClaimInput } from "./claim-contract.ts";
import { ask, reserve } from "./claim-store.ts";
import type { ReadFacts } from "./facts-store.ts";
import type { AuthenticatedRunner, RunnerAuth } from "./runner-auth.ts";
import { type Choice, chooseJob, type OpenJob } from "./schedule.ts";

/** Jobs that one claim tries; then the runner has to come back. */
const MAX_TRIES = 8;
const MAX_REMEMBERED = 10_000;

/** A claim by a runner, and what it may use. */
export interface ClaimCall {
  runner: AuthenticatedRunner;
  db: Database;
  meter: Meter;
  place: CallerPlace | undefined;
  /** Goes on after the reply. */
  later: (work: Promise<unknown>) => void;
}

export interface Claimed {
  jobId: number;
  token: string;
  /** The task, as joining a job answers it. */
  task: JoinedTaskWire;
  /** True for a task that the runner had before: its agent was restarted, or two agents use one key. */
  repeated: boolean;
}

interface ClaimsDeps {
  tokens: Tokens;
  clock: Clock;
  runnerAuth: RunnerAuth;
  candidates: Candidates;
  callCoordinator: CallCoordinator;
  wakeRunners: WakeRunners;
}

/** A step of a claim: to ask D1 for the job that the runner has, or to try a job. */
type Next = { kind: "ask" } | (Choice & { facts: ReadFacts });
const ASK: Next = { kind: "ask" };

/**
 * Gives jobs to runners. D1 reserves and the job's object admits, in this order, so that a runner never
 * holds two jobs and a job never has too many nodes:
 *
 * 1. a job that is open as far as D1 knows is reserved in the runner's row, by compare-and-set;
 * 2. the runner joins the job through its object, which alone decides;
 * 3. if the object refuses, the next reservation replaces this one.
 *
 * A claim that is interrupted leaves a reservation, and the next claim continues from it.
 *
 * The runners of a gang job are reserved together, and join once each of them has asked again (`gang-store.ts`).
 */
export class Claims {
  readonly #deps: ClaimsDeps;
  /** Jobs in which a runner has ended its task: still open for other runners. */
  readonly #ended: BoundedCache<true>;

  constructor(deps: ClaimsDeps) {
    this.#deps = deps;
    this.#ended = new BoundedCache({
      maxEntries: MAX_REMEMBERED,
      maxAgeMs: HOUR_MS,
      clock: deps.clock,
    });
  }

  /**
   * The job that the runner now holds; `reserved` while its gang meets; or null. Without an open job: at most one
   * D1 read, shared by all runners that offer the same specs. With an open job: one D1 round trip and one hop, and
   * the same again for every job that turns out to be full. A member of a gang that meets: one D1 round trip.
   */
  async claim(call: ClaimCall, machine: ClaimInput): Promise<Claimed | "reserved" | null> {
    const { runner, db } = call;
    const tried = new Set<number>();
    let finished: number | null = null;
    let hasAsked = false;
    for (let left = MAX_TRIES; left > 0; left--) {
      const isBusy = runner.jobId !== null;
      const choice: Next | null = isBusy ? ASK : await this.#next(call, tried, hasAsked);
      if (choice === null && finished === null) return null;
      const next: Next = choice ?? ASK;
      if (next.kind === "hold") {
        await this.#hold(call, next);
        break;
      }
      hasAsked ||= next.kind === "ask";
      const reservation: Reservation = await this.#reserve(call, next, finished);
      if (!reservation.isRightKey) {
        this.#deps.runnerAuth.forget(runner.uuid);
        throw unauthorized(invalid("runner key"));
      }
      const { job, isNew, isCandidateClosed } = reservation;
      if (next.kind !== "ask") {
        // A gang that could not be reserved is looked at again: the runner may be held for it.
        if (next.kind === "join" || isCandidateClosed) tried.add(next.job.id);
        if (isCandidateClosed) this.#deps.candidates.close(next.job.id);
      }
      // Nothing was reserved, or D1 has only let go of a job: look further.
      if (job === null || job.id === finished) {
        runner.jobId = null;
        if (job === null) finished = null;
        continue;
      }
      runner.jobId = job.id;
      if (job.isWaiting) {
        if (isNew || next.kind === "ask") return "reserved";
        continue;
      }
      const claimed = await this.#take(call, { job, isNew }, machine);
      if (claimed !== null) return claimed;
      runner.jobId = null;
      tried.add(job.id);
      finished = job.id;
    }
    if (finished !== null) await ask(db, runner, finished, this.#deps.clock.now());
    return null;
  }

  /** The next step of an idle runner; `ask` for a member of a gang that meets. */
  async #next(
    { db, runner }: ClaimCall,
    tried: ReadonlySet<number>,
    hasAsked: boolean,
  ): Promise<Next | null> {
    const { candidates, clock } = this.#deps;
    if (runner.specs.length === 0) return null;
    let facts = await candidates.of(db, runner.specs);
    if (!hasAsked && facts.reserved.has(runner.id)) return ASK;
    let hasEnded = false;
    const isOut = (job: OpenJob) => {
      if (tried.has(job.id) || candidates.isClosed(job)) return true;
      const isEnded = this.#ended.get(endedKey(runner, job.id)) === true;
      hasEnded ||= isEnded;
      return isEnded;
    };
    const choose = (): Next | null => {
      const now = clock.now();
      const choice =
        chooseJob(facts, now, (job) => isOut(job) || candidates.isShunned(job)) ??
        chooseJob(facts, now, isOut);
      return choice && { ...choice, facts };
    };
    const choice = choose();
    if (choice !== null || !hasEnded || !facts.isCut) return choice;
    // The jobs that were read are over for this runner, and hide later ones.
    facts = await candidates.of(db, runner.specs, runner.uuid);
    return choose();
  }

  /** Carries out a choice in D1, and keeps the facts of this isolate up to date with it. */
  async #reserve(
    { db, runner, later }: ClaimCall,
    next: Next,
    finished: number | null,
  ): Promise<Reservation> {
    const { candidates, clock } = this.#deps;
    const now = clock.now();
    if (next.kind === "ask") return ask(db, runner, finished, now);
    const { job, facts } = next;
    const hold = (runners: number) =>
      facts.held.set(job.customerId, (facts.held.get(job.customerId) ?? 0) + runners);
    if (next.kind !== "gather") {
      const reservation = await reserve(db, runner, job.id, finished, now);
      if (reservation.isNew) hold(1);
      return reservation;
    }
    const { reserveGang } = await gangs();
    const times = { now, contactAfter: candidates.contactAfter(now) };
    const reservation = await reserveGang(db, runner, job.id, finished, times);
    job.reservedAt = reservation.reservedAt;
    for (const id of reservation.members) facts.reserved.set(id, job.id);
    if (reservation.isNew) {
      hold(reservation.members.length);
      // Those that wait hear of their reservation by this.
      const others = reservation.members.filter((id) => id !== runner.id);
      later(this.#deps.wakeRunners({ uuid: job.spec }, { runners: others }));
    } else facts.pools.set(job.spec, { online: job.wants, ...facts.pools.get(job.spec), idle: 0 });
    return reservation;
  }

  /** Holds the runner for a gang job: it gets nothing. One round trip at the beginning of the job's time. */
  async #hold({ db }: ClaimCall, { job, isNew }: Choice & { kind: "hold" }): Promise<void> {
    if (!isNew) return;
    const { beginHolding } = await gangs();
    job.heldSince = await beginHolding(db, job.id, this.#deps.clock.now());
  }

  /** Joins the runner to a job; null when the job is over for the runner. */
  async #take(
    call: ClaimCall,
    { job, isNew }: { job: JobTokenFacts; isNew: boolean },
    machine: ClaimInput,
  ): Promise<Claimed | null> {
    const reply = await this.#join(call, job, machine);
    if (reply.ok) {
      const { tokenKeyId: keyId, createdAt: from, expiresAt: until } = job;
      const task = joinedTaskOf(this.#deps.tokens, { keyId, from, until }, reply);
      if (task.ended_at === null) {
        const token = jobTokenOf(this.#deps.tokens, job);
        return { jobId: job.id, token, task, repeated: !reply.created };
      }
      this.#ended.set(endedKey(call.runner, job.id), true);
      return null;
    }
    switch (reply.reason) {
      case "full":
      case "ended":
      case "gone":
        this.#deps.candidates.close(job.id);
        return null;
      case "too_many_joins":
        // The limit is per minute, so the job stays open for others. This runner looks elsewhere, unless
        // it may have a live task there.
        if (isNew) return null;
        throw unavailable(reply.retryAfterSeconds, new Error("too many joins of the runner's job"));
      default:
        throw unavailable(2, new Error(`coordinator says ${reply.reason}`));
    }
  }

  async #join(
    { runner, meter, place }: ClaimCall,
    { id: jobId }: JobTokenFacts,
    machine: ClaimInput,
  ): Promise<TaskReply | Refusal> {
    const { callCoordinator, candidates } = this.#deps;
    try {
      return await callCoordinator({ jobId, meter, place }, (coordinator) =>
        coordinator.join(jobId, toMachine(runner.uuid, machine), { isClaim: true }),
      );
    } catch (error) {
      // This runner may have joined, and will ask again; other runners go elsewhere.
      candidates.shun(jobId);
      throw error;
    }
  }
}

/** Loads with the first gang. */
const gangs = () => import("./gang-store.ts");

function endedKey(runner: AuthenticatedRunner, jobId: number): string {
  return `${runner.id}:${jobId}`;
}
