/** Pure: what a settled job means for the exit code, and what is wrong with its nodes. */
import type { Finding, JobDetail, MetricVerdict, NodeVerdict, Task } from "../api/types.ts";
import { EXIT, type Outcome, worstOf } from "../exit-codes.ts";

export interface NodeOutcome {
  rank: number;
  task: Task;
  verdict: NodeVerdict | null;
  outcome: Outcome;
  /** What is wrong, and by how much: a sentence each. */
  faults: string[];
}

const HEALTHY: ReadonlySet<string> = new Set(["expected", "outperforming"]);
/** Figures that make a node's verdict. */
export const RATED: ReadonlySet<string> = new Set(["bf16_tflops", "memory_bandwidth_gbs"]);
/** States in which a job has ended. */
const ENDED: ReadonlySet<string> = new Set([
  "completed",
  "completed_with_warnings",
  "failed",
  "aborted",
]);

export function hasEnded({ state }: { state: string }): boolean {
  return ENDED.has(state);
}

/** Each node's outcome, by rank. */
export function nodeOutcomes(job: JobDetail): NodeOutcome[] {
  const verdicts = new Map(job.scoreboard_summary?.nodes.map((node) => [node.task_id, node]));
  return job.tasks.map((task) => {
    const verdict = verdicts.get(task.id) ?? null;
    return {
      rank: task.rank,
      task,
      verdict,
      outcome: worstOf(outcomesOf(task, verdict)),
      faults: faultsOf(task, verdict),
    };
  });
}

function outcomesOf(task: Task, verdict: NodeVerdict | null): Outcome[] {
  const steps = Object.values(task.benchmark_results);
  const hasFailed = task.state !== "completed" || steps.some(({ state }) => state === "failed");
  const hasFindings = (verdict?.finding_count ?? 0) > 0;
  const isBelow =
    hasFindings || verdict?.status === "underperforming" || task.spec_check?.status === "differs";
  const isRated = verdict !== null && verdict.status !== "unrated";
  const isChecked = task.spec_check === null || task.spec_check.status !== "unknown";
  return [
    ...(hasFailed ? [EXIT.failed] : []),
    ...(isBelow ? [EXIT.below] : []),
    ...(isRated && isChecked ? [] : [EXIT.unrated]),
  ];
}

/** A verdict in a word; one made of recordings says so. Null for none. */
export function showVerdict(
  verdict: { status: string | null; replayed: boolean | null } | null | undefined,
): string | null {
  const { status = null, replayed = null } = verdict ?? {};
  return status !== null && replayed ? `${status} (REPLAYED)` : status;
}

/** The worst of a job and its nodes. */
export function jobOutcome(job: JobDetail): Outcome {
  const own: Outcome[] = [];
  if (job.state !== "completed") own.push(EXIT.failed);
  const summary = job.scoreboard_summary;
  if ((summary?.finding_count ?? 0) > 0 || summary?.status === "underperforming")
    own.push(EXIT.below);
  if (job.spec_check === "differs") own.push(EXIT.below);
  if (summary === null || !HEALTHY.has(summary.status)) own.push(EXIT.unrated);
  return worstOf([...own, ...nodeOutcomes(job).map(({ outcome }) => outcome)]);
}

function faultsOf(task: Task, verdict: NodeVerdict | null): string[] {
  const failed = task.failed_message === null ? [] : [task.failed_message];
  const steps = Object.entries(task.benchmark_results).flatMap(([id, step]) =>
    step.state === "failed" ? [`${id} failed: ${step.error_message ?? "no reason given"}`] : [],
  );
  const differing = (task.spec_check?.fields ?? []).flatMap(
    ({ field, promised, found, status, reason }) => {
      if (status === "matches") return [];
      // A field that no machine tells does not make the whole unknown.
      if (status === "unknown" && task.spec_check?.status !== "unknown") return [];
      if (status === "unknown")
        return [`${field} is unknown: ${reason ?? "the machine did not report it"}`];
      return [`${field}: found ${found ?? "nothing"}, promised ${promised ?? "nothing"}`];
    },
  );
  const slow = (verdict?.metrics ?? []).flatMap((metric) => metricFault(metric));
  const findings = verdict?.findings ?? [];
  const hidden = (verdict?.finding_count ?? 0) - findings.length;
  return [
    ...failed,
    ...steps,
    ...findings.map(({ message }: Finding) => message),
    ...(hidden > 0 ? [`${hidden} more findings`] : []),
    ...differing,
    ...slow,
  ];
}

function metricFault(metric: MetricVerdict): string[] {
  if (metric.status === "underperforming") return [describeMetric(metric)];
  // Nobody misses a figure that makes no verdict.
  if (metric.status !== "unrated" || (metric.value === null && !RATED.has(metric.metric)))
    return [];
  return [`${labelOf(metric.metric)} is not rated: ${metric.reason ?? "there is no baseline"}`];
}

/** Such as `BF16 TFLOPS 312.4 per GPU, 72 % of 434.1 (fleet, 41 machines)`. */
export function describeMetric({
  metric,
  value,
  baseline,
  ratio,
  source,
  sample_size,
}: MetricVerdict): string {
  const figure = `${labelOf(metric)} ${showNumber(value)} per GPU`;
  if (baseline === null || ratio === null) return figure;
  const size =
    sample_size === null ? "" : `, ${sample_size} ${source === "shipped" ? "runs" : "machines"}`;
  return `${figure}, ${showRatio(ratio)} of ${showNumber(baseline)} (${source ?? "baseline"}${size})`;
}

export const showRatio = (ratio: number) => `${Math.round(ratio * 100)} %`;

export function showNumber(value: number | null | undefined): string {
  if (value == null) return "–";
  return Math.abs(value) >= 100 ? value.toFixed(1) : String(Number(value.toPrecision(4)));
}

const LABELS: Readonly<Record<string, string>> = {
  bf16_tflops: "BF16 TFLOPS",
  memory_bandwidth_gbs: "Memory GB/s",
};

export function labelOf(metric: string): string {
  return LABELS[metric] ?? metric;
}
