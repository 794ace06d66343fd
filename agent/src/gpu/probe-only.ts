/** `--probe-only`: this machine's figures for the person at its terminal, without a server. */
import type { Clock } from "../clock.ts";
import { isRecord } from "../protocol.ts";
import type { ProbeOptions, Results } from "./messages.ts";
import { type ProbeOutcome, runProbeProcess } from "./probe-process.ts";

interface Terminal {
  stdout: (text: string) => void;
  stderr: (text: string) => void;
}

/** In the order in which they are shown; all that a GPU can have. */
const COLUMNS: readonly (readonly [metric: string, title: string, unit: string])[] = [
  ["bf16_tflops", "BF16", "TFLOPS"],
  ["fp16_tflops", "FP16", "TFLOPS"],
  ["fp32_cuda_core_tflops", "FP32", "TFLOPS"],
  ["memory_bandwidth_gbs", "memory", "GB/s"],
  ["host_to_device_bandwidth_gbs", "to GPU", "GB/s"],
  ["device_to_host_bandwidth_gbs", "from GPU", "GB/s"],
  ["kernel_launch_overhead_us", "launch", "us"],
  ["power_consumption_watts", "power", "W"],
  ["temperature_centigrade", "heat", "C"],
];

/** @returns the exit code: 0 only if every figure was measured and every check held */
export async function runProbeOnly(
  command: readonly string[],
  options: ProbeOptions,
  json: boolean,
  { stdout, stderr }: Terminal,
  signal: AbortSignal,
  clock: Pick<Clock, "sleep">,
): Promise<number> {
  let shown = "";
  const outcome = await runProbeProcess(
    command,
    options,
    {
      onNote: (message) => stderr(`${message}\n`),
      onProgress(_, message) {
        if (message !== shown) stderr(`${message} ...\n`);
        shown = message;
      },
    },
    signal,
    clock,
  );
  stdout(json ? `${JSON.stringify(toJson(outcome))}\n` : describeOutcome(outcome));
  return outcome.ok && faultsOf(outcome.results).length === 0 ? 0 : 1;
}

/** Keys that a script can rely on: `state`, `results`, and for a failure `code`, `message` and `hint`. */
function toJson(outcome: ProbeOutcome): Results {
  if (outcome.ok) return { state: "completed", results: outcome.results };
  const { code, message, hint, partial } = outcome;
  return { state: "failed", code, message, hint, results: partial };
}

/** A table of all GPUs, then what could not be measured. */
export function describeOutcome(outcome: ProbeOutcome): string {
  const results = outcome.ok ? outcome.results : outcome.partial;
  const lines = results === null ? [] : describeResults(results);
  if (!outcome.ok) {
    lines.push(`FAILED (${outcome.code}): ${outcome.message}`);
    if (outcome.hint !== null) lines.push(`  ${outcome.hint}`);
  }
  return `${lines.join("\n")}\n`;
}

function describeResults(results: Results): string[] {
  const measurement = record(results.measurement);
  const engine = record(measurement.engine);
  const facts = list(record(measurement.conditions).facts);
  const rows = list(results.test_results).map((row, i) => [
    String(i),
    ...COLUMNS.map(([metric]) => figure(row[metric])),
    text(record(facts[i]).model),
  ]);
  const head = ["GPU", ...COLUMNS.map(([, title]) => title), "model"];
  const units = ["", ...COLUMNS.map(([, , unit]) => unit), ""];
  const table = [head, units, ...rows];
  const widths = head.map((_, i) => Math.max(...table.map((row) => (row[i] ?? "").length)));
  const conditions = record(measurement.conditions);
  return [
    ...table.map((row) =>
      row
        .map((cell, i) => (i === row.length - 1 ? cell : cell.padStart(widths[i] ?? 0)))
        .join("  ")
        .trimEnd(),
    ),
    ...describePairs(results),
    `matrix products: ${text(engine.id)}${engine.library === null ? "" : ` ${text(engine.library)}`}; driver ${text(engine.driver)}`,
    ...(conditions.busy === true ? ["BUSY: other processes used these GPUs"] : []),
    ...unsettledOf(measurement).map((metric) => `not settled: ${metric}`),
    ...(strings(conditions.throttle).length > 0
      ? [`clocks throttled by: ${strings(conditions.throttle).join(", ")}`]
      : []),
    ...faultsOf(results).map(
      ({ metric, gpu, message }) =>
        `NOT MEASURED OR WRONG: ${text(metric)}${typeof gpu === "number" ? ` on GPU ${gpu}` : ""}: ${text(message)}`,
    ),
  ];
}

function describePairs(results: Results): string[] {
  const pairs = Object.values(record(record(results.aggregate_results).gpu_bandwidth_matrix));
  const rates = pairs.flatMap((pair) => {
    const { simplex_gbs: rate } = record(pair);
    return typeof rate === "number" ? [rate] : [];
  });
  if (rates.length === 0) return [];
  const [low, high] = [Math.min(...rates), Math.max(...rates)];
  return [`between GPUs: ${figure(low)} to ${figure(high)} GB/s over ${rates.length} ways`];
}

function unsettledOf(measurement: Results): string[] {
  return Object.entries(record(measurement.quality)).flatMap(([metric, quality]) =>
    record(quality).settled === false ? [text(metric)] : [],
  );
}

export function faultsOf(results: Results): Results[] {
  return list(record(results.measurement).faults);
}

function record(value: unknown): Results {
  return isRecord(value) ? value : {};
}

function list(value: unknown): Results[] {
  return Array.isArray(value) ? value.filter(isRecord) : [];
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string").map(text) : [];
}

/** Characters that move the terminal's cursor come from a driver at worst, but they may come. */
function text(value: unknown): string {
  return typeof value === "string" ? value.replace(/\p{Cc}+/gu, " ") : "unknown";
}

function figure(value: unknown): string {
  if (typeof value !== "number") return "-";
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
