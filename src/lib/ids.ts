import type { Clock } from "./clock.ts";

/** A job owns its id and the 511 numbers after it: one for each task, `job id + 1 + rank`. */
export const JOB_ID_STRIDE = 512;

/** Job ids count milliseconds from here, so that 41 bits of them last until 2093. */
const EPOCH_MS = Date.UTC(2024, 0, 1);

/** Low bits below the millisecond: jobs created in the same millisecond rarely draw the same id. */
const SLOTS_PER_MS = 8;

/** Ids stay ahead of a clock that was set back by at most this much. */
const MAX_AHEAD_MS = 1_000;

/**
 * Draws job ids: multiples of 512 below 2^53, rising within an isolate and with time (docs/contract.md, "HTTP
 * rules").
 */
export class JobIdSource {
  readonly #clock: Clock;
  readonly #random: () => number;
  #last = 0;

  constructor(clock: Clock, random: () => number = Math.random) {
    this.#clock = clock;
    this.#random = random;
  }

  next(): number {
    const sinceEpoch = this.#clock.now() - EPOCH_MS;
    const drawn = sinceEpoch * SLOTS_PER_MS + Math.floor(this.#random() * SLOTS_PER_MS);
    const isAhead = this.#last > drawn + MAX_AHEAD_MS * SLOTS_PER_MS;
    this.#last = isAhead ? drawn : Math.max(this.#last + 1, drawn);
    return this.#last * JOB_ID_STRIDE;
  }
}

/** Time at which a job of this id was created, ms: lists by time go by ids alone. */
export function jobCreatedAt(jobId: number): number {
  return EPOCH_MS + Math.floor(jobId / JOB_ID_STRIDE / SLOTS_PER_MS);
}

/** The lowest id that a job created at this time, in ms, or later can have. */
export function firstJobIdAt(ms: number): number {
  return Math.max(0, Math.ceil(ms - EPOCH_MS) * SLOTS_PER_MS * JOB_ID_STRIDE);
}

/** Task id of the node with this rank (0-based join order). */
export function taskIdOf(jobId: number, rank: number): number {
  return jobId + 1 + rank;
}

/** The job that a task of this id belongs to. */
export function jobIdOf(taskId: number): number {
  return taskId - (taskId % JOB_ID_STRIDE);
}

/** Rank of a task within its job, or null when the id is not one of that job's. */
export function rankOf(jobId: number, taskId: number): number | null {
  const rank = taskId - jobId - 1;
  return Number.isInteger(rank) && rank >= 0 && rank < JOB_ID_STRIDE - 1 ? rank : null;
}

/** The ids that a job's tasks can have, both ends included. */
export function taskIdRange(jobId: number): [first: number, last: number] {
  return [jobId + 1, jobId + JOB_ID_STRIDE - 1];
}
