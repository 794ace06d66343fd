/** From what D1 knows of a settled job to what its report says. Pure. */
import { benchmarkOf } from "../benchmarks/catalogue.ts";
import { perWattFault, powerFault } from "../benchmarks/plausibility.ts";
import { QUICK_MARK_METRICS } from "../benchmarks/quick-mark.ts";
import { resultKeys, type SequenceStep } from "../benchmarks/sequence.ts";
import type { RatingThresholds } from "../lib/config.ts";
import type { JobVerdict } from "../scoreboard/verdict.ts";
import { readInventory } from "./inventory.ts";
import type {
  Figures,
  QuickMarkFigures,
  ReportData,
  ReportEvent,
  ReportLink,
  ReportNetwork,
  ReportNode,
} from "./report-data.ts";
import type { JobFacts, TaskFacts } from "./store.ts";

type JsonObject = Record<string, unknown>;
/** As the projection stores it. */
type StoredStep = Pick<
  ReportNode["steps"][number],
  "state" | "startedAt" | "endedAt" | "errorMessage"
>;

/** What one node sent, reduced to what a report shows of it. */
export interface NodeResults {
  inventory: ReturnType<typeof readInventory>;
  quickMark: QuickMarkFigures | null;
  /** By position of the sequence. */
  links: Map<number, ReportLink[]>;
}

/** Reduces one node's results at once, so that those of a large job are never in memory together. */
export function readNodeResults(
  sequence: readonly SequenceStep[],
  task: { gpuCount: number | null; inventory: string | null },
  results: readonly { position: number; results: string }[],
): NodeResults {
  const read: NodeResults = {
    inventory: readInventory(task.inventory),
    quickMark: null,
    links: new Map(),
  };
  for (const { position, results: text } of results) {
    // Passed the benchmark's schema before it was stored.
    const value: JsonObject = JSON.parse(text);
    const id = sequence[position]?.benchmark_id;
    if (id === "quick_mark") read.quickMark = readQuickMark(value, task.gpuCount);
    else if (id === "cluster_network") read.links.set(position, readLinks(value));
  }
  return read;
}

export function assemble(
  facts: JobFacts,
  results: ReadonlyMap<number, NodeResults>,
  { thresholds, release }: { thresholds: RatingThresholds; release: string },
): ReportData {
  const { job, tasks } = facts;
  const sequence: SequenceStep[] = JSON.parse(job.sequence);
  const keys = resultKeys(sequence);
  const steps: (StoredStep & { summary: string | null })[] = JSON.parse(job.steps);
  const events: ReportEvent[] = JSON.parse(job.events);
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
      tags: JSON.parse(job.tags),
      state: job.state,
      nodeCount: job.nodeCount,
      currentNodes: job.currentNodes,
      createdAt: job.createdAt,
      startedAt: job.startedAt,
      endedAt: job.endedAt,
      steps: sequence.map((step, position) => {
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

/** The verdict as the scoreboard stored it: the job's without its nodes, each node's with its task. */
function toVerdict({ job, tasks }: JobFacts): JobVerdict | null {
  if (job.verdict === null) return null;
  const nodes = tasks.flatMap(({ verdict }) => (verdict === null ? [] : [JSON.parse(verdict)]));
  return { ...JSON.parse(job.verdict), nodes };
}

/** A step of the projection, its keys in one order. A node that never got so far has none. */
function toStep(step: StoredStep | undefined): StoredStep {
  const { state = "created", startedAt = null, endedAt = null, errorMessage = null } = step ?? {};
  return { state, startedAt, endedAt, errorMessage };
}

function toNode(
  task: TaskFacts,
  keys: readonly string[],
  results: NodeResults | undefined,
): ReportNode {
  const steps: StoredStep[] = JSON.parse(task.steps);
  const { quickMark = null } = results ?? {};
  const { agentVersion = null, values = [], omitted = 0 } = results?.inventory ?? {};
  return {
    rank: task.rank,
    taskId: String(task.id),
    machineUuid: task.machineUuid,
    machineIp: task.machineIp,
    gpuModel: task.gpuModel,
    gpuCount: task.gpuCount ?? (quickMark?.gpus.length || null),
    agentVersion,
    state: task.state,
    failedMessage: task.failedMessage,
    joinedAt: task.createdAt,
    startedAt: task.startedAt,
    endedAt: task.endedAt,
    steps: keys.map((key, position) => ({ key, ...toStep(steps[position]) })),
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
  const summary: JsonObject = step.summary === null ? {} : JSON.parse(step.summary);
  const links = [...results.values()]
    .flatMap((node) => node.links.get(position) ?? [])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  return {
    key,
    state: step.state,
    nodeCount: job.nodeCount,
    averageGbps: numberOf(summary.avg_bandwidth_gbps),
    minimumGbps: numberOf(summary.min_bandwidth_gbps),
    averageLatencyMs: numberOf(summary.avg_latency),
    linksTested: numberOf(summary.total_links_tested) ?? links.length,
    links,
  };
}

function readLinks(value: JsonObject): ReportLink[] {
  const list = Array.isArray(value.measurements) ? value.measurements : [];
  return list.map((link): ReportLink => {
    const { source_rank: source, target_rank: target, error } = link;
    return typeof error === "string"
      ? [source, target, error]
      : [source, target, link.bandwidth_gbps, link.latency_ms];
  });
}

function readQuickMark(value: JsonObject, gpuCount: number | null): QuickMarkFigures {
  const sent = objectOf(value.aggregate_results);
  const tests: unknown[] = Array.isArray(value.test_results) ? value.test_results : [];
  const aggregate = figuresOf(sent);
  return {
    isReplayed: value.replayed === true,
    measuredAt: typeof value.timestamp === "string" ? value.timestamp : null,
    aggregate,
    implausible: implausibleOf(aggregate, gpuCount ?? Math.max(tests.length, 1)),
    gpus: tests.map((test) => {
      const gpu = objectOf(test);
      const figures = figuresOf(gpu);
      const id = typeof gpu.gpu_id === "string" ? gpu.gpu_id : "not stated";
      return { id, figures, implausible: implausibleOf(figures, 1) };
    }),
    pairs: Object.entries(objectOf(sent.gpu_bandwidth_matrix)).flatMap(([name, pair]) => {
      const [from, to] = name.split("_to_");
      if (from === undefined || to === undefined) return [];
      const { connection_type: type, duplex_gbs: duplex, simplex_gbs: simplex } = objectOf(pair);
      return [
        {
          from,
          to,
          type: typeof type === "string" ? type : null,
          duplex: numberOf(duplex),
          simplex: numberOf(simplex),
        },
      ];
    }),
  };
}

/** What QuickMark knows, in its order. */
function figuresOf(sent: JsonObject): Figures {
  return Object.fromEntries(
    QUICK_MARK_METRICS.flatMap(({ name }): [string, number][] => {
      const figure = numberOf(sent[name]);
      return figure === null ? [] : [[name, figure]];
    }),
  );
}

/** No GPU at work is colder than a cold room, or outlives more than this. */
const MIN_CELSIUS = 5;
const MAX_CELSIUS = 130;

function implausibleOf(figures: Figures, gpus: number): string[] {
  const isPowerWrong = powerFault(figures, gpus) !== null;
  return QUICK_MARK_METRICS.flatMap(({ name, isPerWatt }) => {
    const figure = figures[name];
    if (figure === undefined) return [];
    const isWrong =
      (isPowerWrong && (isPerWatt || name === "power_consumption_watts")) ||
      (isPerWatt && perWattFault(figure) !== null) ||
      (name === "temperature_centigrade" && (figure < MIN_CELSIUS || figure > MAX_CELSIUS));
    return isWrong ? [name] : [];
  });
}

function objectOf(value: unknown): JsonObject {
  return typeof value === "object" && value !== null ? (value as JsonObject) : {}; // JSON: keys are strings
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}
