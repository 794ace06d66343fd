/** Repeats a measurement until its last values agree or the time is up. Pure. */

export interface SeriesPlan {
  /** So many of the last values must agree, and are the figure. */
  window: number;
  /** Largest less smallest of them, over their median. */
  tolerance: number;
  /** Time of all of them together. */
  maxMs: number;
}

/** As QuickMark's quality of a figure. */
export interface Quality {
  settled: boolean;
  /** 90th less 10th percentile of all values, over their median. */
  spread: number;
  /** The last values' median over that of the first, less 1. */
  drift: number;
  samples: number;
}

export interface Figure {
  /** The median of the last values. */
  value: number;
  quality: Quality;
}

/** True once a series needs no more values. */
export function isDone(
  values: readonly number[],
  elapsedMs: number,
  { window, tolerance, maxMs }: SeriesPlan,
): boolean {
  return values.length > 0 && (elapsedMs >= maxMs || agree(values, window, tolerance));
}

/** @throws RangeError of nothing */
export function figureOf(
  values: readonly number[],
  { window, tolerance }: Pick<SeriesPlan, "window" | "tolerance">,
): Figure {
  if (values.length === 0) throw new RangeError("a figure needs at least one value");
  const value = median(values.slice(-window));
  const middle = median(values);
  return {
    value,
    quality: {
      settled: agree(values, window, tolerance),
      spread: rounded((quantile(values, 0.9) - quantile(values, 0.1)) / middle),
      drift: rounded(value / median(values.slice(0, window)) - 1),
      samples: values.length,
    },
  };
}

function agree(values: readonly number[], window: number, tolerance: number): boolean {
  const last = values.slice(-window);
  return (
    last.length === window && (Math.max(...last) - Math.min(...last)) / median(last) <= tolerance
  );
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const low = sorted[Math.floor(place)] ?? Number.NaN;
  const high = sorted[Math.ceil(place)] ?? Number.NaN;
  return low + (high - low) * (place - Math.floor(place));
}

function rounded(value: number): number {
  return Math.round(value * 10_000) / 10_000;
}
