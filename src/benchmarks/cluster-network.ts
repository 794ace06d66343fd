import { z } from "@hono/zod-openapi";
import type { Benchmark, JsonObject, NodeDigest } from "./benchmark.ts";
import { boundFault } from "./bounds.ts";
import { judgeLinks } from "./link-judgement.ts";

const rank = z.int().min(0).max(255);

/** A figure that cannot be true is kept as such, and costs nobody the other links. */
const sent = z.union([z.number(), z.string().max(64)], "must be a number");
const measured = z.looseObject({
  source_rank: rank,
  target_rank: rank,
  bandwidth_gbps: sent,
  latency_ms: sent,
});
const failed = z.looseObject({
  source_rank: rank,
  target_rank: rank,
  error: z.string().min(1).max(500),
});

/** One directed link with its figures, or with the reason for its failure. */
const linkMeasurement = z.union([measured, failed]);
type LinkMeasurement = z.infer<typeof linkMeasurement>;
type GoodLink = z.infer<typeof measured> & Record<"bandwidth_gbps" | "latency_ms", number>;
const FIGURES = ["bandwidth_gbps", "latency_ms"] as const;
/** The faults of a result that are listed. */
const MAX_FAULTS = 64;

const config = z.strictObject({
  duration_seconds: z
    .number()
    .min(0.5)
    .max(30)
    .optional()
    .describe("Time for which each directed link is loaded, in seconds; 0.5 by default."),
});
const result = z.looseObject({ measurements: z.array(linkMeasurement).max(255) });

/** Bandwidth and round-trip latency between every two nodes, measured over TCP. */
export const clusterNetwork: Benchmark = {
  id: "cluster_network",
  name: "Cluster Network",
  description:
    "Every directed pair of nodes measures bandwidth and round-trip latency over TCP, in rounds of disjoint pairs.",
  kind: "cluster",
  minNodes: 2,
  measuresNode: false,
  config,
  result,
  checkResult(value, { rank: own, nodeCount, state }) {
    const links = measurementsOf(value);
    const targets = new Set<number>();
    for (const [index, link] of links.entries()) {
      const field = `measurements.${index}`;
      if (link.source_rank !== own) {
        return {
          field: `${field}.source_rank`,
          message: `must be ${own}, the sending node's rank`,
        };
      }
      if (link.target_rank >= nodeCount || link.target_rank === own) {
        const message = `must be the rank of another node, below ${nodeCount}`;
        return { field: `${field}.target_rank`, message };
      }
      if (targets.has(link.target_rank)) {
        return { field: `${field}.target_rank`, message: "must not repeat: one entry per link" };
      }
      targets.add(link.target_rank);
    }
    if (state === "completed" && links.length !== nodeCount - 1) {
      const message = `must have one entry for each other node, ${nodeCount - 1} in total`;
      return { field: "measurements", message };
    }
    return null;
  },
  digest: (value, { cardGbps = null }) => ({
    measurements: measurementsOf(value).map(withoutExtras),
    ...(cardGbps !== null && { card_gbps: cardGbps }),
  }),
  implausible: (value) =>
    measurementsOf(value)
      .flatMap((link, index) =>
        faultsOf(link).map(([name, reason]) => ({
          field: `measurements.${index}.${name}`,
          reason,
        })),
      )
      .slice(0, MAX_FAULTS),
  summarize(nodes, nodeCount) {
    const links = nodes.flatMap((node) => measurementsOf(node.digest));
    if (links.length === 0) return null;
    // A failed link counts as tested but not in the averages.
    const good = links.filter(isGood);
    const bandwidths = good.map((link) => link.bandwidth_gbps);
    const measured = good.map(
      ({ source_rank: source, target_rank: target, bandwidth_gbps: gbps }) => ({
        source,
        target,
        gbps,
      }),
    );
    return {
      avg_bandwidth_gbps: mean(bandwidths),
      avg_latency: mean(good.map((link) => link.latency_ms)),
      min_bandwidth_gbps: bandwidths.length === 0 ? null : Math.min(...bandwidths),
      total_links_tested: links.length,
      node_count: nodeCount,
      judgement: judgeLinks(measured, cardsOf(nodes)),
    };
  },
  details: {
    name: "measurements",
    of: (value) =>
      measurementsOf(value)
        .toSorted((a, b) => a.target_rank - b.target_rank)
        .map((link) => {
          const fault = linkFault(link);
          return fault === null ? link : { ...link, implausible: fault };
        }),
  },
  detailFields: ["avg_bandwidth_gbps", "avg_latency", "min_bandwidth_gbps", "total_links_tested"],
  fields: {
    avg_bandwidth_gbps: { display_name: "Average bandwidth", unit: "Gbit/s" },
    avg_latency: { display_name: "Average latency", unit: "ms" },
    min_bandwidth_gbps: { display_name: "Minimum bandwidth", unit: "Gbit/s" },
    total_links_tested: { display_name: "Links tested", unit: "" },
    node_count: { display_name: "Nodes", unit: "" },
    measurements: { display_name: "Link measurements", unit: "" },
    judgement: { display_name: "Links beside each other", unit: "" },
    bandwidth_gbps: { display_name: "Bandwidth", unit: "Gbit/s" },
    latency_ms: { display_name: "Latency", unit: "ms" },
  },
};

/** A link with an error has failed, even if it has figures, too; one with an implausible figure is no better. */
function isGood(link: LinkMeasurement): link is GoodLink {
  return typeof link.error !== "string" && linkFault(link) === null;
}

/** The figures of a link that cannot be true, with the reasons. */
function faultsOf(link: LinkMeasurement): [string, string][] {
  if (typeof link.error === "string") return [];
  return FIGURES.flatMap((name): [string, string][] => {
    const fault = boundFault(name, link[name], 1, true);
    return fault === null ? [] : [[name, fault]];
  });
}

/** The reason why a link's figures cannot be true; null for possible ones, and for a link that has failed. */
export function linkFault(link: JsonObject): string | null {
  const faults = faultsOf(link as LinkMeasurement); // has passed the `result` schema
  return faults.length === 0 ? null : faults.map(([, reason]) => reason).join("; ");
}

/** The fields needed for the summary, as agents may add others, which can be large. */
function withoutExtras(link: LinkMeasurement): LinkMeasurement {
  const { source_rank, target_rank } = link;
  if (typeof link.error === "string") return { source_rank, target_rank, error: link.error };
  const { bandwidth_gbps, latency_ms } = link as z.infer<typeof measured>; // without an error
  return { source_rank, target_rank, bandwidth_gbps, latency_ms };
}

/** Rates of the nodes' network cards, by rank. */
function cardsOf(nodes: readonly NodeDigest[]): Map<number, number> {
  return new Map(
    nodes.flatMap(({ rank, digest: { card_gbps: gbps } }) =>
      typeof gbps === "number" ? [[rank, gbps] as const] : [],
    ),
  );
}

function measurementsOf(value: JsonObject): LinkMeasurement[] {
  // The value has passed the `result` schema, now or before it was stored.
  return value.measurements as LinkMeasurement[];
}

function mean(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
