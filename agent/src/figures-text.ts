/** Figures of a step's result as one line for people. Pure. */
import { isRecord, records } from "./protocol.ts";

/** Name and unit of the figures that people compare machines by. */
export const SHOWN_METRICS: Readonly<Record<string, readonly [name: string, unit: string]>> = {
  bf16_tflops: ["BF16", "TFLOPS"],
  memory_bandwidth_gbs: ["memory", "GB/s"],
};

const HOST_FIGURES = [
  ["effective_cores", "effective cores", ""],
  ["memory_triad_gbs", "memory", "GB/s"],
  ["disk_sequential_write_mbs", "disk write", "MB/s"],
  ["disk_random_read_p50_us", "random read", "µs"],
] as const;

/** With separators, and as many digits as a reader compares: `452.2`, `5,671.2`, `23,776`. */
export function number(value: number): string {
  const digits = Math.abs(value) >= 10_000 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString("en-US", { maximumFractionDigits: digits });
}

/** Null for results without figures that this agent knows. */
export function describeFigures(benchmarkId: string, results: unknown): string | null {
  if (!isRecord(results)) return null;
  const parts =
    benchmarkId === "quick_mark"
      ? quickMark(results)
      : benchmarkId === "host_mark"
        ? hostMark(results)
        : benchmarkId === "cluster_network"
          ? links(results)
          : [];
  return parts.length === 0 ? null : parts.join(", ");
}

function quickMark({ aggregate_results: whole, test_results: tests }: Record<string, unknown>) {
  const gpus = records(tests);
  const figures = isRecord(whole) ? whole : gpus[0];
  if (figures === undefined) return [];
  const parts = Object.entries(SHOWN_METRICS).flatMap(([metric, [name, unit]]) => {
    const value = figures[metric];
    return typeof value === "number" ? [`${name} ${number(value)} ${unit}`] : [];
  });
  return parts.length > 0 && gpus.length > 1 ? [...parts, `${gpus.length} GPUs in total`] : parts;
}

function hostMark(results: Record<string, unknown>) {
  return HOST_FIGURES.flatMap(([field, name, unit]) => {
    const value = results[field];
    return typeof value === "number" ? [`${name} ${number(value)} ${unit}`.trimEnd()] : [];
  });
}

function links({ measurements }: Record<string, unknown>) {
  const rates = records(measurements).flatMap(({ bandwidth_gbps: rate }) =>
    typeof rate === "number" ? [rate] : [],
  );
  if (rates.length === 0) return [];
  const mean = rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
  const many = rates.length === 1 ? "1 link" : `${rates.length} links`;
  return [`${many}, ${number(mean)} Gbit/s on average, ${number(Math.min(...rates))} the slowest`];
}
