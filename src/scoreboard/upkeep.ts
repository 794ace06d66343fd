/** What cron does for the scoreboard, in bounded steps: fleets' medians, and verdicts that follow them. */
import type { Database } from "../db/client.ts";
import { causesOf } from "../db/errors.ts";
import { MINUTE_MS } from "../lib/clock.ts";
import type { RatingThresholds } from "../lib/config.ts";
import { type FleetBaseline, fleetBaselineOf, isTelling } from "./baselines.ts";
import { RATED_METRICS } from "./metrics.ts";
import { rateSettledJob } from "./rating.ts";
import type { BaselineRow } from "./rating-store.ts";
import { SHIPPED_BASELINES } from "./shipped-baselines.ts";
import {
  applyRules,
  jobsToRate,
  modelsWithNews,
  readFleet,
  settleModels,
  writeFleet,
} from "./upkeep-store.ts";

/** Models that one run computes; the others have their turn in the next. */
const MAX_MODELS = 10;
/** Of a larger fleet those count that have measured last: more say nothing new about a median. */
const MAX_MACHINES = 5_000;
/** A job has so long to be rated by its own object before cron does it. */
const GRACE_MS = 10 * MINUTE_MS;

/**
 * Computes the medians of fleets that have measured something new. A change that tells draws a version, by
 * which `rerate` finds the jobs to rate again; so do other thresholds and other shipped figures.
 * At most 23 D1 round trips, and 5,000 rows read per model.
 *
 * @returns how many models were computed
 */
export async function recomputeBaselines(
  db: Database,
  now: number,
  thresholds: RatingThresholds,
): Promise<number> {
  const { fleetMinMachines } = thresholds;
  const rules = JSON.stringify({ thresholds, shipped: SHIPPED_BASELINES });
  await applyRules(db, rules, fleetMinMachines);
  const models = await modelsWithNews(db, fleetMinMachines, MAX_MODELS);
  for (const model of models) {
    const { machines, known } = await readFleet(db, model.model, MAX_MACHINES);
    const changed = RATED_METRICS.flatMap((metric) => {
      const samples = machines.flatMap(({ machineUuid, at, [metric]: value }) =>
        value === null ? [] : [{ machineUuid, at, value }],
      );
      const fleet = fleetBaselineOf(samples, thresholds);
      const before = toFleet(known.find((row) => row.metric === metric));
      return isTelling(before, fleet) ? [{ metric, fleet }] : [];
    });
    await writeFleet(db, model, changed, now);
  }
  return models.length;
}

function toFleet(row: BaselineRow | undefined): FleetBaseline | null {
  const {
    fleetMedian: median = null,
    fleetLowerQuartile: lowerQuartile = null,
    fleetUpperQuartile: upperQuartile = null,
    fleetMachines: machines = null,
  } = row ?? {};
  if (median === null || lowerQuartile === null || upperQuartile === null || machines === null) {
    return null;
  }
  return { median, lowerQuartile, upperQuartile, machines };
}

/**
 * Rates jobs again whose baselines have changed, and those that nobody has rated. One that fails holds up
 * no other. Three D1 round trips a job, and two more.
 *
 * @param limit jobs in this run
 * @returns how many were rated
 */
export async function rerate(
  db: Database,
  now: number,
  limit: number,
  thresholds: RatingThresholds,
): Promise<number> {
  const { ids, isLast } = await jobsToRate(db, now - GRACE_MS, limit);
  let done = 0;
  for (const jobId of ids) {
    try {
      await rateSettledJob(db, jobId, now, thresholds);
      done++;
    } catch (error) {
      console.warn(JSON.stringify({ level: "warn", job: jobId, rerate: causesOf(error) }));
    }
  }
  if (isLast) await settleModels(db);
  return done;
}
