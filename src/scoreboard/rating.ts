/** Rates a settled job in D1: compares the figures of its nodes with the baselines of their models. */

import { isSlice } from "../benchmarks/gpus.ts";
import { classOf, QUICKMARK } from "../benchmarks/methods.ts";
import { normalizeModel } from "../benchmarks/models.ts";
import { createMeter, type Database, openDatabase } from "../db/client.ts";
import { type RatingRules, readConfig } from "../lib/config.ts";
import type { RatedMetric } from "../lib/enums.ts";
import type { FiguresPart, NodeFigures, Provenance } from "../lib/stored-json.ts";
import { comparisonWith, fleetsOf } from "./comparison.ts";
import type { CountRow } from "./count-store.ts";
import { type Comparison, countOf, type NodeFacts, type PastCount } from "./facts.ts";
import { isReplayed, REPLAY, readingOf, readingsOf, withheldReason } from "./figures.ts";
import { linkFindings } from "./link-findings.ts";
import { modelColumn } from "./models-column.ts";
import { type FiguresRow, readComparison, readSettledJob, writeVerdict } from "./rating-store.ts";
import { rateJob, rateNodes } from "./verdict.ts";

/**
 * Computes and stores the verdict of a settled job; ignores a job that is live or deleted. Safe to repeat. Three D1
 * round trips; more only for very large jobs.
 */
export async function rateSettledJob(
  db: Database,
  jobId: number,
  now: number,
  rules: RatingRules,
): Promise<void> {
  const settled = await readSettledJob(db, jobId);
  if (settled === null) return;
  const stored = new Map(settled.figures.map((row) => [row.taskId, row]));
  const found = measuredFigures(settled, stored, rules);
  const comparison = await readComparison(db, settled.job, found, settled.nodes);
  const { version } = comparison;
  const sent = new Map(settled.nodes.map((node) => [node.id, node.sent]));
  // A job that is rated again is compared with the fleets of its first rating.
  const measured = found.map(
    (row) =>
      stored.get(row.taskId) ??
      withFleets(row, sent.get(row.taskId)?.provenance ?? null, comparison),
  );
  const facts = factsOfNodes(settled.nodes, measured, comparison, rules);
  const verdicts = rateNodes(facts, rules, linkFindings(settled.job.sequence, settled.job.steps));
  const { nodes, ...verdict } = rateJob(verdicts, version);
  // A job that measured nothing has a verdict only for what was found nevertheless.
  if (measured.length === 0 && countOf(verdict) === 0) {
    return writeVerdict(db, [], [], { jobId, verdict: null, version, ratedAt: now });
  }
  const ids = new Map(settled.nodes.map(({ id, rank }) => [rank, id]));
  await writeVerdict(
    db,
    measured.filter(({ taskId }) => !stored.has(taskId)),
    nodes.map((node) => ({ taskId: ids.get(node.rank) ?? 0, verdict: node })),
    { jobId, verdict, version, ratedAt: now },
  );
}

/** What each node is rated by. */
function factsOfNodes(
  nodes: readonly SettledNode[],
  measured: readonly FiguresRow[],
  { baselines, past, counts }: Known,
  rules: RatingRules,
): NodeFacts[] {
  const figures = new Map(measured.map((row) => [row.taskId, row]));
  const previous = new Map(past.map((row) => [row.taskId, row]));
  const counted = new Map(counts.map((row) => [row.taskId, row]));
  return nodes.map((node) => {
    const row = figures.get(node.id);
    const provenance = node.sent?.provenance ?? null;
    const compare = (gpuModel: string | null): Comparison => {
      const model = normalizeModel(gpuModel) ?? "";
      const fleets = (row?.parts?.find((part) => part.model === model) ?? row)?.fleets ?? null;
      const known = { baselines, fleets, past: previous.get(node.id) };
      return comparisonWith(known, gpuModel, provenance, rules);
    };
    return {
      rank: node.rank,
      machineUuid: node.machineUuid,
      gpuModel: node.gpuModel,
      gpuCount: node.gpuCount,
      gpuModels: node.gpuModels,
      readings: readingsOf(row === undefined ? null : node.sent, node, rules),
      figures: node.sent,
      ...compare(node.gpuModel),
      byModel: new Map(node.gpuModels?.map(({ model }) => [model, compare(model)])),
      previousCount: toPastCount(node.gpuCount, counted.get(node.id)),
      specCheck: node.specCheck,
    };
  });
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
  rules: RatingRules,
): NewFigures[] {
  return nodes.flatMap((node) => {
    const row = stored.get(node.id);
    if (row !== undefined) return [{ ...row, parts: row.parts === null ? null : [...row.parts] }];
    if (node.firstState !== "completed" || node.sent === null) return [];
    return [toFigures(node, node.sent, job, rules)];
  });
}

function toFigures(
  node: SettledNode,
  figures: NodeFigures,
  job: { userId: number; customerId: number; endedAt: number },
  rules: RatingRules,
): NewFigures {
  const { provenance } = figures;
  const isWithheld = withheldReason(provenance, rules) !== null;
  const readings = readingsOf(figures, node, rules);
  const figureOf = (metric: RatedMetric, gpuModel: string | null) =>
    isWithheld ? null : readingOf(readings, metric, gpuModel);
  const valuesOf = (gpuModel: string | null) => ({
    bf16_tflops: figureOf("bf16_tflops", gpuModel),
    memory_bandwidth_gbs: figureOf("memory_bandwidth_gbs", gpuModel),
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
    parts: isApart && !isWithheld ? parts : null,
    methods: isReplayed(provenance)
      ? { bf16_tflops: REPLAY, memory_bandwidth_gbs: REPLAY }
      : (provenance?.methods ?? null),
    bf16Class: storedClass("bf16_tflops", provenance),
    memoryClass: storedClass("memory_bandwidth_gbs", provenance),
    ratedVersion: 0,
  };
}

function storedClass(metric: RatedMetric, provenance: Provenance | null): string | null {
  if (isReplayed(provenance)) return REPLAY;
  const name = classOf(metric, provenance);
  return name === QUICKMARK ? null : name;
}

type Known = Awaited<ReturnType<typeof readComparison>>;

function withFleets(row: NewFigures, provenance: Provenance | null, known: Known): FiguresRow {
  const of = (model: string) => fleetsOf(model, provenance, known);
  const parts = row.parts?.map((part) => ({ ...part, fleets: of(part.model) })) ?? null;
  return { ...row, fleets: parts === null ? of(row.model) : NO_FLEETS, parts };
}

const NO_FLEETS: FiguresRow["fleets"] = {
  bf16_tflops: { own: null, all: null },
  memory_bandwidth_gbs: { own: null, all: null },
};

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
