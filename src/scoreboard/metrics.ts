/** The metrics that rate a node. All others are shown, and rate nothing. */
export const RATED_METRICS = ["bf16_tflops", "memory_bandwidth_gbs"] as const;
export type RatedMetric = (typeof RATED_METRICS)[number];
