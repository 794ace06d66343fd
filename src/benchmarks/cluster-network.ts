import { z } from "@hono/zod-openapi";
import type { Benchmark, JsonObject } from "./benchmark.ts";

const rank = z.int().min(0).max(255);

const measured = z.looseObject({
  source_rank: rank,
  target_rank: rank,
  bandwidth_gbps: z.number().positive(),
  latency_ms: z.number().positive(),
});
const failed = z.looseObject({
  source_rank: rank,
  target_rank: rank,
  error: z.string().min(1).max(500),
});

/** One directed link: what was measured, or why nothing was. */
const linkMeasurement = z.union([measured, failed]);
type LinkMeasurement = z.infer<typeof linkMeasurement>;
type GoodLink = z.infer<typeof measured>;

const config = z.strictObject({
  duration_seconds: z.number().min(0.5).max(30).optional().openapi({
    description: "How long each directed link is loaded, in seconds; 0.5 if left out.",
  }),
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
      const message = `must have one entry for each other node, ${nodeCount - 1} in all`;
      return { field: "measurements", message };
    }
    return null;
  },
  digest: (value) => ({ measurements: measurementsOf(value).map(withoutExtras) }),
  summarize(nodes, nodeCount) {
    const links = nodes.flatMap((node) => measurementsOf(node.digest));
    if (links.length === 0) return null;
    // A link with an error was tested, but says nothing about bandwidth (design §5).
    const good = links.filter(isGood);
    const bandwidths = good.map((link) => link.bandwidth_gbps);
    return {
      avg_bandwidth_gbps: mean(bandwidths),
      avg_latency: mean(good.map((link) => link.latency_ms)),
      min_bandwidth_gbps: bandwidths.length === 0 ? null : Math.min(...bandwidths),
      total_links_tested: links.length,
      node_count: nodeCount,
    };
  },
  withDetails: (summary, nodes) => ({ ...summary, measurements: allMeasurements(nodes) }),
  detailFields: ["avg_bandwidth_gbps", "avg_latency", "min_bandwidth_gbps", "total_links_tested"],
  fields: {
    avg_bandwidth_gbps: { display_name: "Average bandwidth", unit: "Gbit/s" },
    avg_latency: { display_name: "Average latency", unit: "ms" },
    min_bandwidth_gbps: { display_name: "Minimum bandwidth", unit: "Gbit/s" },
    total_links_tested: { display_name: "Links tested", unit: "" },
    node_count: { display_name: "Nodes", unit: "" },
    measurements: { display_name: "Link measurements", unit: "" },
    bandwidth_gbps: { display_name: "Bandwidth", unit: "Gbit/s" },
    latency_ms: { display_name: "Latency", unit: "ms" },
  },
};

/** The measurements of all nodes, by source and target rank. */
function allMeasurements(nodes: readonly JsonObject[]): LinkMeasurement[] {
  return nodes
    .flatMap(measurementsOf)
    .sort((a, b) => a.source_rank - b.source_rank || a.target_rank - b.target_rank);
}

/** A link that says why it failed is no measurement, whatever figures stand beside the reason. */
function isGood(link: LinkMeasurement): link is GoodLink {
  return typeof link.error !== "string";
}

/** What the summary needs: agents may add fields of their own, and those can be large. */
function withoutExtras(link: LinkMeasurement): LinkMeasurement {
  const { source_rank, target_rank } = link;
  if (!isGood(link)) return { source_rank, target_rank, error: String(link.error) };
  const { bandwidth_gbps, latency_ms } = link;
  return { source_rank, target_rank, bandwidth_gbps, latency_ms };
}

function measurementsOf(value: JsonObject): LinkMeasurement[] {
  // The value has passed the `result` schema, here or before it was stored.
  return value.measurements as LinkMeasurement[];
}

function mean(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
