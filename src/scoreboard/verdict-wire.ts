import { groupsOf } from "../benchmarks/gpus.ts";
import { toTimestamp } from "../lib/clock.ts";
import type { MetricVerdict, NodeVerdict, StoredJobVerdict } from "../lib/stored-json.ts";
import { countOf, dropMessage, withModel } from "./facts.ts";
import {
  type PerformanceNodeWire,
  type PerformanceWire,
  REFERENCE_NOTE,
} from "./verdict-schemas.ts";

/** @param verdict stored with the job; null before the job is rated */
export function toPerformance(verdict: StoredJobVerdict | null): PerformanceWire | null {
  if (verdict === null) return null;
  return {
    findings: verdict.findings,
    finding_count: countOf(verdict),
    status: verdict.status,
    replayed: verdict.isReplayed,
    benchmark_id: verdict.benchmarkId,
    baseline_version: verdict.baselineVersion,
    rated_nodes: verdict.ratedNodes,
    underperforming_nodes: verdict.underperformingNodes,
    metrics: verdict.metrics.map(toMetric),
  };
}

/** Null before the task is rated. */
export function toPerformanceNode(task: {
  id: number;
  verdict: NodeVerdict | null;
}): PerformanceNodeWire | null {
  const { verdict } = task;
  if (verdict === null) return null;
  return {
    findings: verdict.findings,
    finding_count: countOf(verdict),
    task_id: String(task.id),
    rank: verdict.rank,
    machine_uuid: verdict.machineUuid,
    gpu_model: verdict.gpuModel,
    gpu_count: verdict.gpuCount,
    gpu_models: groupsOf(verdict),
    status: verdict.status,
    replayed: verdict.isReplayed,
    metrics: verdict.metrics.map((metric) => toMetric(withModel(metric, verdict))),
    stragglers: verdict.stragglers.map(({ gpuId: gpu_id, ...straggler }) => ({
      ...straggler,
      gpu_id,
    })),
    drops: verdict.drops.map((drop) => ({
      metric: drop.metric,
      gpu_model: drop.gpuModel ?? verdict.gpuModel,
      value: drop.value,
      previous_value: drop.previousValue,
      ratio: drop.ratio,
      previous_at: toTimestamp(drop.previousAt),
      message: dropMessage(drop),
    })),
  };
}

function toMetric(verdict: MetricVerdict): PerformanceWire["metrics"][number] {
  return {
    metric: verdict.metric,
    gpu_model: verdict.gpuModel,
    value: verdict.value,
    baseline: verdict.baseline,
    ratio: verdict.ratio,
    sample_size: verdict.sampleSize,
    source: verdict.source,
    status: verdict.status,
    reason: verdict.reason,
    own_fleet_baseline: verdict.ownFleetBaseline,
    fleet_baseline: verdict.fleetBaseline,
    shipped_baseline: verdict.shippedBaseline,
    class: verdict.methodClass,
    reference: verdict.reference && { ...verdict.reference, note: REFERENCE_NOTE },
  };
}
