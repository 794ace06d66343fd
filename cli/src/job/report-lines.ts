/** Pure: a settled job in lines for people. */
import type { BenchmarkResult, JobDetail } from "../api/types.ts";
import { table } from "../output/table.ts";
import { plain } from "../output/text.ts";
import {
  labelOf,
  type NodeOutcome,
  nodeOutcomes,
  RATED,
  showNumber,
  showRatio,
  showVerdict,
} from "./outcome.ts";

/** Larger matrices do not fit on a screen. */
const MATRIX_NODES = 8;
const SLOWEST_LINKS = 10;

type ClusterResults = Readonly<Record<string, BenchmarkResult>>;

/** Verdicts of all nodes, what is wrong with each, and the network between them. */
export function resultLines(job: JobDetail, clusters: ClusterResults): string[] {
  const nodes = nodeOutcomes(job);
  return [
    ...headLines(job),
    "",
    ...nodeTable(nodes),
    ...section("Problems", faultLines(job, nodes)),
    ...clusterLines(clusters),
  ];
}

/** The network between the nodes, and other results that no single node has. */
export function clusterLines(clusters: ClusterResults): string[] {
  return Object.values(clusters).flatMap(networkLines);
}

function headLines(job: JobDetail): string[] {
  const summary = job.scoreboard_summary;
  const verdict = summary === null ? "no verdict" : summary.status;
  const replayed = summary?.replayed
    ? ["REPLAYED: figures are recordings, not measured in this job."]
    : [];
  return [`Job ${job.id} (${plain(job.name)}): ${job.state}, ${verdict}`, ...replayed];
}

function nodeTable(nodes: readonly NodeOutcome[]): string[] {
  return table(
    [
      { title: "Node", of: (node: NodeOutcome) => node.rank },
      { title: "Machine", of: (node) => node.task.machine_uuid },
      { title: "GPUs", of: ({ task }) => gpusOf(task) },
      { title: "State", of: (node) => node.task.state },
      { title: "Verdict", of: (node) => showVerdict(node.verdict) },
      { title: "Spec", of: (node) => node.task.spec_check?.status },
      ...metricsOf(nodes).map((metric) => ({
        title: labelOf(metric),
        of: (node: NodeOutcome) => figureOf(node, metric),
      })),
    ],
    nodes,
  );
}

/** Figures that some node has and that have been rated, in the order of the verdicts. */
function metricsOf(nodes: readonly NodeOutcome[]): string[] {
  const rated = nodes
    .flatMap(({ verdict }) => verdict?.metrics ?? [])
    .filter(({ value, metric }) => value !== null && RATED.has(metric));
  return [...new Set(rated.map(({ metric }) => metric))];
}

/** Such as `149.0 (58 %)`: per GPU, and the part of its baseline. A node with several models has several. */
function figureOf({ verdict }: NodeOutcome, name: string): string {
  return (verdict?.metrics ?? [])
    .filter(({ metric, value }) => metric === name && value !== null)
    .map(
      ({ value, ratio }) => `${showNumber(value)}${ratio === null ? "" : ` (${showRatio(ratio)})`}`,
    )
    .join(", ");
}

/** Such as `2 × NVIDIA H100 NVL, 2 × NVIDIA L40S`. */
export function gpusOf({
  gpu_models,
  gpu_count,
  gpu_model,
}: Pick<JobDetail["tasks"][number], "gpu_models" | "gpu_count" | "gpu_model">): string {
  const groups = gpu_models.map(({ model, count }) => `${count ?? "?"} × ${model}`);
  if (groups.length > 0) return groups.join(", ");
  return gpu_model === null ? "" : `${gpu_count ?? "?"} × ${gpu_model}`;
}

function faultLines(job: JobDetail, nodes: readonly NodeOutcome[]): string[] {
  const missing = job.node_count - job.tasks.length;
  const late = missing > 0 ? [`${missing} of ${job.node_count} nodes did not join`] : [];
  const cluster = Object.entries(job.benchmark_results).flatMap(([id, { state, error_message }]) =>
    state === "failed" ? [`${id} failed: ${error_message ?? "no reason given"}`] : [],
  );
  const ofNodes = nodes.flatMap(({ rank, faults }) =>
    faults.map((fault) => `node ${rank}: ${fault}`),
  );
  return [...late, ...cluster, ...ofNodes].map((line) => `  ${plain(line)}`);
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ["", title, ...lines];
}

interface Link {
  source_rank: number;
  target_rank: number;
  bandwidth_gbps?: number | null;
  latency_ms?: number | null;
  error?: string | null;
}

function networkLines({ benchmark_name, results }: BenchmarkResult): string[] {
  if (results === null) return [];
  // `as`: the form of a cluster benchmark's results, read with care.
  const { avg_bandwidth_gbps, min_bandwidth_gbps, avg_latency, total_links_tested, measurements } =
    results as Record<string, unknown>;
  const number = (value: unknown) => showNumber(typeof value === "number" ? value : null);
  const links = (Array.isArray(measurements) ? measurements : []).filter(isLink);
  return section(benchmark_name, [
    `  Bandwidth  ${number(avg_bandwidth_gbps)} Gbit/s on average, ${number(min_bandwidth_gbps)} at least; latency ${number(avg_latency)} ms; ${number(total_links_tested)} links`,
    ...linkLines(links).map((line) => `  ${line}`),
  ]);
}

function isLink(value: unknown): value is Link {
  if (typeof value !== "object" || value === null) return false;
  const { source_rank, target_rank } = value as Record<string, unknown>;
  return typeof source_rank === "number" && typeof target_rank === "number";
}

/** Few nodes: a matrix of Gbit/s from row to column. Many: the slowest links. */
function linkLines(links: readonly Link[]): string[] {
  if (links.length === 0) return [];
  const ranks = [
    ...new Set(links.flatMap(({ source_rank, target_rank }) => [source_rank, target_rank])),
  ];
  ranks.sort((one, other) => one - other);
  if (ranks.length > MATRIX_NODES) return slowestLinks(links);
  const cell = (from: number, to: number) => {
    const link = links.find(
      ({ source_rank, target_rank }) => source_rank === from && target_rank === to,
    );
    return link === undefined ? null : link.error ? "failed" : showNumber(link.bandwidth_gbps);
  };
  return table(
    [
      { title: "from \\ to", of: (from: number) => `node ${from}` },
      ...ranks.map((to) => ({ title: `node ${to}`, of: (from: number) => cell(from, to) })),
    ],
    ranks,
  );
}

function slowestLinks(links: readonly Link[]): string[] {
  const speed = ({ error, bandwidth_gbps }: Link) => (error ? -1 : (bandwidth_gbps ?? -1));
  const slowest = links.toSorted((one, other) => speed(one) - speed(other)).slice(0, SLOWEST_LINKS);
  return table(
    [
      {
        title: "Slowest links",
        of: (link: Link) => `node ${link.source_rank} → node ${link.target_rank}`,
      },
      { title: "Gbit/s", of: (link) => (link.error ? "failed" : showNumber(link.bandwidth_gbps)) },
      { title: "Latency ms", of: (link) => showNumber(link.latency_ms) },
      { title: "Error", of: (link) => link.error },
    ],
    slowest,
  );
}
