import type { JobState } from "../../lib/enums.ts";
import type { JsonFault } from "../../lib/exact-json.ts";
import type { FieldFault } from "../../lib/faults.ts";
import type { JobEvent } from "../../lib/stored-json.ts";
import type { Joiner } from "../life/access.ts";
import type { Progress } from "../life/model.ts";
import type { JobRecord, JobRecords, TaskRecord } from "../projection/records.ts";
import type { StoredBody } from "../storage/storage.ts";
import type { SentMachine } from "./machine.ts";

/** Expected refusals cross the RPC as values, never as exceptions. */
export type Refusal =
  /** D1 could not be read; the caller may try again. */
  | { ok: false; reason: "unavailable" }
  | {
      ok: false;
      reason:
        | "gone"
        | "ended"
        | "full"
        | "not_abortable"
        | "not_deletable"
        | "changed"
        | "task_unknown";
    }
  | { ok: false; reason: "too_many_joins" | "machine_in_use"; retryAfterSeconds: number }
  /** The job is for runners; the call has no token of its task; it has another one. */
  | { ok: false; reason: "claims_only" | "token_missing" | "token_wrong" }
  | { ok: false; reason: "position_invalid"; positions: number }
  | { ok: false; reason: "not_ready" | "slot_taken" | "result_too_large" | "job_too_large" }
  /** Of a job without an account. */
  | { ok: false; reason: "anonymous_too_large"; what: string; kib: number }
  | { ok: false; reason: "body_invalid"; fault: JsonFault }
  | { ok: false; reason: "result_invalid"; details: FieldFault[] };

/** The reply to a poll: the view, or only its validator if the caller has that view already. */
export interface NodeReply {
  ok: true;
  etag: string;
  pollAfterSeconds: number;
  /** JSON of `NodeView`; null when the caller sent this `etag`. */
  view: string | null;
  /** True for a node of a settled job; `view` is never null then, since the verdict may be new. */
  isSettled?: boolean;
}

export interface TaskReply {
  ok: true;
  etag: string;
  pollAfterSeconds: number;
  /** JSON of the task, with `poll_after_seconds`. */
  task: string;
  created: boolean;
  /** Number of the task's token, from which the Worker derives it; null for a node without one. */
  epoch: number | null;
}

/** The end of a step, by its node's own clock (ms). */
export interface StepEnd {
  state: "completed" | "failed";
  startedAt: number;
  endedAt: number;
  errorMessage: string | null;
  /** How far that clock is ahead of the server's, ms; null if the node does not say. */
  clockSkewMs: number | null;
}

export interface ResultReply {
  ok: true;
  etag: string;
  benchmarkId: string;
  /** As it was sent. */
  end: StepEnd;
}

/** A job that its object holds, for its owner. */
export interface LiveDetail extends JobRecords {
  ok: true;
  /** The bytes of the results. */
  bodies: ReadableStream<Uint8Array>;
}

/** One node of a job that its object holds, for the job's owner. */
export interface LiveTask {
  ok: true;
  task: TaskRecord;
  /** The bytes of its results by position, then of its inventory. */
  bodies: ReadableStream<Uint8Array>;
}

/** What a caller that watches a job has seen of it. */
export interface Seen {
  /** See `markOf`; null for nothing. */
  mark: string | null;
  /** Number of events. */
  events: number;
}

/** A job that its object holds, for those who watch it. */
export interface Watched {
  ok: true;
  mark: string;
  state: JobState;
  endedAt: number | null;
  /** Those that the caller has not seen. */
  events: readonly JobEvent[];
  /** By rank. */
  nodes: readonly { rank: number; progress: number; message: string | null }[];
}

/** A heartbeat. */
export interface TaskUpdate extends Progress {
  /** The node's reason to stop working on the job. */
  giveUp?: string;
}

/**
 * The calls that a job's object answers. Every call is safe to repeat when its reply was lost.
 *
 * During a deployment a Worker talks to objects of the version before or after its own, so a method keeps its
 * name and the meaning of its arguments for ever. New arguments come last and are optional; the receiver
 * accepts missing arguments and ignores unknown ones. A call of a method that an older object lacks fails (503).
 */
export interface Coordinator {
  /**
   * A node's poll, which counts as contact, or that of a caller that has not joined (`taskId` null).
   *
   * @param validator the ETag of the view that the caller has
   * @param epoch of the caller's task token, see `speaksFor`; also in the other calls of a node
   */
  poll(
    jobId: number,
    taskId: number | null,
    validator: string | null,
    epoch?: number | null,
  ): Promise<NodeReply | Refusal>;
  join(jobId: number, machine: SentMachine, by?: Joiner): Promise<TaskReply | Refusal>;
  /** Progress of the running step, or the node's notice that it gives up. */
  heartbeat(
    jobId: number,
    taskId: number,
    update: TaskUpdate,
    epoch?: number | null,
  ): Promise<TaskReply | Refusal>;
  /**
   * Stores the result of one step, exactly once: the same body again gets the same reply.
   *
   * @param body the text of the request's body, which the object alone parses
   */
  putResult(
    jobId: number,
    taskId: number,
    position: number,
    body: string,
    epoch?: number | null,
  ): Promise<ResultReply | Refusal>;
  /** @param part which results come with it: all by rank and position, or those of cluster steps by position and rank */
  detail(jobId: number, part?: "results" | "cluster"): Promise<LiveDetail | Refusal>;
  /** One node of the job; `detail` can be large. */
  task(jobId: number, taskId: number): Promise<LiveTask | Refusal>;
  /** The bytes of some bodies, in the order of `wanted`. */
  bodies(
    jobId: number,
    wanted: readonly StoredBody[],
  ): Promise<{ ok: true; bodies: ReadableStream<Uint8Array> } | Refusal>;
  /**
   * Opens a socket of the node channel. The URL's `job` is the job.
   *
   * @returns 101 with the socket, or a `Refusal` as JSON
   */
  fetch(request: Request): Promise<Response>;
  /** Waits until the job differs from what the caller has seen, for at most `waitMs`. Is not retried. */
  watch(jobId: number, seen: Seen, waitMs: number): Promise<Watched | Refusal>;
  abort(jobId: number): Promise<{ ok: true; job: JobRecord } | Refusal>;
  /**
   * Ends a job that nobody has joined, so that it can be deleted in D1; refused while nodes are at work.
   * `requiresAgentStop` is true while a node in contact has not been told to stop.
   *
   * @param version refused as `changed` in another version than this
   */
  prepareDeletion(
    jobId: number,
    version?: number,
  ): Promise<{ ok: true; requiresAgentStop: boolean } | Refusal>;
  /**
   * Called by cron: does everything due, sets a lost alarm again, and writes to D1 what it lacks or has lost.
   *
   * @param knownVersion the version in D1's row
   * @param lacksBodies D1 does not know the settled job's bodies in R2
   */
  reconcile(
    jobId: number,
    knownVersion: number,
    lacksBodies?: boolean,
  ): Promise<Reconciled | Refusal>;
}

export interface Reconciled {
  ok: true;
  /** The job's version now. */
  version: number;
  /** True when D1 lacked changes from before this call. */
  wasBehind: boolean;
}
