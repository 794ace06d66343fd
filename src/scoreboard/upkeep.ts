/** Cron's part of the scoreboard, in bounded steps: medians of fleets, and verdicts that are missing or outdated. */

import { SHIPPED_BASELINES } from "../benchmarks/shipped-baselines.ts";
import { quantileOf } from "../benchmarks/statistics.ts";
import type { Database } from "../db/client.ts";
import { causesOf } from "../db/errors.ts";
import { MINUTE_MS } from "../lib/clock.ts";
import type { RatingRules } from "../lib/config.ts";
import type { RatedMetric } from "../lib/enums.ts";
import { logEvent } from "../lib/log.ts";
import { rateSettledJob } from "./rating.ts";
import {
  applyRules,
  type ComputedFleet,
  clearStale,
  customerFleetsWithNews,
  jobsToRate,
  readMachines,
  writeFleet,
} from "./upkeep-store.ts";

/** Increment when a release changes the method (docs/scoreboard.md): every job is rated again. */
const METHOD = 1;
/** Bound of fleets that one run computes; the next run continues. */
const MAX_FLEETS = 10;
/** Only this many of a customer's latest machines count, since more add nothing to a median. */
const MAX_MACHINES = 5_000;
/** Time after a job's end that is left to its object to rate it. */
const GRACE_MS = 10 * MINUTE_MS;

/**
 * Computes the medians of customers' fleets with new measurements, and of the fleets of all customers. They rate jobs
 * that end later; only other rules have jobs rated again (`rerate`). Two D1 round trips without news, two more for each
 * fleet, one more when the rules have changed; at most 5,000 rows read per fleet, and a few for each customer.
 *
 * @returns the number of fleets computed
 */
export async function recomputeBaselines(
  db: Database,
  now: number,
  thresholds: RatingRules,
): Promise<number> {
  await applyRules(db, JSON.stringify({ method: METHOD, thresholds, shipped: SHIPPED_BASELINES }));
  const fleets = await customerFleetsWithNews(db, MAX_FLEETS);
  for (const fleet of fleets) {
    const machines = await readMachines(db, fleet, MAX_MACHINES);
    const medians = {
      bf16_tflops: medianOfFleet(machines, "bf16_tflops"),
      memory_bandwidth_gbs: medianOfFleet(machines, "memory_bandwidth_gbs"),
    };
    await writeFleet(db, fleet, medians, now);
  }
  return fleets.length;
}

function medianOfFleet(
  machines: readonly Readonly<Record<RatedMetric, number | null>>[],
  metric: RatedMetric,
): ComputedFleet | null {
  const values = machines.flatMap(({ [metric]: value }) => value ?? []).sort((a, b) => a - b);
  const [low, first, median, third, high] = [0, 0.25, 0.5, 0.75, 1].map((share) =>
    quantileOf(values, share),
  );
  if (low == null || first == null || median == null || third == null || high == null) return null;
  return { median, machines: values.length, spread: [low, first, third, high] };
}

/**
 * Rates jobs by values pinned or unpinned and by rules changed since they were rated, and jobs that were never rated.
 * A failure delays no other job. Three D1 round trips for each job, and two more.
 *
 * @param limit bound of the jobs in this run
 * @returns the number of jobs rated
 */
export async function rerate(
  db: Database,
  now: number,
  limit: number,
  thresholds: RatingRules,
): Promise<number> {
  const { ids, isLast } = await jobsToRate(db, now - GRACE_MS, limit);
  let done = 0;
  for (const jobId of ids) {
    try {
      await rateSettledJob(db, jobId, now, thresholds);
      done++;
    } catch (error) {
      logEvent("warn", "rerate_failed", { job: jobId, causes: causesOf(error) });
    }
  }
  if (isLast) await clearStale(db);
  return done;
}
