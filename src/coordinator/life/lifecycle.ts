/**
 * The life of a job as a pure function: `decide(job, event, now) → { job, outcome }` (docs/architecture.md,
 * "The life of a job").
 *
 * Contract:
 * - nothing here reads a clock, a store or a network; `now` and deadlines are arguments, in ms;
 * - a job is never mutated: unchanged parts keep their identity, so that the object writes only the changed
 *   ones (`version` rises by one exactly when something changed);
 * - `nodes.length <= nodeCount`, ranks are the indices of `nodes`;
 * - a settled job never changes again.
 */

import type { JobEvent, Step } from "../../lib/stored-json.ts";
import { accessOf, type Joiner } from "./access.ts";
import { advance, expire, settle, settleByRule } from "./advance.ts";
import {
  boundReason,
  changeNode,
  changeStep,
  giveUpWaitingAt,
  hasEnded,
  isActive,
  isAtBarrier,
  isSettled,
  type Job,
  leaveBarrierAt,
  type Machine,
  type Node,
  PENDING,
  positionOf,
  record,
} from "./model.ts";

export type Event =
  /** `takesOver`: another agent than the node's own, whose lease is over. */
  | { type: "join"; machine: Machine; by?: Joiner; takesOver?: boolean }
  | { type: "contact"; rank: number }
  | {
      type: "result";
      rank: number;
      position: number;
      state: "completed" | "failed";
      startedAt: number;
      endedAt: number;
      errorMessage: string | null;
      clockSkewMs?: number | null;
    }
  | { type: "give_up"; rank: number; message: string }
  | { type: "abort" }
  /** The owner deletes the job: if nobody has joined, it ends, so that nobody can join later. */
  | { type: "delete" }
  /**
   * Time has passed. `lastContacts` and `lastNews` (see `leaveBarrierAt`) are by rank, ms. No node could call
   * before `hearingSince`, so each has a whole lease from then on.
   */
  | {
      type: "tick";
      lastContacts: readonly number[];
      lastNews?: readonly number[];
      leaseMs: number;
      hearingSince?: number;
    };

export type Outcome =
  | { ok: true; rank: number | null }
  | { ok: false; reason: "ended" | "full" | "not_ready" | "not_abortable" | "not_deletable" };

export interface Decision {
  readonly job: Job;
  readonly outcome: Outcome;
}

const ACCEPTED: Outcome = { ok: true, rank: null };

/** Applies an event to a job. The returned job is the same object when nothing changed. */
export function decide(job: Job, event: Event, now: number): Decision {
  if (isSettled(job)) return { job, outcome: afterTheEnd(job, event) };
  if (now >= job.expiresAt) {
    // An event between the expiry and the alarm comes too late.
    const expired = expire(job, now);
    return { job: { ...expired, version: job.version + 1 }, outcome: afterTheEnd(expired, event) };
  }
  const decision = applyEvent(job, event, now);
  if (decision.job === job) return decision;
  const advanced = isSettled(decision.job) ? decision.job : advance(decision.job, now);
  return { job: { ...advanced, version: job.version + 1 }, outcome: decision.outcome };
}

function afterTheEnd(job: Job, event: Event): Outcome {
  if (event.type === "tick" || event.type === "delete") return ACCEPTED;
  if (event.type !== "abort") return { ok: false, reason: "ended" };
  return job.state === "aborted" ? ACCEPTED : { ok: false, reason: "not_abortable" };
}

function applyEvent(job: Job, event: Event, now: number): Decision {
  switch (event.type) {
    case "join":
      return join(job, event, now);
    case "contact":
      return { job: comeBack(job, event.rank, now), outcome: { ok: true, rank: event.rank } };
    case "result":
      return takeResult(comeBack(job, event.rank, now), event, now);
    case "give_up":
      return giveUp(comeBack(job, event.rank, now), event.rank, event.message, now);
    case "abort":
      return { job: settle(job, "aborted", "the job was aborted", now), outcome: ACCEPTED };
    case "delete":
      return remove(job, now);
    case "tick":
      return { job: passTime(job, event, now), outcome: ACCEPTED };
  }
}

function join(job: Job, event: Extract<Event, { type: "join" }>, now: number): Decision {
  const { machine, by = {} } = event;
  const joined = job.nodes.find((node) => node.machine.machineUuid === machine.machineUuid);
  if (joined !== undefined) {
    return { job: rejoin(job, joined, event, now), outcome: { ok: true, rank: joined.rank } };
  }
  if (job.nodes.length >= job.nodeCount) return { job, outcome: { ok: false, reason: "full" } };
  const rank = job.nodes.length;
  const node: Node = {
    rank,
    machine,
    access: accessOf(by),
    state: "running",
    failedMessage: null,
    joinedAt: now,
    startedAt: null,
    endedAt: null,
    lostAt: null,
    gaveUp: false,
    steps: job.plan.map(() => PENDING),
  };
  const nodes = [...job.nodes, node];
  const complete = nodes.length === job.nodeCount;
  const message = `node ${rank} joined (${nodes.length} of ${job.nodeCount})`;
  return {
    job: record(
      {
        ...job,
        nodes,
        state: complete ? "running" : "starting",
        startedAt: complete ? now : null,
      },
      { at: now, kind: "joined", rank, message },
    ),
    outcome: { ok: true, rank },
  };
}

/** Gives a machine its node back; to another agent with a new token, so that the earlier agent's is dead. */
function rejoin(
  job: Job,
  { rank, machine: before, access, endedAt }: Node,
  { machine, by = {}, takesOver = false }: Extract<Event, { type: "join" }>,
  now: number,
): Job {
  const isReboot = before.bootId !== null && machine.bootId !== null;
  const how = takesOver
    ? " with another agent, which does not know the earlier one's secret"
    : isReboot && before.bootId !== machine.bootId
      ? " after a restart of its machine"
      : "";
  let next = comeBack(job, rank, now, how);
  if (takesOver) {
    // A node that has ended was not lost, so that it has not returned either.
    if (next === job) next = record(next, returnedEvent(rank, now, how));
    next = changeNode(next, rank, { access: accessOf(by, access.epoch + 1) });
  }
  // A restarted agent may listen at another address, or have other drivers. An ended node has measured with
  // what it had.
  const isSame = endedAt !== null || JSON.stringify(before) === JSON.stringify(machine);
  return isSame ? next : changeNode(next, rank, { machine });
}

/** Ends a job that nobody has joined; refuses to delete a job at work. */
function remove(job: Job, now: number): Decision {
  if (job.state !== "created") return { job, outcome: { ok: false, reason: "not_deletable" } };
  return { job: settle(job, "aborted", "the job was deleted", now), outcome: ACCEPTED };
}

/** Brings a lost node back, to continue with its next step; a contact changes no other node. */
function comeBack(job: Job, rank: number, now: number, how = ""): Job {
  const node = job.nodes[rank];
  if (node === undefined || node.lostAt === null) return job;
  const returned = changeNode(job, rank, { lostAt: null, state: "running", failedMessage: null });
  return record(returned, returnedEvent(rank, now, how));
}

function returnedEvent(rank: number, at: number, how: string): JobEvent {
  return { at, kind: "returned", rank, message: `node ${rank} is back${how}` };
}

function takeResult(job: Job, event: Extract<Event, { type: "result" }>, now: number): Decision {
  const { rank, position } = event;
  const step = job.nodes[rank]?.steps[position];
  if (step?.state !== "running") return { job, outcome: { ok: false, reason: "not_ready" } };
  const ended = changeStep(job, rank, position, {
    state: event.state,
    // An ended step has the times of the agent's own clock (docs/contract.md, "Jobs").
    startedAt: event.startedAt,
    endedAt: event.endedAt,
    errorMessage: event.errorMessage && boundReason(job, event.errorMessage, 1),
    ...(event.clockSkewMs == null ? {} : { clockSkewMs: event.clockSkewMs }),
  });
  const message = `node ${rank} ended ${job.plan[position]?.key}: ${event.state}`;
  const recorded = record(ended, { at: now, kind: "step_ended", rank, message });
  return { job: recorded, outcome: { ok: true, rank } };
}

function giveUp(job: Job, rank: number, reason: string, now: number): Decision {
  const node = job.nodes[rank];
  const outcome: Outcome = { ok: true, rank };
  if (node === undefined || hasEnded(node)) return { job, outcome };
  const message = boundReason(job, reason, node.steps.length - positionOf(node));
  const steps = node.steps.map((step): Step => {
    if (step.state === "running") {
      return { ...step, state: "failed", endedAt: now, errorMessage: message };
    }
    return step.state === "created" ? { ...step, state: "aborted", errorMessage: message } : step;
  });
  const change = { steps, gaveUp: true, failedMessage: message };
  return { job: changeNode(job, rank, change), outcome };
}

function passTime(job: Job, event: Extract<Event, { type: "tick" }>, now: number): Job {
  const { lastContacts, lastNews = [], leaseMs, hearingSince = 0 } = event;
  let next = job;
  for (const node of job.nodes) {
    const lastContact = Math.max(lastContacts[node.rank] ?? node.joinedAt, hearingSince);
    if (isActive(node) && now - lastContact >= leaseMs) next = lose(next, node, now, leaseMs);
  }
  const leaveAt = leaveBarrierAt(next, lastNews, hearingSince);
  if (leaveAt !== null && now >= leaveAt) next = leaveBarrier(next, now);
  const giveUpAt = giveUpWaitingAt(next, leaseMs, hearingSince);
  return giveUpAt !== null && now >= giveUpAt ? settleByRule(next, now) : next;
}

/** All nodes that wait at a barrier give up, so that their runners are free for other jobs. */
function leaveBarrier(job: Job, now: number): Job {
  const minutes = Math.round((job.barrierLimitMs ?? 0) / 60_000);
  let next = job;
  for (const node of job.nodes.filter((each) => isAtBarrier(job, each))) {
    const step = job.plan[positionOf(node)]?.key;
    const message = `waited at ${step} for ${minutes} minutes without progress of any other node`;
    next = giveUp(next, node.rank, message, now).job;
  }
  return next;
}

function lose(job: Job, node: Node, now: number, leaseMs: number): Job {
  const message = `no contact for ${Math.round(leaseMs / 1_000)} s`;
  const steps = node.steps.map(
    (step): Step =>
      step.state === "running"
        ? { ...step, state: "failed", endedAt: now, errorMessage: message }
        : step,
  );
  const change = { lostAt: now, state: "failed", failedMessage: message, steps } as const;
  const event = { at: now, kind: "lost", rank: node.rank, message } as const;
  return record(changeNode(job, node.rank, change), event);
}
