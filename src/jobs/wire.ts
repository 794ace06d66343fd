import { benchmarkOf } from "../benchmarks/catalogue.ts";
import { resultKeys, type SequenceStep } from "../benchmarks/sequence.ts";
import type { Step } from "../coordinator/model.ts";
import type { JobRecord, ResultRecord, StepRecord, TaskRecord } from "../coordinator/records.ts";
import { toTaskWire } from "../coordinator/task-wire.ts";
import { rawJson } from "../http/raw-json.ts";
import { toTimestamp } from "../lib/clock.ts";
import {
  toPerformance,
  toPerformanceNode,
  toScoreboardSummary,
} from "../scoreboard/verdict-wire.ts";
import type {
  BenchmarkResultWire,
  CreatedJobWire,
  JobDetailWire,
  ListedJobWire,
} from "./contract.ts";
import type { ListedNode, ListedRow } from "./list-store.ts";
import type { JobRow, NewJobRow, TaskRow } from "./store.ts";

/** A task with the newest report that was made of it: of a live one there is none. */
export type ReportedTask = TaskRecord & { reportHash?: string | null };

/** The link to what is reported of a job or task, null where nothing is. */
export type LinkOf = (id: number, reportHash: string | null | undefined) => string | null;

/** A job as D1 and, while it lives, its object know it together. */
export interface JobView {
  row: JobRow;
  job: JobRecord;
  tasks: readonly ReportedTask[];
  results: readonly ResultRecord[];
  /** The scoreboard's, by rank: of a live job there are none. */
  verdicts: readonly { id: number; verdict: string | null }[];
}

/** The projection in the row, as the record it was written from. */
export function toJobRecord(row: JobRow): JobRecord {
  return {
    version: row.version,
    state: row.state as JobRecord["state"], // written from a JobRecord, or `created` and `aborted` by the service
    currentNodes: row.currentNodes,
    startedAt: row.startedAt,
    endedAt: row.endedAt,
    steps: JSON.parse(row.steps),
    events: JSON.parse(row.events),
  };
}

export function toTaskRecord(row: Omit<TaskRow, "verdict">): ReportedTask {
  const { performanceStatus: _status, ...task } = row;
  return { ...task, state: task.state as TaskRecord["state"], steps: JSON.parse(task.steps) }; // written from a TaskRecord
}

export function toCreatedJob(row: NewJobRow, token: string): CreatedJobWire {
  return {
    id: String(row.id),
    name: row.name,
    description: row.description ?? null,
    node_count: row.nodeCount,
    benchmarks: benchmarkIds(parseSequence(row.sequence)),
    tags: JSON.parse(row.tags),
    token,
    created_at: toTimestamp(row.createdAt),
    expires_at: toTimestamp(row.expiresAt),
  };
}

export function toListedJob(
  row: ListedRow,
  token: string,
  nodes: readonly ListedNode[] = [],
): ListedJobWire {
  const { verdict = null, summary = null, gpuModels = null } = row;
  const verdicts = nodes.flatMap(
    ({ taskId: id, verdict }) => toPerformanceNode({ id, verdict }) ?? [],
  );
  return {
    ...jobFields(row, { ...row, state: row.state as JobRecord["state"] }, token), // as in toJobRecord
    gpu_models: gpuModels === null ? null : JSON.parse(gpuModels),
    quickmark_aggregate_results: summary === null ? null : JSON.parse(summary),
    performance: toPerformance(verdict),
    performance_nodes: verdicts.length === 0 ? null : verdicts,
    benchmarks: benchmarkIds(parseSequence(row.sequence)),
  };
}

export function toJobDetail(view: JobView, token: string, linkOf: LinkOf): JobDetailWire {
  const { row, job, tasks, results } = view;
  const sequence = parseSequence(row.sequence);
  const keys = resultKeys(sequence);
  const summary = job.steps[0]?.summary ?? null;
  const resultsByTask = Map.groupBy(results, (result) => result.taskId);
  return {
    ...jobFields(row, job, token),
    benchmarks: benchmarkIds(sequence),
    spec: row.specUuid,
    tasks: tasks.map((task) => ({
      ...toTaskWire(task, linkOf(task.id, task.reportHash)),
      benchmark_results: taskResults(task, sequence, keys, resultsByTask.get(task.id) ?? []),
    })),
    benchmark_results: clusterResults(view, (step, position) => {
      const { detailFields } = benchmarkOf(sequence[position]?.benchmark_id ?? "");
      return pick(parseSummary(step), detailFields);
    }),
    // quick_mark is always the first step, and its summary has this shape.
    quickmark_aggregate_results: summary === null ? null : JSON.parse(summary),
    pdf_report_url: linkOf(row.id, row.reportHash),
    scoreboard_summary: toScoreboardSummary(row.verdict, view.verdicts),
    events: job.events.map((event) => ({ ...event, at: toTimestamp(event.at) })),
  };
}

/** The cluster-level results of a job, with all that was measured. */
export function toJobResults(
  view: JobView,
  options: { displayNames: boolean },
): Record<string, BenchmarkResultWire> {
  const sequence = parseSequence(view.row.sequence);
  return clusterResults(
    view,
    (step, position) => {
      const summary = parseSummary(step);
      if (summary === null) return null;
      const results = view.results.filter((result) => result.position === position);
      return benchmarkOf(sequence[position]?.benchmark_id ?? "").withDetails(
        summary,
        results.map((result) => JSON.parse(result.results)),
      );
    },
    options,
  );
}

type LiveFields = Pick<JobRecord, "state" | "currentNodes" | "startedAt" | "endedAt">;

function jobFields(row: ListedRow, live: LiveFields, token: string) {
  return {
    id: String(row.id),
    name: row.name,
    token,
    description: row.description,
    state: live.state,
    node_count: row.nodeCount,
    current_nodes: live.currentNodes,
    benchmark_sequence: parseSequence(row.sequence),
    tags: JSON.parse(row.tags) as string[],
    created_at: toTimestamp(row.createdAt),
    started_at: toTimestamp(live.startedAt),
    expires_at: toTimestamp(row.expiresAt),
    ended_at: toTimestamp(live.endedAt),
  };
}

/** Cluster steps that have started, by result key; `resultsOf` chooses what is shown of the figures. */
function clusterResults(
  { row, job }: JobView,
  resultsOf: (step: StepRecord, position: number) => Record<string, unknown> | null,
  { displayNames }: { displayNames: boolean } = { displayNames: false },
): Record<string, BenchmarkResultWire> {
  const sequence = parseSequence(row.sequence);
  const keys = resultKeys(sequence);
  const entries = job.steps.flatMap((step, position) => {
    const planned = sequence[position];
    if (planned === undefined || step.startedAt === null) return [];
    const benchmark = benchmarkOf(planned.benchmark_id);
    if (benchmark.kind !== "cluster") return [];
    const names = displayNames ? { display_names: { ...benchmark.fields } } : {};
    const result = { ...resultHead(planned, step), results: resultsOf(step, position), ...names };
    return [[keys[position] ?? "", result] as const];
  });
  return Object.fromEntries(entries);
}

/** A task with what its node has sent, by result key. */
export function toTask(
  task: ReportedTask,
  sequenceText: string,
  results: readonly ResultRecord[],
  linkOf: LinkOf,
  options: { displayNames: boolean } = { displayNames: false },
) {
  const sequence = parseSequence(sequenceText);
  const byKey = taskResults(task, sequence, resultKeys(sequence), results, options);
  return { ...toTaskWire(task, linkOf(task.id, task.reportHash)), benchmark_results: byKey };
}

/** What one node did: every step that was released to it, with its own figures as it sent them. */
function taskResults(
  task: TaskRecord,
  sequence: readonly SequenceStep[],
  keys: readonly string[],
  results: readonly ResultRecord[],
  { displayNames }: { displayNames: boolean } = { displayNames: false },
): Record<string, BenchmarkResultWire> {
  const stored = new Map(results.map((result) => [result.position, result.results]));
  const entries = task.steps.flatMap((step, position) => {
    const planned = sequence[position];
    if (planned === undefined || step.startedAt === null) return [];
    const text = stored.get(position);
    const figures = text === undefined ? null : rawJson(text);
    const names = displayNames
      ? { display_names: { ...benchmarkOf(planned.benchmark_id).fields } }
      : {};
    const result = { ...resultHead(planned, step), results: figures, ...names };
    return [[keys[position] ?? "", result] as const];
  });
  return Object.fromEntries(entries);
}

function resultHead(planned: SequenceStep, step: Step) {
  return {
    benchmark_id: planned.benchmark_id,
    benchmark_name: benchmarkOf(planned.benchmark_id).name,
    started_at: toTimestamp(step.startedAt),
    ended_at: toTimestamp(step.endedAt),
    config: planned.config ?? {},
    state: step.state,
    error_message: step.errorMessage,
  };
}

function parseSequence(text: string): SequenceStep[] {
  return JSON.parse(text);
}

function benchmarkIds(sequence: readonly SequenceStep[]): string[] {
  return sequence.map((step) => step.benchmark_id);
}

function parseSummary(step: StepRecord): Record<string, unknown> | null {
  return step.summary === null ? null : JSON.parse(step.summary);
}

function pick(summary: Record<string, unknown> | null, fields: readonly string[]) {
  if (summary === null) return null;
  return Object.fromEntries(fields.map((field) => [field, summary[field] ?? null]));
}
