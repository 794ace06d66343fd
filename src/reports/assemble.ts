/** Turns D1's facts of a settled job into the data of its report. Pure. */
import { benchmarkOf } from "../benchmarks/catalogue.ts";
import { hardwareName } from "../benchmarks/gpus.ts";
import { resultKeys } from "../benchmarks/sequence.ts";
import type { RatingThresholds } from "../lib/config.ts";
import type { JobVerdict } from "../lib/stored-json.ts";
import { cutAt } from "../lib/text.ts";
import type { JobFacts, TaskFacts } from "./facts-store.ts";
import { joinLinks, linkCount, linksOfNode } from "./link-table.ts";
import { type NodeResults, numberOf } from "./node-results.ts";
import {
  MAX_INVENTORIES,
  type ReportData,
  type ReportNetwork,
  type ReportNode,
} from "./report-data.ts";

/** A step as the projection stores it. */
type StoredStep = Pick<
  ReportNode["steps"][number],
  "state" | "startedAt" | "endedAt" | "errorMessage"
> & { readonly clockSkewMs?: number | null };

export function assemble(
  facts: JobFacts,
  results: ReadonlyMap<number, NodeResults>,
  { thresholds, release }: { thresholds: RatingThresholds; release: string },
): ReportData {
  const { job, tasks } = facts;
  const { sequence, steps, events } = job;
  const keys = resultKeys(sequence);
  const nodes = tasks.map((task) => toNode(task, keys, results.get(task.id)));
  return {
    subject: { kind: "job", id: String(job.id) },
    release,
    origin: job.origin,
    job: {
      id: String(job.id),
      name: job.name,
      description: job.description,
      customer: job.customer,
      tags: job.tags,
      state: job.state,
      nodeCount: job.nodeCount,
      currentNodes: job.currentNodes,
      createdAt: job.createdAt,
      startedAt: job.startedAt,
      endedAt: job.endedAt,
      steps: withoutRepeats(
        sequence.map((step, position) => {
          const { kind, name } = benchmarkOf(step.benchmark_id);
          const config = step.config === null ? null : JSON.stringify(step.config);
          return {
            key: keys[position] ?? "",
            name,
            isCluster: kind === "cluster",
            config,
            ...toStep(steps[position]),
          };
        }),
      ),
    },
    verdict: toVerdict(facts),
    thresholds: {
      underperformingBelow: thresholds.underperformingBelow,
      outperformingAbove: thresholds.outperformingAbove,
      stragglerBelow: thresholds.stragglerBelow,
      dropBelow: thresholds.dropBelow,
      fleetMinMachines: thresholds.fleetMinMachines,
    },
    nodes,
    networks: sequence.flatMap((step, position) =>
      step.benchmark_id === "cluster_network" && steps[position]?.startedAt
        ? [toNetwork(keys[position] ?? "", position, facts, steps[position], results)]
        : [],
    ),
    events: events.map(({ at, kind, rank, message }) => ({ at, kind, rank, message })),
  };
}

/** The scoreboard stores the job's verdict without its nodes, and each node's with its task. */
function toVerdict({ job, tasks }: JobFacts): JobVerdict | null {
  if (job.verdict === null) return null;
  const nodes = tasks.flatMap(({ verdict }) => verdict ?? []);
  return { ...job.verdict, nodes };
}

/** Clocks that differ by less are taken for right: `Date` has whole seconds. */
const NOTABLE_SKEW_MS = 5_000;
const LAST_TIME_MS = Date.UTC(9999, 11, 31);

/**
 * A step with its keys in the order that the content hash needs. A step that the node never reached is `created`. Its times are
 * the server's: a node's clock may be hours off.
 */
function toStep(step: StoredStep | undefined) {
  const { state = "created", startedAt = null, endedAt = null, errorMessage = null } = step ?? {};
  const skew = step?.clockSkewMs ?? 0;
  const clockSkewMs = Math.abs(skew) > NOTABLE_SKEW_MS ? skew : null;
  const byServer = (ms: number | null) =>
    ms === null || clockSkewMs === null
      ? ms
      : Math.min(Math.max(ms - clockSkewMs, 0), LAST_TIME_MS);
  return {
    state,
    startedAt: byServer(startedAt),
    endedAt: byServer(endedAt),
    errorMessage,
    clockSkewMs,
  };
}

/** A reason that steps have in common is printed once, if it is longer than this. */
const SHORT_REASON = 60;

/** A node that gives up ends all its steps for one reason, of up to 1,000 characters. */
export function withoutRepeats<T extends { errorMessage: string | null }>(
  steps: readonly T[],
): T[] {
  return steps.map((step, position) => {
    const { errorMessage } = step;
    const isRepeat = errorMessage !== null && errorMessage === steps[position - 1]?.errorMessage;
    if (!isRepeat || errorMessage.length <= SHORT_REASON) return step;
    return { ...step, errorMessage: "for the same reason as the step before" };
  });
}

function toNode(
  task: TaskFacts,
  keys: readonly string[],
  results: NodeResults | undefined,
): ReportNode {
  const { steps } = task;
  const { quickMark = null } = results ?? {};
  const gpuCount = task.gpuCount ?? (quickMark?.gpus.length || null);
  const { agentVersion = null, values = [], omitted = 0 } = results?.inventory ?? {};
  return {
    rank: task.rank,
    taskId: String(task.id),
    machineUuid: task.machineUuid,
    machineIp: task.machineIp,
    gpuModel: task.gpuModel,
    gpus: hardwareName({ ...task, gpuCount }),
    gpuCount,
    agentVersion,
    state: task.state,
    failedMessage: task.failedMessage,
    joinedAt: task.createdAt,
    startedAt: task.startedAt,
    endedAt: task.endedAt,
    steps: withoutRepeats(keys.map((key, position) => ({ key, ...toStep(steps[position]) }))),
    inventory: values,
    omittedInventory: omitted,
    quickMark,
  };
}

function toNetwork(
  key: string,
  position: number,
  { job }: JobFacts,
  step: StoredStep & { summary: string | null },
  results: ReadonlyMap<number, NodeResults>,
): ReportNetwork {
  // Written by the benchmark's `summarize`.
  const summary: Record<string, unknown> = step.summary === null ? {} : JSON.parse(step.summary);
  // By rank: a node sends only links from itself.
  const links = joinLinks([...results.values()].flatMap((node) => node.links.get(position) ?? []));
  return {
    key,
    state: step.state,
    nodeCount: job.nodeCount,
    averageGbps: numberOf(summary.avg_bandwidth_gbps),
    minimumGbps: numberOf(summary.min_bandwidth_gbps),
    averageLatencyMs: numberOf(summary.avg_latency),
    linksTested: numberOf(summary.total_links_tested) ?? linkCount(links),
    links,
  };
}

/** The data of the job's report: without inventories if it has many nodes. */
export function jobDataOf(data: ReportData): ReportData {
  if (data.nodes.length <= MAX_INVENTORIES) return data;
  return {
    ...data,
    nodes: data.nodes.map((node) => ({ ...node, inventory: [], omittedInventory: 0 })),
  };
}

/** The job's events are whole in its own report. */
const MAX_EVENT_OF_JOB = 200;

function shortened(message: string): string {
  if (message.length <= MAX_EVENT_OF_JOB) return message;
  return `${cutAt(message, MAX_EVENT_OF_JOB - 1)}…`;
}

/** The data of one node's report: its part of the job's. */
export function taskDataOf(data: ReportData, rank: number): ReportData {
  const nodes = data.nodes.filter((each) => each.rank === rank);
  const own = data.verdict?.nodes.filter((each) => each.rank === rank) ?? [];
  const status = own[0]?.status ?? "unrated";
  return {
    ...data,
    subject: { kind: "task", id: nodes[0]?.taskId ?? "", rank },
    nodes,
    verdict: data.verdict && {
      ...data.verdict,
      status,
      ratedNodes: status === "unrated" ? 0 : 1,
      underperformingNodes: status === "underperforming" ? 1 : 0,
      metrics: own[0]?.metrics ?? [],
      nodes: own,
      isReplayed: own[0]?.isReplayed ?? false,
      findings: own[0]?.findings ?? [],
      moreFindings: own[0]?.moreFindings ?? 0,
    },
    networks: data.networks.map((step) => ({
      ...step,
      links: linksOfNode(step.links, rank),
    })),
    events: data.events.flatMap((event) => {
      if (event.rank === null) return [{ ...event, message: shortened(event.message) }];
      return event.rank === rank ? [event] : [];
    }),
  };
}
