import { benchmarkOf } from "../benchmarks/catalogue.ts";
import { benchmarkIds, resultKeys } from "../benchmarks/sequence.ts";
import type { JobRecord, TaskRecord } from "../coordinator/projection/records.ts";
import { toTaskWire } from "../coordinator/wire/task.ts";
import type { Extent } from "../db/bodies.ts";
import { readNodeVerdict } from "../db/node-verdict.ts";
import { type Later, type Piece, rawJson, rawList } from "../http/raw-json.ts";
import { toTimestamp } from "../lib/clock.ts";
import type { SequenceStep, Step, StepRecord } from "../lib/stored-json.ts";
import type { PerformanceNodeWire } from "../scoreboard/verdict-schemas.ts";
import { toPerformance, toPerformanceNode } from "../scoreboard/verdict-wire.ts";
import type { Bodies } from "./bodies.ts";
import { isJoinable, joinCommandOf } from "./created-wire.ts";
import type { ListedRow } from "./list-columns.ts";
import type { ListedNode } from "./node-verdicts.ts";
import type { ReportedTask } from "./records.ts";
import { type BenchmarkResultWire, MAX_IMPLAUSIBLE } from "./result-schemas.ts";
import type { JobDetailWire, ListedJobWire } from "./schemas.ts";
import type { JobRow } from "./store.ts";

/** The link to the report of a job or task; null without a report. */
export type LinkOf = (id: number, reportHash: string | null | undefined) => string | null;

/** A job as stored in D1 and, while it lives, in its object. */
export interface JobView {
  row: JobRow;
  job: JobRecord;
  tasks: readonly ReportedTask[];
  bodies: Bodies;
  /** The scoreboard's, by rank, as text for `readNodeVerdict`; a live job has none. */
  verdicts: readonly { id: number; verdict: string | null }[];
}

export function toListedJob(
  row: ListedRow,
  token: string,
  nodes: readonly ListedNode[] | Later = [],
): ListedJobWire {
  const { verdict = null, summary = null, gpuModels = null } = row;
  return {
    ...jobFields(row, row, token),
    gpu_models: gpuModels,
    quickmark_aggregate_results: summary,
    performance: toPerformance(verdict),
    performance_nodes: "later" in nodes ? rawJson("[", nodes, "]") : listedNodes(nodes),
    benchmarks: benchmarkIds(row.sequence),
  };
}

function listedNodes(nodes: readonly ListedNode[]) {
  const verdicts = nodes.flatMap(
    ({ taskId: id, verdict }) => toPerformanceNode({ id, verdict }) ?? [],
  );
  return verdicts.length === 0 ? null : verdicts;
}

/** @param joinSite origin from which machines join; null where it is not known */
export function toJobDetail(
  view: JobView,
  token: string,
  linkOf: LinkOf,
  joinSite: string | null,
): JobDetailWire {
  const { tasks, bodies } = view;
  return {
    ...toJobFacts(view, token, linkOf),
    join_command: joinSite !== null && isJoinable(view) ? joinCommandOf(joinSite, token) : null,
    tasks: rawList(
      tasks.map((task) => toTaskDetail(view, task, bodies.extents[task.rank], linkOf)),
    ),
  };
}

/** A task of a job's detail, with its results from these pieces. */
export function toTaskDetail(
  { row: { sequence } }: JobView,
  task: ReportedTask,
  bodies: ReadonlyMap<number, Piece> | undefined,
  linkOf: LinkOf,
): JobDetailWire["tasks"][number] {
  return {
    ...toReportedTask(task, linkOf),
    benchmark_results: taskResults(task, sequence, resultKeys(sequence), bodies),
  };
}

/** A job's detail without its tasks, and without the line that joins it. */
export function toJobFacts(
  view: JobView,
  token: string,
  linkOf: LinkOf,
): Omit<JobDetailWire, "tasks" | "join_command"> {
  const { row, job } = view;
  const sequence = row.sequence;
  const summary = job.steps[0]?.summary ?? null;
  const performance = toPerformance(row.verdict);
  return {
    ...jobFields(row, job, token),
    benchmarks: benchmarkIds(sequence),
    spec: row.specUuid,
    expected_spec: row.expectedSpecUuid ?? row.specUuid,
    benchmark_results: clusterResults(view, (step, position) => {
      const { detailFields } = benchmarkOf(sequence[position]?.benchmark_id ?? "");
      return pick(parseSummary(step), detailFields);
    }),
    // quick_mark is always the first step, and its summary has this shape.
    quickmark_aggregate_results: summary === null ? null : JSON.parse(summary),
    pdf_report_url: linkOf(row.id, row.reportHash),
    report_error: row.reportError,
    findings: performance?.findings ?? null,
    scoreboard_summary: performance && { ...performance, nodes: nodesOf(view.verdicts) },
    events: job.events.map((event) => ({ ...event, at: toTimestamp(event.at) })),
  };
}

/** Nodes are written one by one: the verdicts of 256 whose GPUs are all slow make 30,000 objects. */
function nodesOf(verdicts: JobView["verdicts"]) {
  const rated = verdicts.flatMap(({ id, verdict }) => (verdict === null ? [] : [{ id, verdict }]));
  async function* later() {
    for (const [at, { id, verdict }] of rated.entries()) {
      const node = toPerformanceNode({ id, verdict: readNodeVerdict(JSON.parse(verdict)) });
      yield `${at === 0 ? "" : ","}${JSON.stringify(node)}`;
    }
  }
  const madeOf = rated.map(({ verdict }) => verdict);
  return rated.length === 0 ? [] : rawJson<PerformanceNodeWire[]>("[", { later, madeOf }, "]");
}

/**
 * The cluster-level results of a job, with all measurements.
 *
 * @param options.read makes the text that is shown of a stored result; by default it is shown as stored
 */
export function toJobResults(
  view: JobView,
  options: { displayNames: boolean; read?: (stored: string) => string },
): Record<string, BenchmarkResultWire> {
  const sequence = view.row.sequence;
  return clusterResults(
    view,
    (step, position) => {
      const summary = parseSummary(step);
      if (summary === null) return null;
      const { details } = benchmarkOf(sequence[position]?.benchmark_id ?? "");
      if (details === null) return summary;
      const extents = view.bodies.extents.flatMap((ofTask) => ofTask.get(position) ?? []);
      return { ...summary, [details.name]: listOf(extents, details.of, options.read) };
    },
    options,
  );
}

/** A JSON list of the items in several stored results, of which one at a time is held. */
function listOf(
  extents: readonly Extent[],
  itemsOf: (result: Record<string, unknown>) => readonly unknown[],
  read = (stored: string) => stored,
) {
  let isEmpty = true;
  const show = (stored: string) => {
    const items = itemsOf(JSON.parse(read(stored)));
    if (items.length === 0) return "";
    const text = items.map((item) => JSON.stringify(item)).join();
    const separated = isEmpty ? text : `,${text}`;
    isEmpty = false;
    return separated;
  };
  return rawJson<unknown[]>("[", ...extents.map((extent) => ({ ...extent, show })), "]");
}

type LiveFields = Pick<JobRecord, "state" | "currentNodes" | "startedAt" | "endedAt" | "specCheck">;

function jobFields(
  row: Pick<ListedRow, keyof JobRow & keyof ListedRow>,
  live: LiveFields,
  token: string,
) {
  return {
    id: String(row.id),
    name: row.name,
    token,
    description: row.description,
    state: live.state,
    node_count: row.nodeCount,
    current_nodes: live.currentNodes,
    benchmark_sequence: row.sequence,
    tags: row.tags,
    provider: row.provider,
    region: row.region,
    order: row.orderReference,
    created_at: toTimestamp(row.createdAt),
    started_at: toTimestamp(live.startedAt),
    expires_at: toTimestamp(row.expiresAt),
    ended_at: toTimestamp(live.endedAt),
    spec_check: live.specCheck,
  };
}

/** Cluster steps that have started, by result key; `resultsOf` chooses their figures. */
function clusterResults(
  { row, job, tasks }: JobView,
  resultsOf: (step: StepRecord, position: number) => Record<string, unknown> | null,
  { displayNames }: { displayNames: boolean } = { displayNames: false },
): Record<string, BenchmarkResultWire> {
  const sequence = row.sequence;
  const keys = resultKeys(sequence);
  const entries = job.steps.flatMap((step, position) => {
    const planned = sequence[position];
    if (planned === undefined || step.startedAt === null) return [];
    const benchmark = benchmarkOf(planned.benchmark_id);
    if (benchmark.kind !== "cluster") return [];
    const names = displayNames ? { display_names: { ...benchmark.fields } } : {};
    const results = resultsOf(step, position);
    const implausible = implausibleOf(tasks, position);
    const result = { ...resultHead(planned, step), results, implausible, ...names };
    return [[keys[position] ?? "", result] as const];
  });
  return Object.fromEntries(entries);
}

export function toReportedTask(task: ReportedTask, linkOf: LinkOf) {
  const wire = toTaskWire(task, linkOf(task.id, task.reportHash), task.reportError);
  return { ...wire, spec_check: task.specCheck };
}

/** A task with the results of its node, by result key. */
export function toTask(
  task: ReportedTask,
  sequence: readonly SequenceStep[],
  bodies: ReadonlyMap<number, Piece>,
  linkOf: LinkOf,
  options: { displayNames: boolean } = { displayNames: false },
) {
  const byKey = taskResults(task, sequence, resultKeys(sequence), bodies, options);
  return { ...toReportedTask(task, linkOf), benchmark_results: byKey };
}

/** The steps that one node was told to run, by result key, with its figures as it sent them. */
function taskResults(
  task: TaskRecord,
  sequence: readonly SequenceStep[],
  keys: readonly string[],
  bodies: ReadonlyMap<number, Piece> | undefined,
  { displayNames }: { displayNames: boolean } = { displayNames: false },
): Record<string, BenchmarkResultWire> {
  const entries = task.steps.flatMap((step, position) => {
    const planned = sequence[position];
    if (planned === undefined || step.startedAt === null) return [];
    const body = bodies?.get(position);
    const figures = body === undefined ? null : rawJson(body);
    const names = displayNames
      ? { display_names: { ...benchmarkOf(planned.benchmark_id).fields } }
      : {};
    const implausible = implausibleAt(task, position);
    const result = { ...resultHead(planned, step), results: figures, implausible, ...names };
    return [[keys[position] ?? "", result] as const];
  });
  return Object.fromEntries(entries);
}

function implausibleAt({ implausible }: TaskRecord, position: number) {
  return (implausible ?? []).flatMap(([at, field, reason]) =>
    at === position ? [{ field, reason }] : [],
  );
}

/** Of a cluster step: those of all nodes, each field below the rank of its node. */
function implausibleOf(tasks: readonly TaskRecord[], position: number) {
  return tasks
    .flatMap((task) =>
      implausibleAt(task, position).map(({ field, reason }) => ({
        field: `nodes.${task.rank}.${field}`,
        reason,
      })),
    )
    .slice(0, MAX_IMPLAUSIBLE);
}

function resultHead(planned: SequenceStep, step: Step | StepRecord) {
  return {
    benchmark_id: planned.benchmark_id,
    benchmark_name: benchmarkOf(planned.benchmark_id).name,
    started_at: toTimestamp(step.startedAt),
    ended_at: toTimestamp(step.endedAt),
    clock_skew_ms: "clockSkewMs" in step ? (step.clockSkewMs ?? null) : null,
    config: planned.config ?? {},
    state: step.state,
    error_message: step.errorMessage,
  };
}

function parseSummary(step: StepRecord): Record<string, unknown> | null {
  return step.summary === null ? null : JSON.parse(step.summary);
}

function pick(summary: Record<string, unknown> | null, fields: readonly string[]) {
  if (summary === null) return null;
  return Object.fromEntries(fields.map((field) => [field, summary[field] ?? null]));
}
