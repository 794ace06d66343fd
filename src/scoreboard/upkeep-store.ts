/** What cron reads and writes to keep baselines and verdicts up to date. */
import { and, asc, eq, gt, gte, isNotNull, isNull, lt, ne, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import {
  baselines,
  gpuModels,
  machineFigures,
  scoreboard,
  taskFigures,
} from "../db/schema/scoreboard.ts";
import { jobs } from "../db/schema.ts";
import { JOB_ID_STRIDE } from "../lib/ids.ts";
import type { FleetBaseline } from "./baselines.ts";
import type { RatedMetric } from "./metrics.ts";

/** The version that the statements before this one in the batch have drawn. */
const NEWEST = sql<number>`(select version from scoreboard)`;

/** Statement that draws the next version: whatever changes a baseline begins with it. */
export function drawVersion(db: Database) {
  return db.update(scoreboard).set({ version: sql`${scoreboard.version} + 1` });
}

/** Statement that has the jobs of a model, or of all models, rated again by the newest version. */
export function markStale(db: Database, model: string | null) {
  return db
    .update(gpuModels)
    .set({ version: NEWEST, isStale: true })
    .where(model === null ? undefined : eq(gpuModels.model, model));
}

/**
 * Notes the rules that hold. Other ones than before draw a version, have every fleet computed anew and
 * every job rated again. One round trip, two when they have changed.
 *
 * @param minMachines fewer make no fleet: nobody would look at these again
 */
export async function applyRules(db: Database, rules: string, minMachines: number): Promise<void> {
  const [state] = await db.select({ rules: scoreboard.rules }).from(scoreboard);
  if (state === undefined || state.rules === rules) return;
  if (state.rules === "") {
    // A new server: what has been rated so far, was rated by these.
    await db.update(scoreboard).set({ rules });
    return;
  }
  await db.batch([
    drawVersion(db),
    db.update(scoreboard).set({ rules }),
    db
      .update(baselines)
      .set({ ...toColumns(null, 0), version: NEWEST })
      .where(
        sql`${baselines.fleetMedian} is not null and ${baselines.model} in (select ${gpuModels.model} from ${gpuModels} where ${gpuModels.machines} < ${minMachines})`,
      ),
    db.update(gpuModels).set({ computedChanges: -1 }),
    markStale(db, null),
  ]);
}

/** Models with news of at least so many machines, the one first that has waited longest. One round trip. */
export function modelsWithNews(db: Database, minMachines: number, limit: number) {
  const { model, machines, changes, computedChanges, computedAt } = gpuModels;
  return db
    .select({ model, machines, changes })
    .from(gpuModels)
    .where(and(ne(changes, computedChanges), gte(machines, minMachines)))
    .orderBy(asc(computedAt), asc(model))
    .limit(limit);
}

/** The newest figures of a model's machines, and its baselines as they are. One round trip. */
export async function readFleet(db: Database, model: string, limit: number) {
  const { machineUuid, at, bf16Tflops, memoryBandwidthGbs } = machineFigures;
  const [machines, known] = await db.batch([
    db
      .select({
        machineUuid,
        at,
        bf16_tflops: bf16Tflops,
        memory_bandwidth_gbs: memoryBandwidthGbs,
      })
      .from(machineFigures)
      .where(eq(machineFigures.model, model))
      .orderBy(sql`${at} desc`)
      .limit(limit),
    db.select().from(baselines).where(eq(baselines.model, model)),
  ]);
  return { machines, known };
}

/**
 * Stores what was computed of a fleet, and that all its changes so far are in it. Figures that have changed
 * draw a version. One batch, one round trip.
 */
export async function writeFleet(
  db: Database,
  { model, changes }: { model: string; changes: number },
  changed: readonly { metric: RatedMetric; fleet: FleetBaseline | null }[],
  now: number,
): Promise<void> {
  const computed = db
    .update(gpuModels)
    .set({ computedChanges: changes, computedAt: now })
    .where(eq(gpuModels.model, model));
  if (changed.length === 0) {
    await computed;
    return;
  }
  const upserts = changed.map(({ metric, fleet }) => {
    const figures = { ...toColumns(fleet, now), version: NEWEST };
    return db
      .insert(baselines)
      .values({ model, metric, ...figures })
      .onConflictDoUpdate({ target: [baselines.model, baselines.metric], set: figures });
  });
  await db.batch([drawVersion(db), ...upserts, computed, markStale(db, model)]);
}

function toColumns(fleet: FleetBaseline | null, now: number) {
  return {
    fleetMedian: fleet?.median ?? null,
    fleetLowerQuartile: fleet?.lowerQuartile ?? null,
    fleetUpperQuartile: fleet?.upperQuartile ?? null,
    fleetMachines: fleet?.machines ?? null,
    fleetAt: fleet === null ? null : now,
  };
}

/**
 * Jobs to rate: those that ended before a time and were never rated, and those with nodes of a model whose
 * baselines are newer than their verdict, each once. One round trip.
 */
export async function jobsToRate(db: Database, endedBefore: number, limit: number) {
  const jobId = sql<number>`${taskFigures.taskId} - ${taskFigures.taskId} % ${JOB_ID_STRIDE}`;
  const [stale, forgotten, flagged] = await db.batch([
    db
      .selectDistinct({ jobId: jobId.as("stale_job_id") })
      .from(gpuModels)
      .innerJoin(
        taskFigures,
        and(
          eq(taskFigures.model, gpuModels.model),
          lt(taskFigures.ratedVersion, gpuModels.version),
        ),
      )
      .where(sql`${gpuModels.isStale} = 1`)
      .limit(limit),
    db
      .select({ jobId: jobs.id })
      .from(jobs)
      .where(
        and(
          isNotNull(jobs.endedAt),
          isNull(jobs.ratedAt),
          gt(jobs.currentNodes, 0),
          isNull(jobs.deletedAt),
          lt(jobs.endedAt, endedBefore),
        ),
      )
      .orderBy(asc(jobs.endedAt))
      .limit(limit),
    db
      .select({ model: gpuModels.model })
      .from(gpuModels)
      .where(sql`${gpuModels.isStale} = 1`)
      .limit(1),
  ]);
  // Half of the turn is for those that nobody has rated: a fleet's medians may keep the others for days.
  const first = forgotten.slice(0, Math.ceil(limit / 2));
  const ids = new Set([...first, ...stale, ...forgotten].map((row) => row.jobId));
  return { ids: [...ids].slice(0, limit), isLast: flagged.length > 0 && stale.length < limit };
}

/** Models of which no job is left to rate again are done with. One round trip. */
export async function settleModels(db: Database): Promise<void> {
  const left = db
    .select({ one: sql`1` })
    .from(taskFigures)
    .where(
      and(eq(taskFigures.model, gpuModels.model), lt(taskFigures.ratedVersion, gpuModels.version)),
    );
  await db
    .update(gpuModels)
    .set({ isStale: false })
    .where(sql`${gpuModels.isStale} = 1 and not exists ${left}`);
}
