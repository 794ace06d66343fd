/** Rates a settled job in D1: compares the figures of its nodes with the baselines of their models. */

import { isSlice } from "../benchmarks/gpus.ts";
import { normalizeModel } from "../benchmarks/models.ts";
import { SHIPPED } from "../benchmarks/shipped-baselines.ts";
import { createMeter, type Database, openDatabase } from "../db/client.ts";
import { type RatingThresholds, readConfig } from "../lib/config.ts";
import type { RatedMetric } from "../lib/enums.ts";
import type { FiguresPart, FleetMedian, Fleets, NodeFigures } from "../lib/stored-json.ts";
import { chooseBaseline } from "./baselines.ts";
import type { CountRow } from "./count-store.ts";
import type { Comparison, NodeFacts, PastCount } from "./facts.ts";
import { readingOf, readingsOf } from "./figures.ts";
import { modelColumn } from "./models-column.ts";
import {
  type BaselineRow,
  type CustomerFleetRow,
  type FiguresRow,
  type PastRow,
  readComparison,
  readSettledJob,
  writeVerdict,
} from "./rating-store.ts";
import { rateJob, rateNode } from "./verdict.ts";

/**
 * Computes and stores the verdict of a settled job; ignores a job that is live or deleted. Safe to repeat. Three D1
 * round trips; more only for very large jobs.
 */
export async function rateSettledJob(
  db: Database,
  jobId: number,
  now: number,
  thresholds: RatingThresholds,
): Promise<void> {
  const settled = await readSettledJob(db, jobId);
  if (settled === null) return;
  const stored = new Map(settled.figures.map((row) => [row.taskId, row]));
  const found = measuredFigures(settled, stored);
  const comparison = await readComparison(db, settled.job, found, settled.nodes);
  const { version, past, counts } = comparison;
  // A job that is rated again is compared with the fleets of its first rating.
  const measured = found.map((row) => stored.get(row.taskId) ?? withFleets(row, comparison));
  if (measured.length === 0) {
    return writeVerdict(db, [], [], { jobId, verdict: null, version, ratedAt: now });
  }
  const figures = new Map(measured.map((row) => [row.taskId, row]));
  const previous = new Map(past.map((row) => [row.taskId, row]));
  const counted = new Map(counts.map((row) => [row.taskId, row]));
  const verdicts = settled.nodes.map((node) => {
    const row = figures.get(node.id);
    const sent = row === undefined ? null : node.sent;
    const compare = (gpuModel: string | null): Comparison => {
      const model = normalizeModel(gpuModel) ?? "";
      const fleets = (row?.parts?.find((part) => part.model === model) ?? row)?.fleets;
      const baselineOf = (metric: RatedMetric) => {
        const sources = {
          fleets: fleets?.[metric] ?? null,
          shipped: SHIPPED.get(model)?.[metric] ?? null,
          pinned: baselineRow(comparison.baselines, model, metric)?.pinnedValue ?? null,
        };
        return chooseBaseline(sources, thresholds);
      };
      return {
        baselines: {
          bf16_tflops: baselineOf("bf16_tflops"),
          memory_bandwidth_gbs: baselineOf("memory_bandwidth_gbs"),
        },
        previous: toPast(previous.get(node.id), model),
      };
    };
    const facts: NodeFacts = {
      rank: node.rank,
      machineUuid: node.machineUuid,
      gpuModel: node.gpuModel,
      gpuCount: node.gpuCount,
      gpuModels: node.gpuModels,
      readings: readingsOf(sent, node),
      gpus: sent?.gpus ?? [],
      ...compare(node.gpuModel),
      byModel: new Map(node.gpuModels?.map(({ model }) => [model, compare(model)])),
      previousCount: toPastCount(node.gpuCount, counted.get(node.id)),
    };
    return { taskId: node.id, verdict: rateNode(facts, thresholds) };
  });
  const { nodes: _nodes, ...verdict } = rateJob(
    verdicts.map((rated) => rated.verdict),
    version,
  );
  await writeVerdict(
    db,
    measured.filter(({ taskId }) => !stored.has(taskId)),
    verdicts,
    { jobId, verdict, version, ratedAt: now },
  );
}

type SettledJob = NonNullable<Awaited<ReturnType<typeof readSettledJob>>>;
type SettledNode = SettledJob["nodes"][number];

/** Figures whose fleets are not known yet. */
type NewFigures = Omit<FiguresRow, "fleets" | "parts"> & {
  parts: Omit<FiguresPart, "fleets">[] | null;
};

/** The figures of all nodes that completed QuickMark: the stored rows, else what they sent. */
function measuredFigures(
  { job, nodes }: SettledJob,
  stored: ReadonlyMap<number, FiguresRow>,
): NewFigures[] {
  return nodes.flatMap((node) => {
    const row = stored.get(node.id);
    if (row !== undefined) return [{ ...row, parts: row.parts === null ? null : [...row.parts] }];
    if (node.firstState !== "completed" || node.sent === null) return [];
    return [toFigures(node, node.sent, job)];
  });
}

function toFigures(
  node: SettledNode,
  figures: NodeFigures,
  job: { userId: number; customerId: number; endedAt: number },
): NewFigures {
  const readings = readingsOf(figures, node);
  const valuesOf = (gpuModel: string | null) => ({
    bf16_tflops: readingOf(readings, "bf16_tflops", gpuModel),
    memory_bandwidth_gbs: readingOf(readings, "memory_bandwidth_gbs", gpuModel),
  });
  const { gpuModel, gpuModels } = node;
  // Like is compared with like: the GPUs of several models are measured alone, and slices have no fleet.
  const isApart = gpuModels !== null || (gpuModel !== null && isSlice(gpuModel));
  const groups = gpuModels?.map(({ model }) => [model, valuesOf(model)] as const) ?? [
    [gpuModel, valuesOf(null)] as const,
  ];
  const parts = groups.map(([name, values]) => ({ model: normalizeModel(name) ?? "", values }));
  const whole = isApart ? null : parts[0]?.values;
  return {
    taskId: node.id,
    userId: job.userId,
    customerId: job.customerId,
    machineUuid: node.machineUuid,
    model: modelColumn(parts.map(({ model }) => model)),
    at: job.endedAt,
    bf16Tflops: whole?.bf16_tflops ?? null,
    memoryBandwidthGbs: whole?.memory_bandwidth_gbs ?? null,
    parts: isApart ? parts : null,
    ratedVersion: 0,
  };
}

type Known = Awaited<ReturnType<typeof readComparison>>;

function withFleets(row: NewFigures, { baselines, customerFleets }: Known): FiguresRow {
  const of = (model: string) => fleetsOf(model, baselines, customerFleets);
  const parts = row.parts?.map((part) => ({ ...part, fleets: of(part.model) })) ?? null;
  return { ...row, fleets: parts === null ? of(row.model) : NO_FLEETS, parts };
}

const NO_FLEETS: FiguresRow["fleets"] = {
  bf16_tflops: { own: null, all: null },
  memory_bandwidth_gbs: { own: null, all: null },
};

/** The fleets of a model, of any size, as they are now. */
function fleetsOf(
  model: string,
  baselines: readonly BaselineRow[],
  customerFleets: readonly CustomerFleetRow[],
): FiguresRow["fleets"] {
  const own = customerFleets.find((row) => row.model === model);
  const of = (metric: RatedMetric, ownMedian: FleetMedian | null): Fleets => {
    const row = baselineRow(baselines, model, metric);
    return { own: ownMedian, all: toFleet(row?.fleetMedian, row?.fleetMachines) };
  };
  return {
    bf16_tflops: of("bf16_tflops", toFleet(own?.bf16Median, own?.bf16Machines)),
    memory_bandwidth_gbs: of(
      "memory_bandwidth_gbs",
      toFleet(own?.memoryMedian, own?.memoryMachines),
    ),
  };
}

function toFleet(median?: number | null, machines?: number | null): FleetMedian | null {
  return median == null || machines == null ? null : { median, machines };
}

function baselineRow(rows: readonly BaselineRow[], model: string, metric: RatedMetric) {
  return rows.find((row) => row.model === model && row.metric === metric);
}

function toPast(row: PastRow | undefined, model: string): Comparison["previous"] {
  if (row === undefined) return null;
  const whole = { bf16_tflops: row.bf16Tflops, memory_bandwidth_gbs: row.memoryBandwidthGbs };
  return { at: row.at, values: row.parts?.find((part) => part.model === model)?.values ?? whole };
}

/** The GPUs of the machine's own last job; of its runner's, whoever owned that, where only it had more. */
function toPastCount(gpuCount: number | null, row: CountRow | undefined): PastCount | null {
  if (row === undefined || gpuCount === null) return null;
  const { own, runner } = row;
  if (own !== null && (own[0] > gpuCount || runner === null)) return { count: own[0], at: own[1] };
  return runner === null ? null : { count: runner[0], at: null };
}

/** Rates a job after its end (`coordinator/followups.ts`). */
export const stage = {
  async run({ jobId, env, now }: { jobId: number; env: Env; now: number }): Promise<void> {
    const db = openDatabase(env.DB, createMeter());
    await rateSettledJob(db, jobId, now, readConfig(env).rating);
  },
};
