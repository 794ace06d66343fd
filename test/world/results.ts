/** Results of the benchmarks that random tests run, as agents send them. */

export const QUICK_MARK = "quick_mark";
export const CLUSTER_NETWORK = "cluster_network";

export const STARTED_AT = "2026-01-01T00:00:00.000Z";
export const ENDED_AT = "2026-01-01T00:05:00.000Z";

export type StepState = "completed" | "failed";

export function quickMarkFigures(bf16Tflops: number) {
  return { aggregate_results: { bf16_tflops: bf16Tflops, memory_bandwidth_gbs: 3_254.5 } };
}

/** Links from one node to all others of its job, all with the same bandwidth. */
export function clusterFigures(rank: number, nodeCount: number, bandwidthGbps: number) {
  const others = Array.from({ length: nodeCount }, (_, other) => other).filter(
    (other) => other !== rank,
  );
  const measurements = others.map((targetRank) => ({
    source_rank: rank,
    target_rank: targetRank,
    bandwidth_gbps: bandwidthGbps,
    latency_ms: 0.5,
  }));
  return { measurements };
}

/** The body that ends a step; a failed step has an error message. */
export function stepResult<Figures>(state: StepState, figures: Figures) {
  return {
    state,
    started_at: STARTED_AT,
    ended_at: ENDED_AT,
    results: figures,
    error_message: state === "failed" ? "no GPU" : null,
  };
}
