/**
 * What a person should look at, from the first day on: comparisons within a node, within a job and with the machine's own
 * past, and facts of its health. No baseline is needed (docs/scoreboard.md, "Findings"). Pure.
 */
import { isSlice } from "../benchmarks/gpus.ts";
import { QUICKMARK } from "../benchmarks/methods.ts";
import { normalizeModel } from "../benchmarks/models.ts";
import {
  aboveDataSheet,
  findImplausible,
  limitsOfNode,
  plural,
} from "../benchmarks/plausibility.ts";
import { specFindings } from "../benchmarks/spec-check.ts";
import { medianOf } from "../benchmarks/statistics.ts";
import type { RatingRules } from "../lib/config.ts";
import { FINDING_KINDS } from "../lib/enums.ts";
import { percent } from "../lib/percent.ts";
import type { Drop, Finding, Findings, NodeVerdict, Straggler } from "../lib/stored-json.ts";
import {
  dropMessage,
  EPSILON,
  GPU_COUNT,
  isRated,
  MAX_JOB_FINDINGS,
  MAX_NODE_FINDINGS,
  type NodeFacts,
  type Reading,
  rounded,
  short,
} from "./facts.ts";
import { isReplayed } from "./figures.ts";
import { isForeign } from "./observations.ts";

/** PCIe is as fast one way as the other; below this share of it, a direction is slow. */
export const SLOW_DIRECTION = 0.6;
/** Fewer have no middle. */
const MIN_NODES = 3;

/** The findings of a node by itself; none for a recording, which says nothing of the machine, unless those are rated. */
export function nodeFindings(
  facts: NodeFacts,
  { stragglers, drops }: { stragglers: readonly Straggler[]; drops: readonly Drop[] },
  rules: RatingRules,
): Finding[] {
  if (isForeign(facts, rules)) return [];
  const { rank } = facts;
  const health = facts.figures?.provenance?.health ?? [];
  return [
    ...health.map(
      (warning): Finding => ({
        kind: "health",
        rank,
        ...warning,
        ratio: ratioOf(warning.value, warning.expected),
        message: warning.gpu === null ? warning.message : `GPU ${warning.gpu}: ${warning.message}`,
      }),
    ),
    ...unmeasuredGpus(facts),
    ...specFindings(facts.specCheck, rank),
    ...aboveSheet(facts),
    ...stragglers.map((straggler) => ofStraggler(rank, straggler)),
    ...oneWay(facts),
    ...drops.map((drop) => ofDrop(rank, drop)),
  ].map((finding) => marked(finding, facts));
}

/** What is made of recordings says so. */
function marked(finding: Finding, { figures }: NodeFacts): Finding {
  if (!isReplayed(figures?.provenance ?? null)) return finding;
  return { ...finding, message: `REPLAYED: ${finding.message}` };
}

function ofStraggler(rank: number, straggler: Straggler): Finding {
  const { gpu, metric, value, median, ratio } = straggler;
  const than = `the median of its node's GPUs (${short(median)})`;
  const message =
    ratio === null
      ? `GPU ${gpu}: ${metric} ${short(value)} is implausible, unlike ${than}`
      : `GPU ${gpu}: ${metric} ${short(value)}, ${percent(ratio)} of ${than}`;
  return { kind: "gpu_straggler", metric, rank, gpu, value, expected: median, ratio, message };
}

const TO_GPU = "host_to_device_bandwidth_gbs";
const TO_HOST = "device_to_host_bandwidth_gbs";

/** Copies between host and GPUs that are much slower one way than the other. */
function oneWay(facts: NodeFacts): Finding[] {
  const { rank, figures, gpuCount } = facts;
  if (figures === null || figures.provenance?.withheld.includes("busy")) return [];
  const gpus = gpuCount ?? figures.gpus?.length ?? null;
  const implausible = findImplausible(figures.aggregate, gpus, limitsOfNode(facts));
  if (implausible.has(TO_GPU) || implausible.has(TO_HOST)) return [];
  const { [TO_GPU]: to = 0, [TO_HOST]: from = 0 } = figures.aggregate;
  const [slow, fast] = to < from ? [TO_GPU, TO_HOST] : [TO_HOST, TO_GPU];
  const [value, expected] = to < from ? [to, from] : [from, to];
  if (value <= 0 || value >= SLOW_DIRECTION * expected - EPSILON) return [];
  const than = `${percent(value / expected)} of ${fast} (${short(expected)})`;
  const message = `${slow} ${short(value)}, ${than}`;
  const all = {
    value: rounded(value),
    expected: rounded(expected),
    ratio: rounded(value / expected),
  };
  return [{ kind: "asymmetry", metric: slow, rank, gpu: null, ...all, message }];
}

function ofDrop(rank: number, drop: Drop): Finding {
  const { metric, value, previousValue: expected, ratio } = drop;
  const kind = metric === GPU_COUNT ? "gpu_count" : "drop";
  return { kind, metric, rank, gpu: null, value, expected, ratio, message: dropMessage(drop) };
}

/** GPUs that the machine has and the measurement lacks, or the other way round. */
function unmeasuredGpus({ rank, gpuCount: expected, figures }: NodeFacts): Finding[] {
  const value = figures?.gpus?.length ?? 0;
  if (expected === null || value === 0 || value === expected) return [];
  const message = `figures of ${plural(value, "GPU")}, but the machine has ${expected}`;
  return [gpuCount(rank, value, expected, message)];
}

function gpuCount(rank: number, value: number, expected: number, message: string): Finding {
  const ratio = ratioOf(value, expected);
  return { kind: "gpu_count", metric: GPU_COUNT, rank, gpu: null, value, expected, ratio, message };
}

/** Figures that no such GPU can reach: the clock, the method or the name of the model is wrong. */
function aboveSheet({ rank, figures, gpuModel, gpuCount }: NodeFacts): Finding[] {
  if (figures === null) return [];
  const finding = (gpu: number | null, above: ReturnType<typeof aboveDataSheet>[number]) => {
    const { metric, value, peak: expected } = above;
    const whose = gpu === null ? `${metric} per GPU` : `GPU ${gpu}: ${metric}`;
    const message = `${whose} ${short(value)}, above the ${short(expected)} of the data sheet`;
    const ratio = ratioOf(value, expected);
    return {
      kind: "above_data_sheet" as const,
      metric,
      rank,
      gpu,
      value,
      expected,
      ratio,
      message,
    };
  };
  const single = (figures.gpus ?? []).flatMap(({ model, bf16_tflops, memory_bandwidth_gbs }, gpu) =>
    aboveDataSheet({ bf16_tflops, memory_bandwidth_gbs }, model ?? gpuModel).map((above) =>
      finding(gpu, above),
    ),
  );
  const named = new Set(single.map(({ metric }) => metric));
  const gpus = gpuCount ?? figures.gpus?.length ?? 0;
  if (gpuModel === null || gpus === 0) return single;
  const perGpu = Object.fromEntries(
    Object.entries(figures.aggregate).map(([metric, value]) => [metric, value / gpus]),
  );
  const whole = aboveDataSheet(perGpu, gpuModel).filter(({ metric }) => !named.has(metric));
  return [...single, ...whole.map((above) => finding(null, above))];
}

/**
 * What the nodes of a job show beside each other, by rank: figures of the same model, class and method far below their
 * median, and nodes with fewer GPUs than the others of their model.
 */
export function peerFindings(
  nodes: readonly NodeFacts[],
  rules: RatingRules,
  links: readonly Finding[] = [],
): ReadonlyMap<number, Finding[]> {
  const own = nodes.filter((facts) => !isForeign(facts, rules));
  const found = [...laggingNodes(own, rules), ...smallerNodes(own)];
  const factsOf = new Map(own.map((facts) => [facts.rank, facts]));
  const all = found.flatMap((finding) => {
    const facts = factsOf.get(finding.rank);
    return facts === undefined ? [] : [marked(finding, facts)];
  });
  // Links are measured anew also where figures are recordings.
  return Map.groupBy([...all, ...links], ({ rank }) => rank);
}

interface Peer {
  rank: number;
  metric: string;
  model: string;
  value: number;
}

function laggingNodes(
  nodes: readonly NodeFacts[],
  { stragglerBelow }: Pick<RatingRules, "stragglerBelow">,
): Finding[] {
  const peers = nodes.flatMap((facts) => facts.readings.flatMap((each) => peerOf(facts, each)));
  const alike = Map.groupBy(peers, ({ key }) => key);
  return [...alike.values()].flatMap((group) => {
    const expected = medianOf(group.map(({ value }) => value));
    if (group.length < MIN_NODES || expected === null || expected <= 0) return [];
    return group.flatMap(({ rank, metric, value }): Finding[] => {
      const ratio = value / expected;
      if (ratio >= stragglerBelow - EPSILON) return [];
      const than = `the median of the ${group.length} similar nodes (${short(expected)})`;
      const message = `${metric} per GPU ${short(value)}, ${percent(ratio)} of ${than}`;
      const figures = { value: rounded(value), expected: rounded(expected), ratio: rounded(ratio) };
      return [{ kind: "node_straggler", metric, rank, gpu: null, ...figures, message }];
    });
  });
}

/** A figure that can be compared with those of other nodes. */
function peerOf({ rank, gpuModel }: NodeFacts, reading: Reading): (Peer & { key: string })[] {
  const { metric, value, made } = reading;
  const name = reading.gpuModel ?? gpuModel;
  const model = normalizeModel(name);
  if (value === null || reading.note !== undefined || !isRated(metric)) return [];
  if (model === null || name === null || isSlice(name)) return [];
  const key = JSON.stringify([model, metric, made?.methodClass ?? QUICKMARK, made?.method ?? null]);
  return [{ rank, metric, model, value, key }];
}

function smallerNodes(nodes: readonly NodeFacts[]): Finding[] {
  const counted = nodes.flatMap(({ rank, gpuModel, gpuCount: count }) => {
    const model = normalizeModel(gpuModel);
    return model === null || count === null ? [] : [{ rank, model, count }];
  });
  return [...Map.groupBy(counted, ({ model }) => model).values()].flatMap((group) => {
    const expected = medianOf(group.map(({ count }) => count));
    if (group.length < MIN_NODES || expected === null) return [];
    return group
      .filter(({ count }) => count < expected)
      .map(({ rank, count }) => {
        const message = `${plural(count, "GPU")}, but similar nodes have ${short(expected)}`;
        return gpuCount(rank, count, expected, message);
      });
  });
}

/** The findings of a node, the most urgent first, as many as are shown. */
export function bounded(findings: readonly Finding[], max = MAX_NODE_FINDINGS): Findings {
  const sorted = [...findings].sort(
    (a, b) =>
      FINDING_KINDS.indexOf(a.kind) - FINDING_KINDS.indexOf(b.kind) ||
      a.rank - b.rank ||
      (a.gpu ?? -1) - (b.gpu ?? -1),
  );
  return { findings: sorted.slice(0, max), moreFindings: Math.max(sorted.length - max, 0) };
}

/** Those of all nodes, the most urgent first. */
export function findingsOfJob(nodes: readonly NodeVerdict[]): Findings {
  const all = bounded(
    nodes.flatMap(({ findings }) => findings),
    MAX_JOB_FINDINGS,
  );
  const more = nodes.reduce((sum, { moreFindings }) => sum + moreFindings, all.moreFindings);
  return { ...all, moreFindings: more };
}

function ratioOf(value: number | null, expected: number | null): number | null {
  return value === null || expected === null || expected === 0 ? null : rounded(value / expected);
}
