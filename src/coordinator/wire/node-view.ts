/** The reply to a node's poll: the job, and the node's directive with everything needed to follow it. */

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
import { toTimestamp } from "../../lib/clock.ts";
import type { SequenceStep } from "../../lib/stored-json.ts";
import { hasEnded, isSettled, type Job, type Node, positionOf } from "../life/model.ts";
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
    description:
      "Number of expected nodes that have not ended, including nodes that have not joined.",
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
export function chooseWait(
  job: Job,
  directive: Directive,
  leaseMs: number,
  random: () => number,
): number {
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
