/** Exports node results as CSV or JSON Lines, one row per task. */
import type { Context } from "hono";
import { groupsOf } from "../../benchmarks/gpus.ts";
import { findImplausible, gpusBehind, limitsOfNode } from "../../benchmarks/plausibility.ts";
import { QUICK_MARK_METRICS } from "../../benchmarks/quick-mark-metrics.ts";
import { fillHoles } from "../../http/filled-stream.ts";
import type { UserEnv } from "../../identity/guards.ts";
import { toTimestamp } from "../../lib/clock.ts";
import { RATED_METRICS } from "../../lib/enums.ts";
import type { NodeVerdict } from "../../lib/stored-json.ts";
import { dropMessage, lowestMetric } from "../../scoreboard/facts.ts";
import { CSV, type JSON_LINES } from "./contract.ts";
import type { ExportedTaskRow } from "./store.ts";

type Cell = string | number | null | readonly object[];

/** The line break of RFC 4180. */
const LINE_BREAK = "\r\n";
/**
 * The first characters of what spreadsheets take for a formula (OWASP, CSV injection), full-width ones too. A cell
 * can be torn at a comma, semicolon, bar, control character, line break or space, whichever the reader takes for
 * the separator; quotes, spaces and invisible characters before the formula may get lost on the way. After a space, a
 * sign counts only before a call or a reference to a program, since `exit code -1` is honest text.
 */
const FORMULA =
  /(?<=(?:^|[,;|\p{Cc}\p{Zl}\p{Zp}])[\s"\p{C}]*)[=+\-@＝＋－＠]|(?<= ["\p{C}]*)(?:[=@＝＠](?!\s)|[+\-＋－](?=\S*[(|!]))/gu;

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
  ["findings", ({ verdict }) => verdict && findingsText(verdict)],
  ["performance_status", ({ task }) => task.performanceStatus],
  ...RATED_METRICS.flatMap((metric): [string, (row: ReadRow) => Cell][] => {
    const of = ({ verdict }: ReadRow) => verdict && lowestMetric(verdict.metrics, metric);
    return [
      [`${metric}_per_gpu`, (row) => of(row)?.value ?? null],
      [`${metric}_per_gpu_baseline`, (row) => of(row)?.baseline ?? null],
      [`${metric}_baseline_source`, (row) => of(row)?.source ?? null],
      [`${metric}_ratio`, (row) => of(row)?.ratio ?? null],
    ];
  }),
  [
    "straggling_gpus",
    ({ verdict }) => verdict && new Set(verdict.stragglers.map(({ gpu }) => gpu)).size,
  ],
  // Figures of the whole node.
  ...QUICK_MARK_METRICS.map(({ name }): [string, (row: ReadRow) => Cell] => [
    name,
    ({ figures }) => figures[name] ?? null,
  ]),
  ["gpu_models", ({ task }) => groupsOf(task)],
  ["replayed", ({ verdict, task }) => (isRecording(verdict, task) ? "REPLAYED" : null)],
  ["drops", ({ verdict }) => verdict && (verdict.drops.map(dropMessage).join("; ") || null)],
  [
    "implausible",
    ({ task }) =>
      (task.implausible ?? []).map(([position, field, reason]) => ({ position, field, reason })),
  ],
  ["provider", ({ task }) => task.origins?.[0] ?? null],
  ["region", ({ task }) => task.origins?.[1] ?? null],
  ["order", ({ task }) => task.origins?.[2] ?? null],
];

/** All findings that are stored, in words; null for none. */
function findingsText({ findings, moreFindings }: NodeVerdict): string | null {
  const more = moreFindings > 0 ? [`and ${moreFindings} more`] : [];
  return [...findings.map(({ message }) => message), ...more].join("; ") || null;
}

function isRecording(verdict: NodeVerdict | null, { figures }: ExportedTaskRow): boolean {
  return verdict?.isReplayed ?? figures?.provenance?.withheld.includes("replayed") ?? false;
}

/** A list in one cell: each entry's values, with a semicolon between entries. */
function listText(list: readonly object[]): string {
  return list.map((entry) => Object.values(entry).join(" ")).join("; ");
}

interface ReadRow {
  task: ExportedTaskRow;
  verdict: NodeVerdict | null;
  figures: Record<string, number>;
}

/** Streams the reply: it reads a page once the client has taken the previous page; `fillHoles` bounds it. */
export function exportOf(
  c: Context<UserEnv>,
  pages: AsyncIterable<ExportedTaskRow[]>,
  type: typeof CSV | typeof JSON_LINES,
): Response {
  const isCsv = type === CSV;
  const toLine = isCsv ? toCsvLine : toJsonLine;
  async function* later() {
    if (isCsv) yield COLUMNS.map(([name]) => name).join() + LINE_BREAK;
    for await (const rows of pages) for (const row of rows) yield toLine(read(row));
  }
  return c.body(fillHoles([{ later }], null), 200, {
    "Content-Type": isCsv ? `${CSV}; charset=utf-8; header=present` : type,
    "Content-Disposition": `attachment; filename="tasks.${isCsv ? "csv" : "ndjson"}"`,
  });
}

function read(task: ExportedTaskRow): ReadRow {
  const figures = { ...task.figures?.aggregate };
  const gpus = gpusBehind(task.gpuCount, task.figures?.gpus?.length ?? 0);
  for (const name of findImplausible(figures, gpus, limitsOfNode(task)).keys())
    delete figures[name];
  const { verdict } = task;
  return { task, verdict, figures };
}

function toJsonLine(row: ReadRow): string {
  return `${JSON.stringify(Object.fromEntries(COLUMNS.map(([name, of]) => [name, of(row)])))}\n`;
}

function toCsvLine(row: ReadRow): string {
  return COLUMNS.map(([, of]) => toCsvCell(of(row))).join() + LINE_BREAK;
}

/** One field by RFC 4180; an apostrophe keeps spreadsheets from reading any part of it as a formula. Numbers stay numbers. */
export function toCsvCell(value: Cell): string {
  if (value === null) return "";
  if (typeof value === "object") return toCsvCell(listText(value));
  if (typeof value === "number") return String(value);
  const harmless = value.replace(/^[\t\r\n]/, "'$&").replace(FORMULA, "'$&");
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
