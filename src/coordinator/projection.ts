import type { JsonObject } from "../benchmarks/benchmark.ts";
import { benchmarkOf } from "../benchmarks/catalogue.ts";
import { taskIdOf } from "../lib/ids.ts";
import type { Job, Node } from "./lifecycle.ts";
import type { JobRecord, TaskRecord } from "./records.ts";
import type { Contact, JobIdentity } from "./storage.ts";

/** The job's row. `summaryOf` gives the summary of a position as JSON, or null while there is none. */
export function toJobRecord(job: Job, summaryOf: (position: number) => string | null): JobRecord {
  return {
    version: job.version,
    state: job.state,
    currentNodes: job.nodes.length,
    startedAt: job.startedAt,
    endedAt: job.endedAt,
    steps: job.steps.map((step, position) => ({ ...step, summary: summaryOf(position) })),
    events: job.events,
  };
}

/**
 * The benchmark's figures over the nodes: of a node benchmark over those that have ended it, of a
 * cluster benchmark once the step has ended.
 */
export function summarizeStep(
  identity: JobIdentity,
  job: Job,
  position: number,
  digests: readonly { rank: number; digest: JsonObject }[],
): string | null {
  const benchmark = benchmarkOf(identity.sequence[position]?.benchmark_id ?? "");
  if (benchmark.kind === "cluster" && job.steps[position]?.endedAt === null) return null;
  const nodes = digests.map(({ rank, digest }) => ({
    rank,
    digest,
    gpuCount: job.nodes[rank]?.machine.gpuCount ?? null,
  }));
  const summary = benchmark.summarize(nodes, job.nodeCount);
  return summary === null ? null : JSON.stringify(summary);
}

export function toTaskRecord(
  identity: JobIdentity,
  node: Node,
  contact: Contact | undefined,
  version: number,
): TaskRecord {
  const done = node.state === "completed" || node.state === "completed_with_warnings";
  return {
    id: taskIdOf(identity.jobId, node.rank),
    jobId: identity.jobId,
    rank: node.rank,
    version,
    machineUuid: node.machine.machineUuid,
    machineIp: node.machine.machineIp,
    clusterAddress: node.machine.clusterAddress,
    gpuModel: node.machine.gpuModel,
    gpuCount: node.machine.gpuCount,
    inventory: node.machine.inventory,
    state: node.state,
    failedMessage: node.failedMessage,
    steps: node.steps,
    progress: done ? 1 : (contact?.progress ?? 0),
    message: node.endedAt === null ? (contact?.message ?? null) : null,
    createdAt: node.joinedAt,
    startedAt: node.startedAt,
    endedAt: node.endedAt,
  };
}
