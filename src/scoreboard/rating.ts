/** Rates a settled job in D1: what its nodes have measured against what their models should. */
import type { Database } from "../db/client.ts";
import type { RatingThresholds } from "../lib/config.ts";
import { chooseBaseline } from "./baselines.ts";
import { type NodeFigures, readFigures, readingOf, readingsOf } from "./figures.ts";
import type { RatedMetric } from "./metrics.ts";
import { normalizeModel } from "./models.ts";
import {
  type BaselineRow,
  type FiguresRow,
  type PastRow,
  readComparison,
  readSettledJob,
  writeVerdict,
} from "./rating-store.ts";
import { SHIPPED_BASELINES } from "./shipped-baselines.ts";
import { type NodeFacts, rateJob, rateNode } from "./verdict.ts";

/**
 * Computes and stores the verdict of a settled job; a job that is not settled, or deleted, stays as it is.
 * Safe to repeat. Three D1 round trips, more only for very large jobs.
 */
export async function rateSettledJob(
  db: Database,
  jobId: number,
  now: number,
  thresholds: RatingThresholds,
): Promise<void> {
  const found = await readSettledJob(db, jobId);
  if (found === null) return;
  const { job, nodes } = found;
  const results = new Map(found.results.map(({ taskId, results }) => [taskId, results]));
  const kept = new Map(found.figures.map((row) => [row.taskId, row]));
  const measured = nodes.flatMap((node) => {
    const known = kept.get(node.id);
    if (known !== undefined) return [known];
    const text = results.get(node.id);
    if (node.firstState !== "completed" || text === undefined) return [];
    return [toFigures(node, readFigures(JSON.parse(text)), job)];
  });
  const { version, baselines, past } = await readComparison(db, job.userId, measured);
  if (measured.length === 0) {
    const nothing = { jobId, status: null, verdict: null, version, ratedAt: now };
    return writeVerdict(db, [], [], nothing);
  }
  const byTask = new Map(measured.map((row) => [row.taskId, row]));
  const pastByTask = new Map(past.map((row) => [row.taskId, row]));
  const verdicts = nodes.map((node) => {
    const row = byTask.get(node.id);
    const figures: NodeFigures | null = row === undefined ? null : JSON.parse(row.figures);
    const facts: NodeFacts = {
      rank: node.rank,
      machineUuid: node.machineUuid,
      gpuModel: node.gpuModel,
      gpuCount: node.gpuCount,
      readings: readingsOf(figures, node),
      gpus: figures?.gpus ?? [],
      baselines: {
        bf16_tflops: baselineOf(node.gpuModel, "bf16_tflops", baselines),
        memory_bandwidth_gbs: baselineOf(node.gpuModel, "memory_bandwidth_gbs", baselines),
      },
      previous: toPast(pastByTask.get(node.id)),
    };
    return { taskId: node.id, verdict: rateNode(facts, thresholds) };
  });
  const { nodes: _stored, ...whole } = rateJob(
    verdicts.map(({ verdict }) => verdict),
    version,
  );
  await writeVerdict(
    db,
    measured.filter(({ taskId }) => !kept.has(taskId)),
    verdicts.map(({ taskId, verdict }) => ({
      taskId,
      status: verdict.status,
      verdict: JSON.stringify(verdict),
    })),
    { jobId, status: whole.status, verdict: JSON.stringify(whole), version, ratedAt: now },
  );
}

function toFigures(
  node: { id: number; machineUuid: string; gpuModel: string | null; gpuCount: number | null },
  figures: NodeFigures,
  job: { userId: number; endedAt: number },
): FiguresRow {
  const readings = readingsOf(figures, node);
  return {
    taskId: node.id,
    userId: job.userId,
    machineUuid: node.machineUuid,
    model: normalizeModel(node.gpuModel) ?? "",
    at: job.endedAt,
    bf16Tflops: readingOf(readings, "bf16_tflops"),
    memoryBandwidthGbs: readingOf(readings, "memory_bandwidth_gbs"),
    figures: JSON.stringify(figures),
    ratedVersion: 0,
  };
}

/** By normalised model. */
const SHIPPED = new Map(SHIPPED_BASELINES.map((model) => [normalizeModel(model.gpuModel), model]));

function baselineOf(gpuModel: string | null, metric: RatedMetric, rows: readonly BaselineRow[]) {
  const model = normalizeModel(gpuModel);
  if (model === null) return null;
  const row = rows.find((each) => each.model === model && each.metric === metric);
  const { fleetMedian: median = null, fleetMachines: machines = null } = row ?? {};
  return chooseBaseline({
    fleet: median === null || machines === null ? null : { median, machines },
    shipped: SHIPPED.get(model)?.[metric] ?? null,
    pinned: row?.pinnedValue ?? null,
  });
}

function toPast(row: PastRow | undefined): NodeFacts["previous"] {
  if (row === undefined) return null;
  const values = { bf16_tflops: row.bf16Tflops, memory_bandwidth_gbs: row.memoryBandwidthGbs };
  return { at: row.at, values };
}
