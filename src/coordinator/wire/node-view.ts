/** The reply to a node's poll: the job, and the node's directive with everything needed to follow it. */

import { createHash } from "node:crypto";
import { z } from "@hono/zod-openapi";
import {
  idString,
  integer,
  jsonObject,
  orNull,
  patternText,
  text,
  timestamp,
} from "../../api/schemas.ts";
import { isClusterStep } from "../../benchmarks/sequence.ts";
import { toTimestamp } from "../../lib/clock.ts";
import { taskIdOf } from "../../lib/ids.ts";
import type { SequenceStep } from "../../lib/stored-json.ts";
import {
  type Contact,
  hasEnded,
  isSettled,
  type Job,
  type JobIdentity,
  type Node,
  positionOf,
} from "../life/model.ts";
import { toNodeRecord } from "../projection/projection.ts";
import type { JobRecord } from "../projection/records.ts";
import { clusterAddress, clusterAddresses } from "./machine.ts";
import {
  benchmarkId,
  CONFIG_BYTES,
  jobState,
  MAX_NODES,
  MAX_STEPS,
  nodeTask,
  pollAfterSeconds,
  rank,
  toTaskWire,
} from "./task.ts";

const config = jsonObject({
  maxBytes: CONFIG_BYTES,
  description: "The benchmark's options; null for none.",
}).nullable();
export const stepPosition = integer({
  min: 0,
  max: MAX_STEPS - 1,
  description: "0-based index into `benchmark_sequence`.",
});
const runningStep = z
  .strictObject({
    position: stepPosition,
    benchmark_id: benchmarkId,
    config,
    peer_key: patternText({
      pattern: /^[0-9a-f]+$/,
      max: 128,
      description:
        "For a cluster step: the key by which its nodes authenticate to each other, hex. Otherwise null.",
    }).nullable(),
  })
  .openapi("RunningStep", { description: "The step to run now." });

const peer = z
  .strictObject({
    rank,
    task_id: idString,
    cluster_address: clusterAddress.nullable(),
    cluster_addresses: clusterAddresses,
  })
  .openapi("Peer", { description: "A node of the same job." });

/** The reply to a poll. */
export const nodeView = z.strictObject({
  id: idString,
  name: text({ min: 1, max: 60, description: "The job's name.", example: "GPU Benchmark Test" }),
  state: jobState,
  version: integer({
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    description: "Incremented by every change of the job.",
  }),
  node_count: integer({ min: 1, max: MAX_NODES, description: "Number of expected nodes." }),
  current_nodes: integer({
    min: 0,
    max: MAX_NODES,
    description: "Number of nodes that have joined.",
  }),
  unfinished_nodes: integer({
    min: 0,
    max: MAX_NODES,
    description: "Number of expected nodes that have not ended, those that have not joined too.",
  }),
  benchmark_sequence: z
    .array(z.strictObject({ benchmark_id: benchmarkId, config }))
    .max(MAX_STEPS)
    .openapi({ description: "The steps of every node, in order." }),
  expires_at: timestamp.openapi({ description: "Time at which the job expires." }),
  directive: z.enum(["join", "wait", "run", "stop"]).openapi({
    description:
      "`join`: the caller has not joined yet. `wait`: poll again later. `run`: run `step` and send its result. `stop`: no work is left.",
  }),
  step: orNull(runningStep),
  nodes: z
    .array(peer)
    .max(MAX_NODES)
    .nullable()
    .openapi({ description: "All nodes of the job while a cluster step runs; otherwise null." }),
  task: orNull(nodeTask),
  poll_after_seconds: pollAfterSeconds,
});

export type NodeView = z.infer<typeof nodeView>;
export type Directive = NodeView["directive"];

/** @param node null for a caller that has not joined */
export function directiveFor(job: Job, node: Node | null): Directive {
  if (isSettled(job)) return "stop";
  if (node === null) return "join";
  if (hasEnded(node)) return "stop";
  return node.steps[positionOf(node)]?.state === "running" ? "run" : "wait";
}

interface Peers {
  list: NonNullable<NodeView["nodes"]>;
  /** JSON of the list. */
  text: string;
  /** Stands for the list in validators. */
  digest: string;
}

/** By list and by job: when a barrier opens, up to 256 nodes are told of the same 256 nodes. */
const peersByList = new WeakMap<object, Peers>();
const peersByJob = new WeakMap<Job, Peers>();

function peersOf(identity: JobIdentity, job: Job): Peers {
  const known = peersByJob.get(job);
  if (known !== undefined) return known;
  const list = job.nodes.map(({ rank, machine }) => ({
    rank,
    task_id: String(taskIdOf(identity.jobId, rank)),
    cluster_address: machine.clusterAddresses[0] ?? null,
    cluster_addresses: [...machine.clusterAddresses],
  }));
  const text = JSON.stringify(list);
  const peers = { list, text, digest: digestOf(text) };
  peersByJob.set(job, peers);
  peersByList.set(list, peers);
  return peers;
}

/** The text of a view. Its list of nodes is serialized once for all nodes that are told of it. */
export function viewText(view: NodeView): string {
  const peers = view.nodes === null ? undefined : peersByList.get(view.nodes);
  if (peers === undefined) return JSON.stringify(view);
  const text = JSON.stringify({ ...view, nodes: null });
  // The last one: a benchmark's options, which come before, are free in form.
  const at = text.lastIndexOf(NO_NODES);
  return `${text.slice(0, at)},"nodes":${peers.text},${text.slice(at + NO_NODES.length)}`;
}

const NO_NODES = ',"nodes":null,';

/** The view of one node, or of a caller that has not joined. */
export function toNodeView(
  identity: JobIdentity,
  job: Job,
  node: Node | null,
  contact: Contact | undefined,
  leaseMs: number,
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
    unfinished_nodes: isSettled(job) ? 0 : job.nodeCount - job.nodes.filter(hasEnded).length,
    benchmark_sequence: [...identity.sequence],
    expires_at: toTimestamp(job.expiresAt),
    directive,
    step:
      step === undefined
        ? null
        : { position, ...step, peer_key: cluster ? identity.peerKey : null },
    nodes: cluster ? peersOf(identity, job).list : null,
    task:
      node === null ? null : toTaskWire(toNodeRecord(identity, node, contact, job.version), null),
    poll_after_seconds: chooseWait(job, directive, leaseMs, random),
  };
}

/**
 * The view of a caller that is not a node. It needs no object: `row` is the job's row in D1.
 *
 * @param job from the same row, or from the job's object while the job is live
 */
export function toReaderView(
  row: {
    id: number;
    name: string;
    nodeCount: number;
    sequence: SequenceStep[];
    expiresAt: number;
  },
  job: Pick<JobRecord, "state" | "version" | "currentNodes" | "endedAt">,
  now: number,
  random: () => number,
): NodeView {
  // A job that nobody has joined settles a moment after its expiry.
  const isOver = job.endedAt !== null || now >= row.expiresAt;
  const directive = isOver ? "stop" : "join";
  return {
    id: String(row.id),
    name: row.name,
    state: job.state,
    version: job.version,
    node_count: row.nodeCount,
    current_nodes: job.currentNodes,
    unfinished_nodes: isOver ? 0 : row.nodeCount,
    benchmark_sequence: row.sequence,
    expires_at: toTimestamp(row.expiresAt),
    directive,
    step: null,
    nodes: null,
    task: null,
    poll_after_seconds: spread(directive === "join" ? SOON : LATER, random),
  };
}

/**
 * Seconds until the next poll: 2–5 before joining and at a barrier (all nodes have joined, and this node waits
 * for the others to reach it), 45–60 otherwise, and less with a short lease. Random, so that nodes do not poll in
 * lockstep.
 */
function chooseWait(job: Job, directive: Directive, leaseMs: number, random: () => number): number {
  const barrier = directive === "wait" && job.nodes.length === job.nodeCount;
  if (barrier || directive === "join") return spread(SOON, random);
  // Within a lease a poll may fail, and its repetition still comes in time.
  const share = Math.min(1, leaseMs / USUAL_LEASE_MS);
  return spread([LATER[0] * share, LATER[1] * share], random);
}

/** Bounds, seconds. */
const SOON = [2, 5] as const;
const LATER = [45, 60] as const;
/** From this lease on, nodes poll as seldom as `LATER` says. */
const USUAL_LEASE_MS = 150_000;

function spread([from, to]: readonly [number, number], random: () => number): number {
  return Math.round((from + random() * (to - from)) * 10) / 10;
}

/**
 * A weak validator of a node's view. It leaves out the job's version and the numbers of nodes, which change with
 * events of other nodes: otherwise each event would be news for up to 256 nodes.
 */
export function etagOf(view: NodeView): string {
  const {
    version: _version,
    poll_after_seconds: _poll,
    current_nodes: _nodes,
    unfinished_nodes: _unfinished,
    ...seen
  } = view;
  const peers = view.nodes === null ? undefined : peersByList.get(view.nodes);
  return `W/"${digestOf(JSON.stringify(peers === undefined ? seen : { ...seen, nodes: peers.digest }))}"`;
}

function digestOf(text: string): string {
  return createHash("sha256").update(text).digest("base64url").slice(0, 22);
}
