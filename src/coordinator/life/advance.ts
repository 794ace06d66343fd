/**
 * Consequences of an event: steps that start, barriers that open or fail, nodes and jobs that end. Pure, like
 * the rest of the lifecycle.
 */
import type { JobState, StepState } from "../../lib/enums.ts";
import type { JobEvent, Step } from "../../lib/stored-json.ts";
import {
  changeJobStep,
  changeNode,
  changeStep,
  hasEnded,
  hasMeasured,
  isActive,
  type Job,
  type Node,
  PENDING,
  positionOf,
  record,
  stateOfSteps,
} from "./model.ts";

/** Applies all consequences, until nothing changes any more. */
export function advance(job: Job, now: number): Job {
  let next = job;
  for (;;) {
    const before = next;
    next = releaseNodeSteps(next, now);
    next = openBarriers(next, now);
    next = closeClusterSteps(next, now);
    if (next === before) break;
  }
  next = endNodes(next, now);
  const done = next.nodes.length === next.nodeCount && next.nodes.every((n) => n.endedAt !== null);
  return done ? settleByRule(next, now) : next;
}

/** A single-node benchmark starts as soon as its node reaches it: no rented time is spent waiting. */
function releaseNodeSteps(job: Job, now: number): Job {
  let next = job;
  for (const node of job.nodes) {
    if (node.lostAt !== null) continue;
    const position = positionOf(node);
    const plan = job.plan[position];
    const step = node.steps[position];
    if (plan === undefined || plan.cluster || step?.state !== "created") continue;
    next = startStep(next, node.rank, position, now);
    const message = `node ${node.rank} started ${plan.key}`;
    next = record(next, { at: now, kind: "step_started", rank: node.rank, message });
  }
  return next;
}

/** A cluster benchmark starts when every node has reached it, and fails if a node is missing then. */
function openBarriers(job: Job, now: number): Job {
  if (job.nodes.length < job.nodeCount) return job;
  const position = job.plan.findIndex(
    (plan, at) => plan.cluster && job.steps[at]?.state === "created",
  );
  const plan = job.plan[position];
  if (plan === undefined) return job;
  const working = job.nodes.filter(isActive);
  if (working.length === 0 || working.some((node) => positionOf(node) < position)) return job;
  const gone = job.nodes.find(
    (node) => node.lostAt !== null || node.steps[position]?.state === "aborted",
  );
  if (gone === undefined) {
    let open = changeJobStep(job, position, { state: "running", startedAt: now });
    for (const node of open.nodes) open = startStep(open, node.rank, position, now);
    const message = `all ${job.nodeCount} nodes started ${plan.key}`;
    return record(open, { at: now, kind: "step_started", rank: null, message });
  }
  const errorMessage = `node ${gone.rank} is missing: ${gone.failedMessage ?? "it has ended"}`;
  const failure = { state: "failed", startedAt: now, endedAt: now, errorMessage } as const;
  let failed = changeJobStep(job, position, failure);
  for (const node of failed.nodes) {
    if (node.steps[position]?.state === "created") {
      failed = changeStep(failed, node.rank, position, failure);
    }
  }
  const message = `${plan.key} failed: ${errorMessage}`;
  return record(failed, { at: now, kind: "step_ended", rank: null, message });
}

/** A cluster step ends when its last node has ended it, and has failed if any node failed it. */
function closeClusterSteps(job: Job, now: number): Job {
  let next = job;
  for (const [position, plan] of job.plan.entries()) {
    if (job.steps[position]?.state !== "running") continue;
    const steps = job.nodes.map((node) => node.steps[position] ?? PENDING);
    if (steps.some((step) => step.state === "created" || step.state === "running")) continue;
    const failedRank = steps.findIndex((step) => step.state !== "completed");
    const reason = steps[failedRank]?.errorMessage ?? "it failed";
    next = changeJobStep(next, position, {
      state: failedRank === -1 ? "completed" : "failed",
      endedAt: now,
      errorMessage: failedRank === -1 ? null : `node ${failedRank}: ${reason}`,
    });
    const message = `${plan.key} ended`;
    next = record(next, { at: now, kind: "step_ended", rank: null, message });
  }
  return next;
}

/** Gives nodes that have just ended their last step their final state. */
function endNodes(job: Job, now: number): Job {
  let next = job;
  for (const node of job.nodes) {
    if (node.endedAt === null && node.lostAt === null && hasEnded(node))
      next = endNode(next, node, now);
  }
  return next;
}

function endNode(job: Job, node: Node, now: number): Job {
  const failure = node.steps.find((step) => step.state !== "completed");
  const failedMessage = node.failedMessage ?? failure?.errorMessage ?? null;
  return changeNode(job, node.rank, {
    state: node.gaveUp ? "failed" : stateOfSteps(job, node),
    endedAt: now,
    failedMessage: failure === undefined ? null : failedMessage,
  });
}

/** Ends a job that has expired. */
export function expire(job: Job, now: number): Job {
  const isMeasured = job.nodes.some((node) => hasMeasured(job, node));
  return settle(job, isMeasured ? "completed_with_warnings" : "aborted", "the job expired", now);
}

/** The rule for every ending other than abort, deletion and expiry (docs/contract.md, "Jobs"). */
export function settleByRule(job: Job, now: number): Job {
  const all = job.nodes.every((node) => node.steps.every((step) => step.state === "completed"));
  const any = job.nodes.some((node) => hasMeasured(job, node));
  const state = all ? "completed" : any ? "completed_with_warnings" : "failed";
  return settle(job, state, "a node was lost", now);
}

/** Ends the job and everything in it that is still open, for `reason`. */
export function settle(job: Job, state: JobState, reason: string, now: number): Job {
  const open: StepState = state === "aborted" ? "aborted" : "failed";
  const close = (step: Step): Step => {
    if (step.state === "running") {
      return { ...step, state: open, endedAt: now, errorMessage: reason };
    }
    return step.state === "created" ? { ...step, state: "aborted", errorMessage: reason } : step;
  };
  const nodes = job.nodes.map((node): Node => {
    if (node.endedAt !== null) return node;
    const steps = node.steps.map(close);
    const byState = state === "aborted" ? "aborted" : stateOfSteps(job, { ...node, steps });
    return {
      ...node,
      steps,
      state: node.lostAt === null ? byState : "failed",
      failedMessage: node.failedMessage ?? reason,
      endedAt: now,
    };
  });
  const steps = job.steps.map((step) => (step.state === "running" ? close(step) : step));
  const settled = { ...job, nodes, steps, state, endedAt: now };
  return record(settled, settledEvent(state, now));
}

/** The last event of every job. */
export function settledEvent(state: JobState, now: number): JobEvent {
  return { at: now, kind: "settled", rank: null, message: `job ${state}` };
}

function startStep(job: Job, rank: number, position: number, now: number): Job {
  const started = changeStep(job, rank, position, { state: "running", startedAt: now });
  const node = started.nodes[rank];
  return node?.startedAt === null ? changeNode(started, rank, { startedAt: now }) : started;
}
