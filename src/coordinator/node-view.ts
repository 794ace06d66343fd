import { createHash } from "node:crypto";
import { isClusterStep } from "../benchmarks/sequence.ts";
import { toTimestamp } from "../lib/clock.ts";
import { taskIdOf } from "../lib/ids.ts";
import { hasEnded, isSettled, type Job, type Node, positionOf } from "./model.ts";
import { toTaskRecord } from "./projection.ts";
import type { JobRecord } from "./records.ts";
import type { Contact, JobIdentity } from "./storage.ts";
import { type TaskWire, toTaskWire } from "./task-wire.ts";

export type Directive = "join" | "wait" | "run" | "stop";

/** What a poll answers (design §5). */
export interface NodeView {
  id: string;
  name: string;
  state: Job["state"];
  version: number;
  node_count: number;
  current_nodes: number;
  benchmark_sequence: JobIdentity["sequence"];
  expires_at: string;
  directive: Directive;
  step: {
    position: number;
    benchmark_id: string;
    config: { [key: string]: unknown } | null;
    peer_key: string | null;
  } | null;
  nodes: { rank: number; task_id: string; cluster_address: string | null }[] | null;
  task: TaskWire | null;
  poll_after_seconds: number;
}

/** What the caller should do now, from what the job knows; `node` is null before it has joined. */
export function directiveFor(job: Job, node: Node | null): Directive {
  if (isSettled(job)) return "stop";
  if (node === null) return "join";
  if (hasEnded(node)) return "stop";
  return node.steps[positionOf(node)]?.state === "running" ? "run" : "wait";
}

/** The view of one node, or of a caller that has not joined. */
export function toNodeView(
  identity: JobIdentity,
  job: Job,
  node: Node | null,
  contact: Contact | undefined,
  random: () => number,
): NodeView {
  const directive = directiveFor(job, node);
  const position = node === null ? -1 : positionOf(node);
  const step = directive === "run" ? identity.sequence[position] : undefined;
  const cluster = step !== undefined && isClusterStep(step);
  return {
    id: String(identity.jobId),
    name: identity.name,
    state: job.state,
    version: job.version,
    node_count: job.nodeCount,
    current_nodes: job.nodes.length,
    benchmark_sequence: identity.sequence,
    expires_at: toTimestamp(job.expiresAt),
    directive,
    step:
      step === undefined
        ? null
        : { position, ...step, peer_key: cluster ? identity.peerKey : null },
    nodes: cluster
      ? job.nodes.map(({ rank, machine }) => ({
          rank,
          task_id: String(taskIdOf(identity.jobId, rank)),
          cluster_address: machine.clusterAddress,
        }))
      : null,
    task:
      node === null ? null : toTaskWire(toTaskRecord(identity, node, contact, job.version), null),
    poll_after_seconds: pollAfterSeconds(job, directive, random),
  };
}

/**
 * The view of a caller that is no node, from what D1 has of a job, or its object of a live one: without
 * asking the object to take the job over.
 */
export function toReaderView(
  row: { id: number; name: string; nodeCount: number; sequence: string; expiresAt: number },
  job: Pick<JobRecord, "state" | "version" | "currentNodes" | "endedAt">,
  now: number,
  random: () => number,
): NodeView {
  // One that nobody has joined may lie there unsettled for a moment after its end.
  const isOver = job.endedAt !== null || now >= row.expiresAt;
  const directive = isOver ? "stop" : "join";
  return {
    id: String(row.id),
    name: row.name,
    state: job.state,
    version: job.version,
    node_count: row.nodeCount,
    current_nodes: job.currentNodes,
    benchmark_sequence: JSON.parse(row.sequence), // written from a sequence by the jobs service
    expires_at: toTimestamp(row.expiresAt),
    directive,
    step: null,
    nodes: null,
    task: null,
    poll_after_seconds: spread(directive === "join" ? SOON : LATER, random),
  };
}

/**
 * When to ask again: 2–5 s near a barrier (everybody has joined, so the wait is for others to get
 * there) and before joining, 20–45 s otherwise; spread, so that nodes do not ask in step.
 */
export function pollAfterSeconds(job: Job, directive: Directive, random: () => number): number {
  const barrier = directive === "wait" && job.nodes.length === job.nodeCount;
  return spread(barrier || directive === "join" ? SOON : LATER, random);
}

/** Seconds, from and to. */
const SOON = [2, 5] as const;
const LATER = [20, 45] as const;

function spread([from, to]: readonly [number, number], random: () => number): number {
  return Math.round((from + random() * (to - from)) * 10) / 10;
}

/**
 * A weak validator of what this node sees. The job's version and the number of other nodes are left
 * out: they change with every event of every other node, and 256 nodes would read each other's news.
 */
export function etagOf(view: NodeView): string {
  const { version: _version, poll_after_seconds: _poll, current_nodes: _nodes, ...seen } = view;
  return `W/"${createHash("sha256").update(JSON.stringify(seen)).digest("base64url").slice(0, 22)}"`;
}
