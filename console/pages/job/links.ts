/** The links of a cluster: 65,280 of them between 256 nodes. Pure. */
import { listOf, numberOf, objectOf, textOf } from "./figures.ts";

export type LinkFigure = "bandwidth" | "latency";

export interface Link {
  source: number;
  target: number;
  /** Gbit/s; null for a link that failed. */
  bandwidth: number | null;
  /** Milliseconds. */
  latency: number | null;
  error: string | null;
}

export interface NodeLinks {
  rank: number;
  /** Medians over its links, in and out. */
  bandwidth: number | null;
  latency: number | null;
  slowest: Link | null;
  failed: number;
}

export interface LinkTable {
  nodeCount: number;
  links: readonly Link[];
  /** By `source * nodeCount + target`; NaN where nothing was measured. */
  values: Readonly<Record<LinkFigure, Float64Array>>;
  nodes: readonly NodeLinks[];
  failed: number;
}

/** @param results of `cluster_network`, with its measurements */
export function readLinks(results: unknown, nodeCount: number): LinkTable {
  const links = listOf(objectOf(results).measurements).flatMap((sent): Link[] => {
    const link = objectOf(sent);
    const [source, target] = [numberOf(link.source_rank), numberOf(link.target_rank)];
    const isKnown = (rank: number | null): rank is number =>
      rank !== null && rank >= 0 && rank < nodeCount;
    if (!isKnown(source) || !isKnown(target)) return [];
    const error = textOf(link.error) ?? textOf(link.implausible);
    const good = (value: unknown) => (error === null ? numberOf(value) : null);
    return [
      {
        source,
        target,
        bandwidth: good(link.bandwidth_gbps),
        latency: good(link.latency_ms),
        error,
      },
    ];
  });
  const values = {
    bandwidth: new Float64Array(nodeCount * nodeCount).fill(Number.NaN),
    latency: new Float64Array(nodeCount * nodeCount).fill(Number.NaN),
  };
  for (const { source, target, bandwidth, latency } of links) {
    values.bandwidth[source * nodeCount + target] = bandwidth ?? Number.NaN;
    values.latency[source * nodeCount + target] = latency ?? Number.NaN;
  }
  return {
    nodeCount,
    links,
    values,
    nodes: summarize(links, nodeCount),
    failed: links.filter(({ error }) => error !== null).length,
  };
}

function summarize(links: readonly Link[], nodeCount: number): NodeLinks[] {
  const byNode = Array.from({ length: nodeCount }, (): Link[] => []);
  for (const link of links) {
    byNode[link.source]?.push(link);
    byNode[link.target]?.push(link);
  }
  return byNode.map((own, rank) => {
    const good = own.filter(({ bandwidth }) => bandwidth !== null);
    return {
      rank,
      bandwidth: median(good.map(({ bandwidth }) => bandwidth ?? 0)),
      latency: median(own.flatMap(({ latency }) => latency ?? [])),
      slowest: good.reduce<Link | null>(
        (worst, link) =>
          worst === null || (link.bandwidth ?? 0) < (worst.bandwidth ?? 0) ? link : worst,
        null,
      ),
      failed: own.filter(({ error }) => error !== null).length,
    };
  });
}

export function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return low === undefined || high === undefined ? null : (low + high) / 2;
}

/** The bounds of a scale without its outliers: the 2nd and the 98th percentile. */
export function scaleOf(values: Float64Array): { low: number; high: number } | null {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort();
  if (sorted.length === 0) return null;
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? 0;
  return { low: at(0.02), high: at(0.98) };
}

/** Place of a value on a scale, 0 to 1. */
export function placeOf(value: number, { low, high }: { low: number; high: number }): number {
  if (high === low) return 1;
  return Math.max(0, Math.min(1, (value - low) / (high - low)));
}
