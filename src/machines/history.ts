/** The history of a machine, from its last tasks. */
import { groupsOf, type Hardware, hardwareName, isSameModel } from "../benchmarks/gpus.ts";
import { methodOf } from "../benchmarks/methods.ts";
import { toTimestamp } from "../lib/clock.ts";
import { RATED_METRICS, type RatedMetric } from "../lib/enums.ts";
import type { MetricVerdict } from "../lib/stored-json.ts";
import type { PastTask } from "./history-store.ts";
import { type ChangeWire, type HistoryWire, MAX_POINTS, type PointWire } from "./schemas.ts";

/**
 * @param past newest first; one more than are shown, to see what the oldest of them changed
 * @param metric undefined for all
 */
export function toHistory(
  machineUuid: string,
  past: readonly PastTask[],
  metric: RatedMetric | undefined,
): HistoryWire {
  const points = past.slice(0, MAX_POINTS).flatMap((task) => pointsOf(task, metric));
  // A task may end after one that the machine joined later.
  points.sort((a, b) => (a.at === b.at ? 0 : a.at > b.at ? -1 : 1));
  return {
    machine_uuid: machineUuid,
    points: points.slice(0, MAX_POINTS),
    events: changesOf(past),
  };
}

/** What the task measured, without what says nothing of the machine. */
function pointsOf(task: PastTask, wanted: RatedMetric | undefined): PointWire[] {
  const { verdict, sent } = task;
  const provenance = sent?.provenance ?? null;
  if (verdict === null || isWithheld(task)) return [];
  return verdict.metrics.flatMap(({ metric: name, value, ratio, methodClass, ...verdictOf }) => {
    const metric = RATED_METRICS.find((rated) => rated === name);
    if (metric === undefined || value === null || (wanted ?? metric) !== metric) return [];
    return [
      {
        job_id: String(task.jobId),
        task_id: String(task.id),
        at: toTimestamp(task.endedAt ?? task.createdAt),
        metric,
        class: methodClass,
        method: methodOf(metric, provenance),
        value,
        ratio,
        ...gpusOf(task, verdictOf),
      },
    ];
  });
}

function isWithheld({ sent, verdict }: PastTask): boolean {
  return verdict?.isReplayed === true || (sent?.provenance?.withheld ?? []).length > 0;
}

/** The GPUs that a figure is of: in a machine with several models those of one. */
function gpusOf(
  { measuredModel, measuredCount, measuredModels }: PastTask,
  { gpuModel }: Pick<MetricVerdict, "gpuModel">,
): Pick<PointWire, "gpu_model" | "gpu_count"> {
  if (gpuModel === null) return { gpu_model: measuredModel, gpu_count: measuredCount };
  const group = measuredModels?.find(({ model }) => isSameModel(model, gpuModel));
  return { gpu_model: gpuModel, gpu_count: group?.count ?? measuredCount };
}

/** Changes from each task to the one after it. Tasks that state no GPUs, and recordings, which have those of others, are passed over. */
function changesOf(past: readonly PastTask[]): ChangeWire[] {
  const stated = past.flatMap((task) => {
    const name = nameOf(task);
    return name === null || isReplayed(task) ? [] : [{ task, name }];
  });
  return stated.slice(0, MAX_POINTS).flatMap(({ task, name }, at) => {
    const before = stated[at + 1];
    if (before === undefined || before.name === name) return [];
    return [
      {
        job_id: String(task.jobId),
        task_id: String(task.id),
        at: toTimestamp(task.createdAt),
        before: groupsOf(before.task),
        after: groupsOf(task),
        message: `${before.name} before, ${name} now`,
      },
    ];
  });
}

function isReplayed({ sent }: PastTask): boolean {
  return sent?.provenance?.withheld.includes("replayed") ?? false;
}

/** The GPUs in words, the same for every order of models; null for a task that states none. */
function nameOf({ gpuModel, gpuCount, gpuModels }: Hardware): string | null {
  const sorted = gpuModels?.toSorted((a, b) => (a.model < b.model ? -1 : 1)) ?? null;
  return hardwareName({ gpuModel, gpuCount, gpuModels: sorted });
}
