/**
 * Rates nodes and jobs by figures per GPU (docs/scoreboard.md). A missing or implausible figure is `unrated`, with
 * the reason, and is never a divisor. Pure.
 */
import { QUICKMARK } from "../benchmarks/methods.ts";
import type { RatingRules, RatingThresholds } from "../lib/config.ts";
import type { PerformanceStatus } from "../lib/enums.ts";
import { percent } from "../lib/percent.ts";
import type { Finding, JobVerdict, MetricVerdict, NodeVerdict } from "../lib/stored-json.ts";
import {
  type Baseline,
  comparisonOf,
  EPSILON,
  isRated,
  type NodeFacts,
  type OtherClass,
  type Reading,
  rounded,
  withModel,
} from "./facts.ts";
import { isReplayed } from "./figures.ts";
import { bounded, findingsOfJob, nodeFindings, peerFindings } from "./findings.ts";
import { findDrops, findFewerGpus, stragglersOf } from "./observations.ts";

/**
 * The verdicts on the nodes of a job, with what they show beside each other.
 *
 * @param links findings of the links between them
 */
export function rateNodes(
  nodes: readonly NodeFacts[],
  rules: RatingRules,
  links: readonly Finding[] = [],
): NodeVerdict[] {
  const beside = peerFindings(nodes, rules, links);
  return nodes.map((facts) => rateNode(facts, rules, beside.get(facts.rank)));
}

/** @param beside what the other nodes of its job show of it */
export function rateNode(
  facts: NodeFacts,
  rules: RatingRules,
  beside: readonly Finding[] = [],
): NodeVerdict {
  const { rank, machineUuid, gpuModel, gpuCount, gpuModels, readings } = facts;
  const metrics = readings.map((reading) => {
    const { metric } = reading;
    if (!isRated(metric)) return forInformation(reading);
    const { baselines, others } = comparisonOf(facts, reading);
    return rateMetric(reading, baselines[metric], rules, others[metric]);
  });
  const stragglers = stragglersOf(facts, rules);
  const drops = [...findFewerGpus(facts, rules), ...findDrops(facts, rules)];
  const findings = [...nodeFindings(facts, { stragglers, drops }, rules), ...beside];
  return {
    rank,
    machineUuid,
    gpuModel,
    gpuCount,
    gpuModels,
    status: statusOfNode(metrics),
    metrics,
    stragglers,
    drops,
    isReplayed: isReplayed(facts.figures?.provenance ?? null),
    ...bounded(findings),
  };
}

export function rateMetric(
  reading: Reading,
  baseline: Baseline | null,
  { underperformingBelow, outperformingAbove }: RatingThresholds,
  other: OtherClass = NOTHING_ELSE,
): MetricVerdict {
  if (reading.value === null)
    return { ...unrated(reading, reading.fault), ...comparedWith(baseline) };
  if (reading.note !== undefined) return unrated(reading, reading.note);
  if (baseline === null) return ofAnotherClass(reading, reading.value, other);
  const ratio = reading.value / baseline.value;
  const { metric, value } = reading;
  const verdict = {
    metric,
    gpuModel: reading.gpuModel,
    value: rounded(value),
    ratio: rounded(ratio),
    ...comparedWith(baseline),
    methodClass: classOf(reading),
    reference: null,
  };
  if (baseline.sampleSize === 1) {
    const reason = "the baseline comes from a single machine, too few for a verdict";
    return { ...verdict, status: "unrated", reason: reasonOf(reading, reason) };
  }
  const share = `${percent(ratio)} of the ${baseline.source.replace("_", " ")} baseline`;
  if (ratio < underperformingBelow - EPSILON) {
    const reason = `${share}: below ${percent(underperformingBelow)}`;
    return { ...verdict, status: "underperforming", reason: reasonOf(reading, reason) };
  }
  if (ratio > outperformingAbove + EPSILON) {
    const reason = `${share}: above ${percent(outperformingAbove)}`;
    return { ...verdict, status: "outperforming", reason: reasonOf(reading, reason) };
  }
  return { ...verdict, status: "expected", reason: reasonOf(reading, null) };
}

const NOTHING_ELSE: OtherClass = { baselineOf: null, reference: null };

/** A figure whose class has no baseline, with what another class says of it. */
function ofAnotherClass(
  reading: Reading,
  value: number,
  { baselineOf, reference }: OtherClass,
): MetricVerdict {
  const reason =
    baselineOf === null
      ? "there is no baseline for this GPU model yet"
      : `measured with ${classOf(reading)}, but the baseline is for ${baselineOf}`;
  const verdict = unrated(reading, reasonOf(reading, reason) ?? reason);
  if (reference === null) return verdict;
  return { ...verdict, reference: { ...reference, ratio: rounded(value / reference.value) } };
}

function classOf({ made }: Pick<Reading, "made">): string {
  return made?.methodClass ?? QUICKMARK;
}

/** The reason with what must be known of the figure, whatever its verdict is. */
function reasonOf({ made }: Reading, reason: string | null): string | null {
  if (made === undefined) return reason;
  const parts = [
    ...(made.isReplayed ? ["REPLAYED"] : []),
    ...(reason === null ? [] : [reason]),
    ...(made.isSettled ? [] : ["the figure had not settled when its time was up"]),
  ];
  return parts.length === 0 ? null : parts.join(": ");
}

function forInformation(reading: Reading): MetricVerdict {
  return unrated(reading, reading.fault ?? "for information: this metric is not rated");
}

function unrated(
  reading: Pick<Reading, "metric" | "gpuModel" | "value" | "made">,
  reason: string,
): MetricVerdict {
  const { metric, gpuModel, value } = reading;
  const none = { ratio: null, ...comparedWith(null), reference: null };
  const methodClass = classOf(reading);
  return {
    metric,
    gpuModel,
    value: rounded(value),
    ...none,
    methodClass,
    status: "unrated",
    reason,
  };
}

function comparedWith(baseline: Baseline | null) {
  return {
    baseline: baseline?.value ?? null,
    sampleSize: baseline?.sampleSize ?? null,
    source: baseline?.source ?? null,
    ownFleetBaseline: baseline?.ownFleet ?? null,
    fleetBaseline: baseline?.fleet ?? null,
    shippedBaseline: baseline?.shipped ?? null,
    ...(baseline?.spread !== undefined && { spread: baseline.spread }),
  };
}

/**
 * `underperforming` when one rated metric is, `outperforming` when all are, `unrated` when none has a verdict, else
 * `expected`. So a node with an unrated metric is never `outperforming`.
 */
function statusOfNode(metrics: readonly MetricVerdict[]): PerformanceStatus {
  const statuses = metrics.filter(({ metric }) => isRated(metric)).map(({ status }) => status);
  if (statuses.includes("underperforming")) return "underperforming";
  if (statuses.every((status) => status === "unrated")) return "unrated";
  return statuses.every((status) => status === "outperforming") ? "outperforming" : "expected";
}

/** The verdict on the job as a whole. The order of the nodes does not matter. */
export function rateJob(verdicts: readonly NodeVerdict[], baselineVersion: number): JobVerdict {
  const nodes = [...verdicts].sort((a, b) => a.rank - b.rank);
  const rated = nodes.filter(({ status }) => status !== "unrated");
  const names = new Set(nodes.flatMap(({ metrics }) => metrics.map(({ metric }) => metric)));
  return {
    status: worstOf(nodes.map(({ status }) => status)),
    benchmarkId: "quick_mark",
    baselineVersion,
    ratedNodes: rated.length,
    underperformingNodes: rated.filter(({ status }) => status === "underperforming").length,
    metrics:
      nodes.length === 1 ? ownMetrics(nodes) : [...names].map((metric) => lowestOf(metric, nodes)),
    nodes,
    isReplayed: nodes.some((node) => node.isReplayed),
    ...findingsOfJob(nodes),
  };
}

function worstOf(statuses: readonly PerformanceStatus[]): PerformanceStatus {
  const order: readonly PerformanceStatus[] = ["underperforming", "expected", "outperforming"];
  return order.find((status) => statuses.includes(status)) ?? "unrated";
}

/** Of a job of one node: all of its metrics, with the model that is rated. */
function ownMetrics(nodes: readonly NodeVerdict[]): MetricVerdict[] {
  return nodes.flatMap((node) => node.metrics.map((metric) => withModel(metric, node)));
}

/** A job's metric is that of the node with the smallest share of its own baseline. */
function lowestOf(metric: string, nodes: readonly NodeVerdict[]): MetricVerdict {
  const none = { metric, gpuModel: null, value: null };
  const verdicts = nodes.flatMap((node) =>
    node.metrics
      .filter((verdict) => verdict.metric === metric)
      .map((verdict) => ({ rank: node.rank, verdict: withModel(verdict, node) })),
  );
  const rated = verdicts.filter(({ verdict }) => verdict.status !== "unrated");
  const compared = verdicts.filter(({ verdict }) => verdict.ratio !== null);
  const [lowest = verdicts[0]] = (rated.length > 0 ? rated : compared).sort(
    (a, b) => (a.verdict.ratio ?? 0) - (b.verdict.ratio ?? 0) || a.rank - b.rank,
  );
  if (lowest === undefined) return unrated(none, "not measured");
  const { rank, verdict } = lowest;
  // A metric without a baseline has no lowest node.
  if (!isRated(metric)) {
    return unrated(none, "for information: each node has its own");
  }
  if (rated.length === 0) {
    const reason = `no node is rated; node ${rank}: ${verdict.reason}`;
    // Figures compared with the baseline of one machine are shown, though they have no verdict.
    return verdict.ratio === null ? unrated(none, reason) : { ...verdict, reason };
  }
  const which = `node ${rank} is the lowest of ${rated.length} rated`;
  const reason = verdict.reason === null ? which : `${which}: ${verdict.reason}`;
  return { ...verdict, reason };
}
