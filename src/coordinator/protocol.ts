import type { ErrorDetail } from "../http/errors.ts";
import type { Said } from "./contact-book.ts";
import type { Machine } from "./model.ts";
import type { JobRecords } from "./projection.ts";
import type { JobRecord, ResultRecord, TaskRecord } from "./records.ts";

/** Expected outcomes cross the RPC as values, never as exceptions (design §3.6). */
export type Refusal =
  /** D1 could not be asked; try again. */
  | { ok: false; reason: "unavailable" }
  | {
      ok: false;
      reason: "gone" | "ended" | "full" | "not_abortable" | "not_deletable" | "task_unknown";
    }
  | { ok: false; reason: "too_many_joins"; retryAfterSeconds: number }
  | { ok: false; reason: "position_invalid"; positions: number }
  | { ok: false; reason: "not_ready" | "slot_taken" | "result_too_large" | "job_too_large" }
  | { ok: false; reason: "result_invalid"; details: ErrorDetail[] };

/** A reply for a node: its view, or only the validator when the caller has that view already. */
export interface NodeReply {
  ok: true;
  etag: string;
  pollAfterSeconds: number;
  /** JSON of `NodeView`; null when `etag` equals what the caller sent. */
  view: string | null;
}

export interface TaskReply {
  ok: true;
  etag: string;
  pollAfterSeconds: number;
  /** JSON of the task, with `poll_after_seconds`. */
  task: string;
  created: boolean;
}

export interface ResultInput {
  state: "completed" | "failed";
  startedAt: number;
  endedAt: number;
  errorMessage: string | null;
  /** JSON as the agent sent it, bounded by the route; null for a failed step without figures. */
  results: string | null;
  /** Of the whole body: tells a repeat from another result. */
  hash: string;
}

export interface ResultReply {
  ok: true;
  etag: string;
  benchmarkId: string;
}

/** The live truth of a job, for its owner. */
export interface LiveDetail extends JobRecords {
  ok: true;
}

/** The live truth of one node, for its owner. */
export interface LiveTask {
  ok: true;
  task: TaskRecord;
  results: ResultRecord[];
}

/** What a node says while it works. */
export interface TaskUpdate extends Said {
  /** Why it will do no more. */
  giveUp?: string;
}

/**
 * What the rest of the house may ask of a job's object. Every call may be repeated: a caller that
 * does not know whether its call arrived asks again. Ids are the job's and the task's own.
 *
 * While a deployment goes on, a Worker talks to objects of the version before or after its own. So a method
 * keeps its name and the meaning of its arguments for ever; what is new comes last and is optional, and
 * whoever receives it does without when it is missing, and leaves alone what it does not know. A method
 * that an older object does not have yet fails the call, which the client repeats (503).
 */
export interface Coordinator {
  /** A poll: what this node should do now. Counts as contact; `known` is the validator the caller holds. */
  poll(jobId: number, taskId: number | null, known: string | null): Promise<NodeReply | Refusal>;
  join(jobId: number, machine: Machine): Promise<TaskReply | Refusal>;
  /** Progress of the running step, or the node's word that it will do no more. */
  heartbeat(jobId: number, taskId: number, update: TaskUpdate): Promise<TaskReply | Refusal>;
  /** The result of one step. Exactly once: the same body again gets the same reply. */
  putResult(
    jobId: number,
    taskId: number,
    position: number,
    input: ResultInput,
  ): Promise<ResultReply | Refusal>;
  detail(jobId: number): Promise<LiveDetail | Refusal>;
  /** One node of the job alone: `detail` can be large. */
  task(jobId: number, taskId: number): Promise<LiveTask | Refusal>;
  abort(jobId: number): Promise<{ ok: true; job: JobRecord } | Refusal>;
  /**
   * Makes sure that nothing happens in the job any more, so that it can be deleted in D1; refused while
   * nodes are at work. Answers whether one of them may still have to be told to stop.
   */
  prepareDeletion(jobId: number): Promise<{ ok: true; requiresAgentStop: boolean } | Refusal>;
  /**
   * Asked by cron: does what is due, sets the alarm again should it be lost, and tells D1 what it does not
   * know, also what it has forgotten: `knownVersion` is what its row says.
   */
  reconcile(jobId: number, knownVersion: number): Promise<Reconciled | Refusal>;
}

export interface Reconciled {
  ok: true;
  /** The job's version now. */
  version: number;
  /** Whether D1 lacked something that the object knew before it was asked. */
  wasBehind: boolean;
}
