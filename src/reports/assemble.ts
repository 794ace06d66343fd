/** Turns D1's facts of a settled job into the data of its report. Pure. */
import { benchmarkOf } from "../benchmarks/catalogue.ts";
import { hardwareName } from "../benchmarks/gpus.ts";
import { resultKeys } from "../benchmarks/sequence.ts";
import type { RatingThresholds } from "../lib/config.ts";
import { RATED_METRICS } from "../lib/enums.ts";
import type { JobVerdict } from "../lib/stored-json.ts";
import { judgementOf } from "../scoreboard/link-findings.ts";
import type { JobFacts, PastFigures, TaskFacts } from "./facts-store.ts";
import { NOTHING } from "./inventory.ts";
import { joinLinks, linkCount } from "./link-table.ts";
import { type NodeResults, numberOf } from "./node-results.ts";
import type { ReportData, ReportHistory, ReportNetwork, ReportNode } from "./report-data.ts";

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
  const past = Map.groupBy(facts.history, ({ taskId }) => taskId);
  const nodes = tasks.map((task) =>
    toNode(task, keys, results.get(task.id), past.get(task.id) ?? []),
  );
  return {
    subject: { kind: "job", id: String(job.id) },
    release,
    origin: job.origin,
    paper: job.paper,
    job: {
      id: String(job.id),
      name: job.name,
      description: job.description,
      customer: job.customer,
      person: job.person === "" ? null : job.person,
      provider: job.provider,
      region: job.region,
      order: job.order,
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
  history: readonly PastFigures[],
): ReportNode {
  const { steps } = task;
  const { quickMark = null } = results ?? {};
  const gpuCount = task.gpuCount ?? (quickMark?.gpus.length || null);
  const { inventory } = results ?? {};
  const { agentVersion = null, values = [], omitted = 0, machine = NOTHING } = inventory ?? {};
  return {
    rank: task.rank,
    taskId: String(task.id),
    machineUuid: task.machineUuid,
    machineIp: task.machineIp,
    gpuModel: task.gpuModel,
    gpus: hardwareName({ ...task, gpuCount }),
    gpuCount,
    agentVersion,
    machine,
    state: task.state,
    failedMessage: task.failedMessage,
    joinedAt: task.createdAt,
    startedAt: task.startedAt,
    endedAt: task.endedAt,
    steps: withoutRepeats(keys.map((key, position) => ({ key, ...toStep(steps[position]) }))),
    inventory: values,
    omittedInventory: omitted,
    quickMark,
    hosts: keys.flatMap((key, position) => {
      const figures = results?.hosts.get(position);
      return figures === undefined ? [] : [{ key, ...figures }];
    }),
    history: historyOf(history),
  };
}

/** The newest is this job's; figures by other methods, and gaps, are left out. */
function historyOf(figures: readonly PastFigures[]): ReportHistory[] {
  const list = figures.toSorted((a, b) => a.at - b.at);
  const own = list.at(-1);
  return RATED_METRICS.flatMap((metric) => {
    const points = list.flatMap(({ at, values, methods }): [number, number][] => {
      const value = values[metric];
      const isAlike = (methods?.[metric] ?? null) === (own?.methods?.[metric] ?? null);
      return value === null || !isAlike ? [] : [[at, value]];
    });
    return points.length < 2 ? [] : [{ metric, points }];
  });
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
    judgement: judgementOf(step),
    links,
  };
}
