/** Node results as CSV or JSON Lines, one row a task. Loaded when an export is first asked for. */
import type { Context } from "hono";
import { perWattFault, powerFault } from "../../benchmarks/plausibility.ts";
import { QUICK_MARK_METRICS } from "../../benchmarks/quick-mark.ts";
import type { UserEnv } from "../../identity/guards.ts";
import { toTimestamp } from "../../lib/clock.ts";
import { RATED_METRICS } from "../../scoreboard/metrics.ts";
import type { NodeVerdict } from "../../scoreboard/verdict.ts";
import { CSV, type JSON_LINES } from "./contract.ts";
import type { ExportedTaskRow } from "./store.ts";

type Cell = string | number | null;

/** What RFC 4180 calls a line break. */
const LINE = "\r\n";
/** What spreadsheets take for the beginning of a formula, full-width signs too (OWASP, CSV injection). */
const FORMULA = /^[=+\-@\t\r\n＝＋－＠]/;

/** Column names hold the units: TFLOPS, GB/s (`gbs`), µs (`us`), W, °C. Times are RFC 3339, UTC. */
const COLUMNS: readonly [name: string, of: (row: ReadRow) => Cell][] = [
  ["job_id", ({ task }) => String(task.jobId)],
  ["task_id", ({ task }) => String(task.id)],
  ["rank", ({ task }) => task.rank],
  ["machine_uuid", ({ task }) => task.machineUuid],
  ["machine_ip", ({ task }) => task.machineIp],
  ["gpu_model", ({ task }) => task.gpuModel],
  ["gpu_count", ({ task }) => task.gpuCount],
  ["state", ({ task }) => task.state],
  ["failed_message", ({ task }) => task.failedMessage],
  ["created_at", ({ task }) => toTimestamp(task.createdAt)],
  ["started_at", ({ task }) => toTimestamp(task.startedAt)],
  ["ended_at", ({ task }) => toTimestamp(task.endedAt)],
  ["performance_status", ({ task }) => task.performanceStatus],
  ...RATED_METRICS.flatMap((metric): [string, (row: ReadRow) => Cell][] => {
    const of = ({ verdict }: ReadRow) => verdict?.metrics.find((each) => each.metric === metric);
    return [
      [`${metric}_per_gpu`, (row) => of(row)?.value ?? null],
      [`${metric}_per_gpu_baseline`, (row) => of(row)?.baseline ?? null],
      [`${metric}_ratio`, (row) => of(row)?.ratio ?? null],
    ];
  }),
  [
    "straggling_gpus",
    ({ verdict }) => verdict && new Set(verdict.stragglers.map(({ gpu }) => gpu)).size,
  ],
  // Of the whole node.
  ...QUICK_MARK_METRICS.map(({ name }): [string, (row: ReadRow) => Cell] => [
    name,
    ({ figures }) => figures[name] ?? null,
  ]),
];

interface ReadRow {
  task: ExportedTaskRow;
  verdict: NodeVerdict | null;
  figures: Record<string, number>;
}

/** The answer: a stream that reads a page when the client has taken the one before. */
export function exportOf(
  c: Context<UserEnv>,
  pages: AsyncGenerator<ExportedTaskRow[]>,
  type: typeof CSV | typeof JSON_LINES,
): Response {
  const isCsv = type === CSV;
  const encoder = new TextEncoder();
  let head = isCsv ? COLUMNS.map(([name]) => name).join() + LINE : "";
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      // What fails on the way breaks the stream off: the client sees that it is not whole.
      const { done, value: rows = [] } = await pages.next();
      const text =
        head +
        rows
          .map(read)
          .map(isCsv ? toCsvLine : toJsonLine)
          .join("");
      head = "";
      if (text !== "") controller.enqueue(encoder.encode(text));
      if (done) controller.close();
    },
    async cancel() {
      await pages.return(undefined);
    },
  });
  return c.body(body, 200, {
    "Content-Type": isCsv ? `${CSV}; charset=utf-8; header=present` : type,
    "Content-Disposition": `attachment; filename="tasks.${isCsv ? "csv" : "ndjson"}"`,
  });
}

function read(task: ExportedTaskRow): ReadRow {
  const sent: Record<string, unknown> = task.aggregate === null ? {} : JSON.parse(task.aggregate);
  const numbers = QUICK_MARK_METRICS.flatMap(({ name }) => {
    const figure = sent[name];
    return typeof figure === "number" ? [[name, figure] as const] : [];
  });
  const figures = Object.fromEntries(numbers);
  const verdict: NodeVerdict | null = task.verdict === null ? null : JSON.parse(task.verdict);
  const wrong = verdict === null ? implausible(figures, task) : withoutValue(verdict);
  for (const name of wrong) delete figures[name];
  return { task, verdict, figures };
}

/** Metrics that the verdict has found impossible; of the rated ones its own columns tell. */
function withoutValue({ metrics }: NodeVerdict): string[] {
  const rated: readonly string[] = RATED_METRICS;
  return metrics.flatMap(({ metric, value }) =>
    value === null && !rated.includes(metric) ? [metric] : [],
  );
}

/** The same before there is a verdict. */
function implausible(figures: Record<string, number>, { gpuCount }: ExportedTaskRow): string[] {
  const isWrong = powerFault(figures, gpuCount ?? 1) !== null;
  const perWatt = QUICK_MARK_METRICS.flatMap(({ name, isPerWatt }) => {
    const figure = figures[name];
    if (!isPerWatt || figure === undefined) return [];
    return isWrong || perWattFault(figure) !== null ? [name] : [];
  });
  return isWrong ? ["power_consumption_watts", ...perWatt] : perWatt;
}

function toJsonLine(row: ReadRow): string {
  return `${JSON.stringify(Object.fromEntries(COLUMNS.map(([name, of]) => [name, of(row)])))}\n`;
}

function toCsvLine(row: ReadRow): string {
  return COLUMNS.map(([, of]) => toCsvCell(of(row))).join() + LINE;
}

/** One field by RFC 4180, in which no spreadsheet finds a formula. Numbers stay numbers. */
export function toCsvCell(value: Cell): string {
  if (value === null) return "";
  if (typeof value === "number") return String(value);
  const harmless = FORMULA.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
