/**
 * A job as its coordinator knows it: plain, immutable data, and the questions that follow from it
 * alone. What did not change keeps its identity, so that the object writes only what did.
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

/** What is known of a machine, all of it: a Worker of an older version sends less, of a newer one more. */
export function wholeMachine(sent: Pick<Machine, "machineUuid"> & Partial<Machine>): Machine {
  const { machineUuid, machineIp = null, clusterAddress = null } = sent;
  const { gpuModel = null, gpuCount = null, inventory = null } = sent;
  return { machineUuid, machineIp, clusterAddress, gpuModel, gpuCount, inventory };
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

/** The detail's `events` list is bounded (contract §4); the last place is kept for `settled`. */
export const MAX_EVENTS = 1_000;

/** A step that nobody has been told to run. */
export const PENDING: Step = {
  state: "created",
  startedAt: null,
  endedAt: null,
  errorMessage: null,
};

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

/**
 * When time alone next changes this job, ms; null when it has settled.
 *
 * @param hearingSince since when nodes can be heard again, after nobody could have heard them
 */
export function nextDeadline(
  job: Job,
  lastContacts: readonly number[],
  leaseMs: number,
  hearingSince = 0,
): number | null {
  if (isSettled(job)) return null;
  const leases = job.nodes
    .filter((node) => isActive(node))
    .map((node) => Math.max(lastContacts[node.rank] ?? node.joinedAt, hearingSince) + leaseMs);
  const giveUpAt = giveUpWaitingAt(job, leaseMs, hearingSince) ?? Infinity;
  return Math.min(job.expiresAt, giveUpAt, ...leases);
}

/**
 * When nobody is working any more and someone is lost, the job waits one more lease for them
 * (design §4), then settles. Null while somebody works, or is still to join.
 */
export function giveUpWaitingAt(job: Job, leaseMs: number, hearingSince = 0): number | null {
  if (job.nodes.length < job.nodeCount || job.nodes.some(isActive)) return null;
  const lostAt = job.nodes.flatMap((node) => node.lostAt ?? []);
  return lostAt.length === 0 ? null : Math.max(...lostAt, hearingSince) + leaseMs;
}

export function isActive(node: Node): boolean {
  return node.lostAt === null && !hasEnded(node);
}

export function stateOfSteps(node: Node): JobState {
  if (node.steps.every((step) => step.state === "completed")) return "completed";
  return hasQuickMark(node) ? "completed_with_warnings" : "failed";
}

/** quick_mark is always the first step (contract §4). */
export function hasQuickMark(node: Node): boolean {
  return node.steps[0]?.state === "completed";
}

/** The job with one node's step changed. */
export function changeStep(job: Job, rank: number, position: number, change: Partial<Step>): Job {
  const node = job.nodes[rank];
  if (node === undefined) return job;
  const steps = node.steps.map((step, at) => (at === position ? { ...step, ...change } : step));
  return changeNode(job, rank, { steps });
}

export function changeNode(job: Job, rank: number, change: Partial<Node>): Job {
  const nodes = job.nodes.map((node) => (node.rank === rank ? { ...node, ...change } : node));
  return { ...job, nodes };
}

export function changeJobStep(job: Job, position: number, change: Partial<Step>): Job {
  return {
    ...job,
    steps: job.steps.map((step, at) => (at === position ? { ...step, ...change } : step)),
  };
}

/** The job with one more event; the last place of the bounded list is kept for `settled`. */
export function record(job: Job, event: JobEvent): Job {
  const limit = event.kind === "settled" ? MAX_EVENTS : MAX_EVENTS - 1;
  return job.events.length >= limit ? job : { ...job, events: [...job.events, event] };
}
