import type { CallCoordinator, CallerPlace } from "../coordinator/client.ts";
import { toMachine } from "../coordinator/machine-schemas.ts";
import type { Refusal, TaskReply } from "../coordinator/protocol.ts";
import type { Database, Meter } from "../db/client.ts";
import { unauthorized, unavailable } from "../http/errors.ts";
import { type JobTokenFacts, jobTokenOf } from "../identity/job-token.ts";
import type { Tokens } from "../identity/tokens.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, HOUR_MS } from "../lib/clock.ts";
import type { Candidates } from "./candidates.ts";
import { reserve } from "./claim-store.ts";
import type { Keyring, KnownRunner } from "./keyring.ts";
import type { ClaimInput } from "./schemas.ts";

/** A claim tries this many jobs; then the runner is told to come back. */
const MAX_TRIES = 8;
const MAX_REMEMBERED = 10_000;

/** A claim by one runner. */
export interface ClaimCall {
  runner: KnownRunner;
  db: Database;
  meter: Meter;
  place: CallerPlace | undefined;
}

export interface Claimed {
  jobId: number;
  token: string;
  /** As joining answers it. */
  task: TaskWire;
  /** The runner had this task before: its agent was restarted, or there are two of them. */
  repeated: boolean;
}

/** What is read of the task that the coordinator answers; it is passed on as it is. */
interface TaskWire {
  ended_at: string | null;
}

interface ClaimsDeps {
  tokens: Tokens;
  clock: Clock;
  keyring: Keyring;
  candidates: Candidates;
  callCoordinator: CallCoordinator;
}

export type Claims = ReturnType<typeof createClaims>;

/**
 * How runners come to jobs. D1 reserves and the job's object admits, in this order, so that a runner never
 * holds two jobs and a job never more nodes than it wants:
 *
 * 1. a job that D1 may know to be open is reserved in the runner's row, by compare-and-set;
 * 2. the runner joins it through its object, which alone decides;
 * 3. refused, the reservation is let go with the next one.
 *
 * Whoever breaks off between these leaves a reservation: the next claim finds it and goes on from there.
 */
export function createClaims({ tokens, clock, keyring, candidates, callCoordinator }: ClaimsDeps) {
  /** Jobs in which a runner has ended its task: open for others, not for this one. */
  const ended = new BoundedCache<true>({
    ...{ maxEntries: MAX_REMEMBERED, maxAgeMs: HOUR_MS },
    clock,
  });
  const endedKey = (runner: KnownRunner, jobId: number) => `${runner.id}:${jobId}`;

  const firstOpen = async ({ db, runner }: ClaimCall, tried: ReadonlySet<number>) => {
    const open = await candidates.of(db, runner.specs);
    return open.find((id) => !tried.has(id) && !ended.get(endedKey(runner, id))) ?? null;
  };

  const join = async (
    { runner, meter, place }: ClaimCall,
    { id: jobId }: JobTokenFacts,
    said: ClaimInput,
  ): Promise<TaskReply | Refusal> => {
    try {
      return await callCoordinator({ jobId, meter, place }, (coordinator) =>
        coordinator.join(jobId, toMachine(runner.uuid, said)),
      );
    } catch (error) {
      // This runner may have joined, and asks again; the others go elsewhere.
      candidates.shun(jobId);
      throw error;
    }
  };

  /** The runner's place in a job, or null where it has none: the job is over for it. */
  const take = async (
    call: ClaimCall,
    { job, isNew }: { job: JobTokenFacts; isNew: boolean },
    said: ClaimInput,
  ): Promise<Claimed | null> => {
    const reply = await join(call, job, said);
    if (reply.ok) {
      const task: TaskWire = JSON.parse(reply.task);
      if (task.ended_at === null) {
        const token = await jobTokenOf(tokens, job);
        return { jobId: job.id, token, task, repeated: !reply.created };
      }
      ended.set(endedKey(call.runner, job.id), true);
      return null;
    }
    switch (reply.reason) {
      case "full":
      case "ended":
      case "gone":
        candidates.close(job.id);
        return null;
      case "too_many_joins":
        // Of this minute alone: others may be sent there, and this runner looks elsewhere, unless it may
        // have a live task there.
        if (isNew) return null;
        throw unavailable(reply.retryAfterSeconds, new Error("too many joins of the runner's job"));
      default:
        throw unavailable(2, new Error(`coordinator says ${reply.reason}`));
    }
  };

  return {
    /**
     * The job that is the runner's now, or null. Without a job for it: at most one D1 read, which it shares
     * with all who offer the same specs. With one: one D1 round trip and one hop, and as much again for
     * every job that turns out to be full.
     */
    async claim(call: ClaimCall, said: ClaimInput): Promise<Claimed | null> {
      const { runner, db } = call;
      const tried = new Set<number>();
      let finished: number | null = null;
      for (let left = MAX_TRIES; left > 0; left--) {
        const isBusy = runner.jobId !== null;
        const wanted = isBusy ? null : await firstOpen(call, tried);
        if (!isBusy && wanted === null && finished === null) return null;
        const hold = await reserve(db, runner, wanted, finished, clock.now());
        if (hold === "wrong_key") {
          keyring.forget(runner.uuid);
          throw unauthorized();
        }
        const { job, isNew, isWantedClosed } = hold;
        if (wanted !== null) {
          tried.add(wanted);
          if (isWantedClosed) candidates.close(wanted);
        }
        // Nothing to be had, or D1 has only let go: look further.
        if (job === null || job.id === finished) {
          runner.jobId = null;
          if (job === null) finished = null;
          continue;
        }
        runner.jobId = job.id;
        const claimed = await take(call, { job, isNew }, said);
        if (claimed !== null) return claimed;
        runner.jobId = null;
        tried.add(job.id);
        finished = job.id;
      }
      if (finished !== null) await reserve(db, runner, null, finished, clock.now());
      return null;
    },
  };
}
