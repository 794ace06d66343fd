/** Measurements of a part of the scale: series by size, each with the work that it may follow, and their tables. */
import { availableParallelism, loadavg } from "node:os";
import { growsTooFast, growthOf, type Work } from "./fit.ts";

export interface Series {
  name: string;
  unit: string;
  work: Work;
  /** Counts are the same on every machine, and decide; timings decide only beyond their noise. */
  isExact: boolean;
  points: { n: number; cost: number }[];
}

export interface Part {
  /** The thing that sizes count, such as nodes. */
  size: string;
  series: Series[];
  /** Of the machine's last minute, before and after, beside its cores. */
  load: { before: number; after: number; cores: number };
  /** Day of the measurement. */
  day: string;
}

/** Measures a part, and notes the load of the machine. */
export async function measurePart(size: string, measure: () => Promise<Series[]>): Promise<Part> {
  const before = loadavg()[0] ?? 0;
  const series = await measure();
  const load = { before, after: loadavg()[0] ?? 0, cores: availableParallelism() };
  return { size, series, load, day: new Date().toISOString().slice(0, 10) };
}

/** The growth of a series in words: exponent, its interval and what is allowed. */
export function describeGrowth({ points, work, isExact }: Series): string {
  if (points.length < 2) return "–";
  const { exponent, low, high } = growthOf(points);
  const interval = points.length > 2 ? ` (${low.toFixed(2)} to ${high.toFixed(2)})` : "";
  const missed = growsTooFast(points, work, isExact) ? " TOO FAST" : "";
  return `n^${exponent.toFixed(2)}${interval}${missed}`;
}

/** The words for a work times log n. */
export const ALLOWED: Readonly<Record<Work, string>> = {
  constant: "log n",
  linear: "n log n",
  square: "n² log n",
};

export function partHolds({ series }: Part): boolean {
  return series.every(
    ({ points, work, isExact }) => points.length < 2 || !growsTooFast(points, work, isExact),
  );
}

/** The table of a part, in Markdown: one line for each series. */
export function partTable({ size, series, load, day }: Part): string[] {
  const sizes = [...new Set(series.flatMap(({ points }) => points.map(({ n }) => n)))].sort(
    (a, b) => a - b,
  );
  const head = [size, ...sizes.map(count), "growth", "may grow as"];
  const rows = series.map((each) => {
    const cells = sizes.map((n) => {
      const point = each.points.find((one) => one.n === n);
      return point === undefined ? "–" : figure(point.cost);
    });
    const name = `${each.name}${each.unit === "" ? "" : `, ${each.unit}`}`;
    return [name, ...cells, describeGrowth(each), ALLOWED[each.work]];
  });
  const { before, after, cores } = load;
  return [
    ...markdownTable(head, rows),
    "",
    `Measured on ${day}; load ${before.toFixed(1)} before, ${after.toFixed(1)} after, on ${cores} cores. Timings and the bytes sent to D1 depend on the machine; all other lines are counts.`,
  ];
}

/** @param texts columns that are no figures */
export function markdownTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  texts: readonly number[] = [0],
) {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  const rule = `|${head.map((_, at) => (texts.includes(at) ? "---" : "---:")).join("|")}|`;
  return [line(head), rule, ...rows.map(line)];
}

export const count = (value: number): string => value.toLocaleString("en-US");

/** Three digits are what a measurement has; whole numbers keep theirs. */
export function figure(value: number): string {
  if (Number.isInteger(value)) return count(value);
  if (Math.abs(value) >= 100) return count(Math.round(value));
  return String(Number(value.toPrecision(3)));
}
