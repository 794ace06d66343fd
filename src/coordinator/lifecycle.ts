/**
 * The life of a job as a pure function: `decide(job, event, now) → { job, outcome }` (design §4).
 *
 * Contract:
 * - nothing here reads a clock, a store or a network; `now` and deadlines are arguments, in ms;
 * - a job is never mutated: what did not change keeps its identity, so that the object writes only
 *   what did (`version` rises by one exactly when something changed);
 * - `nodes.length <= nodeCount`, ranks are the indices of `nodes`;
 * - a settled job never changes again.
 */

import { advance, expire, settle, settleByRule } from "./advance.ts";
import {
  changeNode,
  changeStep,
  giveUpWaitingAt,
  hasEnded,
  isActive,
  isSettled,
  type Job,
  type Machine,
  type Node,
  PENDING,
  record,
  type Step,
} from "./model.ts";

export type Event =
  | { type: "join"; machine: Machine }
  | { type: "contact"; rank: number }
  | {
      type: "result";
      rank: number;
      position: number;
      state: "completed" | "failed";
      startedAt: number;
      endedAt: number;
      errorMessage: string | null;
    }
  | { type: "give_up"; rank: number; message: string }
  | { type: "abort" }
  /** Its customer wants it gone: nothing may happen in it any more. */
  | { type: "delete" }
  /**
   * Time has passed. `lastContacts` by rank, ms. Before `hearingSince` nobody could have been heard: no node
   * is lost for that, each has a lease from then on.
   */
  | { type: "tick"; lastContacts: readonly number[]; leaseMs: number; hearingSince?: number };

export type Outcome =
  | { ok: true; rank: number | null }
  | { ok: false; reason: "ended" | "full" | "not_ready" | "not_abortable" | "not_deletable" };

export interface Decision {
  readonly job: Job;
  readonly outcome: Outcome;
}

const ACCEPTED: Outcome = { ok: true, rank: null };

/** Decides what an event does to a job. The returned job is the same object when nothing changed. */
export function decide(job: Job, event: Event, now: number): Decision {
  if (isSettled(job)) return { job, outcome: afterTheEnd(job, event) };
  if (now >= job.expiresAt) {
    // What arrives after expiry but before the alarm must not slip in.
    const expired = expire(job, now);
    return { job: { ...expired, version: job.version + 1 }, outcome: afterTheEnd(expired, event) };
  }
  const decision = act(job, event, now);
  if (decision.job === job) return decision;
  const advanced = isSettled(decision.job) ? decision.job : advance(decision.job, now);
  return { job: { ...advanced, version: job.version + 1 }, outcome: decision.outcome };
}

function afterTheEnd(job: Job, event: Event): Outcome {
  if (event.type === "tick" || event.type === "delete") return ACCEPTED;
  if (event.type !== "abort") return { ok: false, reason: "ended" };
  return job.state === "aborted" ? ACCEPTED : { ok: false, reason: "not_abortable" };
}

function act(job: Job, event: Event, now: number): Decision {
  switch (event.type) {
    case "join":
      return join(job, event.machine, now);
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

function join(job: Job, machine: Machine, now: number): Decision {
  const known = job.nodes.find((node) => node.machine.machineUuid === machine.machineUuid);
  if (known !== undefined) {
    const back = comeBack(job, known.rank, now);
    const sameMachine = JSON.stringify(known.machine) === JSON.stringify(machine);
    // A restarted agent may listen elsewhere, or carry other drivers.
    const updated = sameMachine ? back : changeNode(back, known.rank, { machine });
    return { job: updated, outcome: { ok: true, rank: known.rank } };
  }
  if (job.nodes.length >= job.nodeCount) return { job, outcome: { ok: false, reason: "full" } };
  const rank = job.nodes.length;
  const node: Node = {
    rank,
    machine,
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

/** A job that nobody has joined ends here, so that nobody can join it later; one at work stays. */
function remove(job: Job, now: number): Decision {
  if (job.state !== "created") return { job, outcome: { ok: false, reason: "not_deletable" } };
  return { job: settle(job, "aborted", "the job was deleted", now), outcome: ACCEPTED };
}

/** A sign of life. Only a lost node changes by it: it lives again and takes its next step. */
function comeBack(job: Job, rank: number, now: number): Job {
  const node = job.nodes[rank];
  if (node === undefined || node.lostAt === null) return job;
  const returned = changeNode(job, rank, { lostAt: null, state: "running", failedMessage: null });
  return record(returned, { at: now, kind: "returned", rank, message: `node ${rank} is back` });
}

function takeResult(job: Job, event: Extract<Event, { type: "result" }>, now: number): Decision {
  const { rank, position } = event;
  const step = job.nodes[rank]?.steps[position];
  if (step?.state !== "running") return { job, outcome: { ok: false, reason: "not_ready" } };
  const ended = changeStep(job, rank, position, {
    state: event.state,
    // From here on the agent's own clock is shown (contract §4).
    startedAt: event.startedAt,
    endedAt: event.endedAt,
    errorMessage: event.errorMessage,
  });
  const message = `node ${rank} ended ${job.plan[position]?.key}: ${event.state}`;
  const recorded = record(ended, { at: now, kind: "step_ended", rank, message });
  return { job: recorded, outcome: { ok: true, rank } };
}

function giveUp(job: Job, rank: number, message: string, now: number): Decision {
  const node = job.nodes[rank];
  const outcome: Outcome = { ok: true, rank };
  if (node === undefined || hasEnded(node)) return { job, outcome };
  const steps = node.steps.map((step): Step => {
    if (step.state === "running") {
      return { ...step, state: "failed", endedAt: now, errorMessage: message };
    }
    return step.state === "created" ? { ...step, state: "aborted", errorMessage: message } : step;
  });
  const given = { steps, gaveUp: true, failedMessage: message };
  return { job: changeNode(job, rank, given), outcome };
}

function passTime(job: Job, event: Extract<Event, { type: "tick" }>, now: number): Job {
  const { lastContacts, leaseMs, hearingSince = 0 } = event;
  let next = job;
  for (const node of job.nodes) {
    const lastContact = Math.max(lastContacts[node.rank] ?? node.joinedAt, hearingSince);
    if (isActive(node) && now - lastContact >= leaseMs) next = lose(next, node, now, leaseMs);
  }
  const giveUpAt = giveUpWaitingAt(next, leaseMs, hearingSince);
  return giveUpAt !== null && now >= giveUpAt ? settleByRule(next, now) : next;
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
