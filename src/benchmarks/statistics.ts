import type { MetricSummary } from "../lib/stored-json.ts";

/** Null for no values. */
export function summarizeValues(
  values: readonly number[],
  additive: boolean,
): MetricSummary | null {
  const sorted = [...values].sort((a, b) => a - b);
  const min = sorted[0];
  const max = sorted.at(-1);
  if (min === undefined || max === undefined) return null;
  const total = sorted.reduce((sum, value) => sum + value, 0);
  return {
    min,
    median: quantileOf(sorted, 0.5) ?? min,
    max,
    mean: total / sorted.length,
    total: additive ? total : null,
  };
}

export function medianOf(values: readonly number[]): number | null {
  return quantileOf(Float64Array.from(values).sort(), 0.5);
}

/** Linear between the two nearest of the sorted values (type 7, as R and NumPy do); null for none. */
export function quantileOf(sorted: ArrayLike<number>, share: number): number | null {
  const place = (sorted.length - 1) * share;
  const lower = sorted[Math.floor(place)];
  const upper = sorted[Math.ceil(place)];
  if (lower === undefined || upper === undefined) return null;
  return lower + (upper - lower) * (place - Math.floor(place));
}
