/** Robust figures over nodes. `total` is null where a sum means nothing (a temperature, a ratio). */
export interface MetricSummary {
  min: number;
  median: number;
  max: number;
  mean: number;
  total: number | null;
}

/** Summary of at least one finite value; null for none. */
export function summarizeValues(
  values: readonly number[],
  additive: boolean,
): MetricSummary | null {
  const sorted = [...values].sort((a, b) => a - b);
  const min = sorted[0];
  const max = sorted.at(-1);
  if (min === undefined || max === undefined) return null;
  const total = sorted.reduce((sum, value) => sum + value, 0);
  const upper = sorted[sorted.length >> 1] ?? max;
  const lower = sorted[(sorted.length - 1) >> 1] ?? min;
  return {
    min,
    median: (lower + upper) / 2,
    max,
    mean: total / sorted.length,
    total: additive ? total : null,
  };
}
