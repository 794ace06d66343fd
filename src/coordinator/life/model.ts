/** A job as its object holds it: plain, immutable data, and functions of that data alone. */
import type { JobState } from "../../lib/enums.ts";
import type { GpuGroup, JobEvent, SequenceStep, Step } from "../../lib/stored-json.ts";
import type { PromisedHardware, SpecCheck } from "../../lib/stored-spec-check.ts";
import { cutAt } from "../../lib/text.ts";

export interface Machine {
  readonly machineUuid: string;
  readonly machineIp: string | null;
  /** Each a `host:port` where the other nodes may reach this one during a cluster step, best first. */
  readonly clusterAddresses: readonly string[];
  /** Null where there are several. */
  readonly gpuModel: string | null;
  readonly gpuCount: number | null;
  /** By model where there are several; null otherwise. */
  readonly gpuModels: readonly GpuGroup[] | null;
  /** Hash of the inventory, which is stored apart; another inventory is a change of the machine. */
  readonly inventoryHash: string | null;
  /** As the inventory says; absent without an inventory, and where it says nothing. */
  readonly hostName?: string;
  /** The kernel's id of this boot; it changes when the machine restarts. */
  readonly bootId: string | null;
  /** The machine beside the spec of its job; absent for no spec, and without an inventory. */
  readonly specCheck?: SpecCheck;
}

/** The agent that a node belongs to. */
export interface NodeAccess {
  /** SHA-256 of its join secret, base64url; null for an agent without one. */
  readonly secretHash: string | null;
  /** It is a runner, which has its key. */
  readonly isClaim: boolean;
  /** Number of the task's valid token: one more with each agent that has taken the node over. */
  readonly epoch: number;
}

export interface Node {
  readonly rank: number;
  readonly machine: Machine;
  readonly access: NodeAccess;
  readonly state: JobState;
  readonly failedMessage: string | null;
  readonly joinedAt: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  /** Time at which the node was lost, ms; null for a node in contact. It may return until the job settles. */
  readonly lostAt: number | null;
  /** The node itself reported that it stops. */
  readonly gaveUp: boolean;
  readonly steps: readonly Step[];
}

export interface StepPlan {
  /** The key of result maps, such as `cluster_network:2`. */
  readonly key: string;
  readonly cluster: boolean;
  /** A node that has completed it has measured something. Of every plan the first step does; absent means no other. */
  readonly measures?: boolean;
}

export interface Job {
  readonly version: number;
  readonly state: JobState;
  readonly nodeCount: number;
  readonly plan: readonly StepPlan[];
  readonly expiresAt: number;
  /** A node waits at a barrier for this long without news of any other; absent where it may wait for ever. */
  readonly barrierLimitMs?: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly nodes: readonly Node[];
  /** Cluster steps as the job sees them, by position; those of single nodes stay `created`. */
  readonly steps: readonly Step[];
  readonly events: readonly JobEvent[];
}

/** Bound of `events`; the last place is reserved for `settled`. */
export const MAX_EVENTS = 1_000;

/**
 * Bound of the reasons of all failures of a job's steps together, UTF-16 units: they are in the rows of D1 and in every
 * detail. From then on a longer reason is cut.
 */
export const MAX_REASONS = 500_000;
/** Length to which it is cut, which is that of the server's own. */
export const CUT_REASON = 100;

/**
 * The reason as the job can store it.
 *
 * @param steps that get it
 */
export function boundReason(job: Job, reason: string, steps: number): string {
  if (reason.length <= CUT_REASON) return reason;
  let used = 0;
  for (const node of job.nodes) {
    for (const { errorMessage } of node.steps) used += errorMessage?.length ?? 0;
  }
  if (used + steps * reason.length <= MAX_REASONS) return reason;
  return `${cutAt(reason, CUT_REASON - 1)}…`;
}

/** A step before its start. */
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
  barrierLimitMs?: number;
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

/** 0-based position of the node's current step; `plan.length` when it has ended all steps. */
export function positionOf(node: Node): number {
  const open = node.steps.findIndex((step) => step.state === "created" || step.state === "running");
  return open === -1 ? node.steps.length : open;
}

export function hasEnded(node: Node): boolean {
  return positionOf(node) === node.steps.length;
}

/**
 * The next time at which the job changes without an event, ms; null for a settled job.
 *
 * @param hearingSince end of the latest outage, during which no node could call, ms
 * @param lastNews see `leaveBarrierAt`
 */
export function nextDeadline(
  job: Job,
  lastContacts: readonly number[],
  leaseMs: number,
  hearingSince = 0,
  lastNews: readonly number[] = [],
): number | null {
  if (isSettled(job)) return null;
  const leases = job.nodes
    .filter((node) => isActive(node))
    .map((node) => Math.max(lastContacts[node.rank] ?? node.joinedAt, hearingSince) + leaseMs);
  const giveUpAt = giveUpWaitingAt(job, leaseMs, hearingSince) ?? Infinity;
  const leaveAt = leaveBarrierAt(job, lastNews, hearingSince) ?? Infinity;
  return Math.min(job.expiresAt, giveUpAt, leaveAt, ...leases);
}

/**
 * Time at which the nodes that wait at a barrier give up, ms; null while none waits. A node's arrival at the
 * barrier is news too, so each has waited for at least `barrierLimitMs` then.
 *
 * @param lastNews by rank, ms: when the node last joined, sent a result or came further in a running step
 */
export function leaveBarrierAt(
  job: Job,
  lastNews: readonly number[],
  hearingSince = 0,
): number | null {
  const { nodes, barrierLimitMs } = job;
  if (barrierLimitMs === undefined || !nodes.some((node) => isAtBarrier(job, node))) return null;
  const news = nodes.map(({ rank, joinedAt }) => Math.max(joinedAt, lastNews[rank] ?? 0));
  return Math.max(hearingSince, ...news) + barrierLimitMs;
}

/** The node waits for the others to reach a cluster step. */
export function isAtBarrier(job: Job, node: Node): boolean {
  const position = positionOf(node);
  const isClosed = node.steps[position]?.state === "created";
  return isActive(node) && isClosed && job.plan[position]?.cluster === true;
}

/**
 * Time at which the job settles without its lost nodes, ms: one more lease after the last of its nodes was
 * lost. Null while a node works or is still to join, and when no node is lost.
 */
export function giveUpWaitingAt(job: Job, leaseMs: number, hearingSince = 0): number | null {
  if (job.nodes.length < job.nodeCount || job.nodes.some(isActive)) return null;
  const lostAt = job.nodes.flatMap((node) => node.lostAt ?? []);
  return lostAt.length === 0 ? null : Math.max(...lostAt, hearingSince) + leaseMs;
}

export function isActive(node: Node): boolean {
  return node.lostAt === null && !hasEnded(node);
}

export function stateOfSteps(job: Job, node: Node): JobState {
  if (node.steps.every((step) => step.state === "completed")) return "completed";
  return hasMeasured(job, node) ? "completed_with_warnings" : "failed";
}

/** The node has completed QuickMark, always the first step (docs/contract.md, "Jobs"), or another measurement of its own. */
export function hasMeasured({ plan }: Job, { steps }: Node): boolean {
  return steps.some(
    ({ state }, at) => state === "completed" && (at === 0 || plan[at]?.measures === true),
  );
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

/** The job with one more event, unless the list is full; its last place is reserved for `settled`. */
export function record(job: Job, event: JobEvent): Job {
  const limit = event.kind === "settled" ? MAX_EVENTS : MAX_EVENTS - 1;
  return job.events.length >= limit ? job : { ...job, events: [...job.events, event] };
}

/** The part of a job that never changes, read from D1 when the object takes the job over. */
export interface JobIdentity {
  jobId: number;
  name: string;
  sequence: readonly SequenceStep[];
  /** Made for a hardware spec: only claims of runners join it. */
  isForRunners: boolean;
  /** The spec that its machines are compared with; absent for none. */
  expectedSpec?: PromisedHardware;
  /** Created without an account: what its machine sends is bounded more tightly. */
  isAnonymous: boolean;
  /** Key by which the nodes of a cluster step authenticate to each other, hex. */
  peerKey: string;
}

/** A node's report on its running step. */
export interface Progress {
  /** 0 to 1. */
  progress?: number;
  message?: string;
  /** How far the node's clock is ahead of the server's, ms. */
  clockSkewMs?: number;
}

/** The latest contact and progress of a node. A change of it does not change the job's version. */
export interface Contact {
  at: number;
  progress: number;
  message: string | null;
  /** As the node has last reported it. */
  clockSkewMs: number | null;
  /** The node's agent has received the directive `stop`. */
  toldToStop: boolean;
  /** Time of the node's latest news, ms: see `leaveBarrierAt`. */
  newsAt: number;
  /** Highest progress of its running step that was news. */
  newsProgress: number;
  /** An open socket speaks for the node. */
  hasSocket: boolean;
}

/** A job in the object's memory; `job` and `flushedVersion` equal those on disk. */
export interface Live {
  readonly identity: JobIdentity;
  job: Job;
  /** The job's version that D1 has acknowledged; behind `job.version` while a flush is pending. */
  flushedVersion: number;
  /** End of the latest outage of the server, before which no node could call, ms; 0 for no outage. */
  hearingSince: number;
}
