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

export type JobState =
  | "created"
  | "starting"
  | "running"
  | "completed"
  | "completed_with_warnings"
  | "failed"
  | "aborted";

/** A step is `created` until it is released to its node. */
export type StepState = "created" | "running" | "completed" | "failed" | "aborted";

export interface Step {
  readonly state: StepState;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly errorMessage: string | null;
}

export interface Machine {
  readonly machineUuid: string;
  readonly machineIp: string | null;
  /** `host:port` where the other nodes reach this one during a cluster step. */
  readonly clusterAddress: string | null;
  readonly gpuModel: string | null;
  readonly gpuCount: number | null;
  /** JSON, as the agent sent it. */
  readonly inventory: string | null;
}

export interface Node {
  readonly rank: number;
  readonly machine: Machine;
  readonly state: JobState;
  readonly failedMessage: string | null;
  readonly joinedAt: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  /** Since when it counts as lost, for being out of contact; it may come back until the job settles. */
  readonly lostAt: number | null;
  /** Said itself that it will do no more. */
  readonly gaveUp: boolean;
  readonly steps: readonly Step[];
}

export type JobEventKind =
  | "joined"
  | "lost"
  | "returned"
  | "step_started"
  | "step_ended"
  | "settled";

export interface JobEvent {
  readonly at: number;
  readonly kind: JobEventKind;
  readonly rank: number | null;
  readonly message: string;
}

export interface StepPlan {
  /** The key of result maps, such as `cluster_network:2`. */
  readonly key: string;
  readonly cluster: boolean;
}

export interface Job {
  readonly version: number;
  readonly state: JobState;
  readonly nodeCount: number;
  readonly plan: readonly StepPlan[];
  readonly expiresAt: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly nodes: readonly Node[];
  /** Cluster steps as the job sees them, by position; those of single nodes stay `created`. */
  readonly steps: readonly Step[];
  readonly events: readonly JobEvent[];
}

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
  /** Time has passed. `lastContacts` by rank, ms. */
  | { type: "tick"; lastContacts: readonly number[]; leaseMs: number };

export type Outcome =
  | { ok: true; rank: number | null }
  | { ok: false; reason: "ended" | "full" | "not_ready" | "not_abortable" };

export interface Decision {
  readonly job: Job;
  readonly outcome: Outcome;
}

/** The detail's `events` list is bounded (contract §4); the last place is kept for `settled`. */
export const MAX_EVENTS = 1_000;

const PENDING: Step = { state: "created", startedAt: null, endedAt: null, errorMessage: null };
const ACCEPTED: Outcome = { ok: true, rank: null };

export function newJob(input: {
  nodeCount: number;
  plan: readonly StepPlan[];
  expiresAt: number;
}): Job {
  return {
    version: 0,
    state: "created",
    startedAt: null,
    endedAt: null,
    nodes: [],
    steps: input.plan.map(() => PENDING),
    events: [],
    ...input,
  };
}

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

export function isSettled(job: Job): boolean {
  return job.endedAt !== null;
}

/** 0-based position of the step the node is at; `plan.length` when it has ended all of them. */
export function positionOf(node: Node): number {
  const open = node.steps.findIndex((step) => step.state === "created" || step.state === "running");
  return open === -1 ? node.steps.length : open;
}

export function hasEnded(node: Node): boolean {
  return positionOf(node) === node.steps.length;
}

/** When time alone next changes this job, ms; null when it has settled. */
export function nextDeadline(
  job: Job,
  lastContacts: readonly number[],
  leaseMs: number,
): number | null {
  if (isSettled(job)) return null;
  const leases = job.nodes
    .filter((node) => isActive(node))
    .map((node) => (lastContacts[node.rank] ?? node.joinedAt) + leaseMs);
  return Math.min(job.expiresAt, giveUpWaitingAt(job, leaseMs) ?? Infinity, ...leases);
}

/**
 * When nobody is working any more and someone is lost, the job waits one more lease for them
 * (design §4), then settles. Null while somebody works, or is still to join.
 */
function giveUpWaitingAt(job: Job, leaseMs: number): number | null {
  if (job.nodes.length < job.nodeCount || job.nodes.some(isActive)) return null;
  const lostAt = job.nodes.flatMap((node) => node.lostAt ?? []);
  return lostAt.length === 0 ? null : Math.max(...lostAt) + leaseMs;
}

function isActive(node: Node): boolean {
  return node.lostAt === null && !hasEnded(node);
}

function afterTheEnd(job: Job, event: Event): Outcome {
  if (event.type === "tick") return ACCEPTED;
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
  let next = job;
  for (const node of job.nodes) {
    const lastContact = event.lastContacts[node.rank] ?? node.joinedAt;
    if (isActive(node) && now - lastContact >= event.leaseMs) {
      next = lose(next, node, now, event.leaseMs);
    }
  }
  const giveUpAt = giveUpWaitingAt(next, event.leaseMs);
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

/** Runs the job forward until nothing more follows from what has happened. */
function advance(job: Job, now: number): Job {
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

/** A single-node benchmark starts as soon as its node gets there: rented time is not spent waiting. */
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

/** A cluster benchmark starts when every node has reached it, and fails when a node it needs is gone. */
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

/** A cluster step ends when its last node has; it has failed when one of them did. */
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
    state: node.gaveUp ? "failed" : stateOfSteps(node),
    endedAt: now,
    failedMessage: failure === undefined ? null : failedMessage,
  });
}

function stateOfSteps(node: Node): JobState {
  if (node.steps.every((step) => step.state === "completed")) return "completed";
  return hasQuickMark(node) ? "completed_with_warnings" : "failed";
}

/** quick_mark is always the first step (contract §4). */
function hasQuickMark(node: Node): boolean {
  return node.steps[0]?.state === "completed";
}

function expire(job: Job, now: number): Job {
  const measured = job.nodes.some(hasQuickMark);
  return settle(job, measured ? "completed_with_warnings" : "aborted", "the job expired", now);
}

/** The one rule for every ending that nobody ordered (design §4). */
function settleByRule(job: Job, now: number): Job {
  const all = job.nodes.every((node) => node.steps.every((step) => step.state === "completed"));
  const any = job.nodes.some(hasQuickMark);
  const state = all ? "completed" : any ? "completed_with_warnings" : "failed";
  return settle(job, state, "a node was lost", now);
}

/** Ends everything that is still open, for `reason`, and the job with it. */
function settle(job: Job, state: JobState, reason: string, now: number): Job {
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
    const byState = state === "aborted" ? "aborted" : stateOfSteps({ ...node, steps });
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
  return record(settled, { at: now, kind: "settled", rank: null, message: `job ${state}` });
}

function startStep(job: Job, rank: number, position: number, now: number): Job {
  const started = changeStep(job, rank, position, { state: "running", startedAt: now });
  const node = started.nodes[rank];
  return node?.startedAt === null ? changeNode(started, rank, { startedAt: now }) : started;
}

function changeStep(job: Job, rank: number, position: number, change: Partial<Step>): Job {
  const node = job.nodes[rank];
  if (node === undefined) return job;
  const steps = node.steps.map((step, at) => (at === position ? { ...step, ...change } : step));
  return changeNode(job, rank, { steps });
}

function changeNode(job: Job, rank: number, change: Partial<Node>): Job {
  const nodes = job.nodes.map((node) => (node.rank === rank ? { ...node, ...change } : node));
  return { ...job, nodes };
}

function changeJobStep(job: Job, position: number, change: Partial<Step>): Job {
  return {
    ...job,
    steps: job.steps.map((step, at) => (at === position ? { ...step, ...change } : step)),
  };
}

function record(job: Job, event: JobEvent): Job {
  const limit = event.kind === "settled" ? MAX_EVENTS : MAX_EVENTS - 1;
  return job.events.length >= limit ? job : { ...job, events: [...job.events, event] };
}
