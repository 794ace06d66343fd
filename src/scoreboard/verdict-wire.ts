import { toTimestamp } from "../lib/clock.ts";
import type { JobVerdict, MetricVerdict, NodeVerdict } from "./verdict.ts";
import type {
  PerformanceNodeWire,
  PerformanceWire,
  ScoreboardSummaryWire,
} from "./verdict-schemas.ts";

/** @param text the verdict of a job as it is stored; null before there is one */
export function toPerformance(text: string | null): PerformanceWire | null {
  if (text === null) return null;
  const verdict: Omit<JobVerdict, "nodes"> = JSON.parse(text);
  return {
    status: verdict.status,
    benchmark_id: verdict.benchmarkId,
    baseline_version: verdict.baselineVersion,
    rated_nodes: verdict.ratedNodes,
    underperforming_nodes: verdict.underperformingNodes,
    metrics: verdict.metrics.map(toMetric),
  };
}

/** @param text the verdict of a task as it is stored; null before there is one */
export function toPerformanceNode(task: {
  id: number;
  verdict: string | null;
}): PerformanceNodeWire | null {
  if (task.verdict === null) return null;
  const verdict: NodeVerdict = JSON.parse(task.verdict);
  return {
    task_id: String(task.id),
    rank: verdict.rank,
    machine_uuid: verdict.machineUuid,
    gpu_model: verdict.gpuModel,
    gpu_count: verdict.gpuCount,
    status: verdict.status,
    metrics: verdict.metrics.map(toMetric),
    stragglers: verdict.stragglers.map(({ gpuId: gpu_id, ...straggler }) => ({
      ...straggler,
      gpu_id,
    })),
    drops: verdict.drops.map(({ previousValue, previousAt, ...drop }) => ({
      ...drop,
      previous_value: previousValue,
      previous_at: toTimestamp(previousAt),
    })),
  };
}

/** A job's verdict with those of its tasks, by rank. */
export function toScoreboardSummary(
  verdict: string | null,
  tasks: readonly { id: number; verdict: string | null }[],
): ScoreboardSummaryWire | null {
  const performance = toPerformance(verdict);
  if (performance === null) return null;
  return { ...performance, nodes: tasks.flatMap((task) => toPerformanceNode(task) ?? []) };
}

function toMetric(verdict: MetricVerdict): PerformanceWire["metrics"][number] {
  const { sampleSize, fleetBaseline, shippedBaseline, ...rest } = verdict;
  return {
    ...rest,
    sample_size: sampleSize,
    fleet_baseline: fleetBaseline,
    shipped_baseline: shippedBaseline,
  };
}
