import { createCoordinatorClient } from "../coordinator/client.ts";
import type { JobCoordinator } from "../coordinator/job-coordinator.ts";
import { openBucket } from "../db/bucket.ts";
import { createMeter, openDatabase } from "../db/client.ts";
import { causesOf } from "../db/errors.ts";
import { JOB_LIFETIME_MS } from "../identity/lifetimes.ts";
import { type Clock, SECOND_MS } from "../lib/clock.ts";
import type { Config } from "../lib/config.ts";
import { logEvent } from "../lib/log.ts";
import { type LobbyNamespace, wakeWanted } from "../lobbies/client.ts";
import { recomputeBaselines, rerate } from "../scoreboard/upkeep.ts";
import { askObjects, settleExpired } from "./expiry.ts";
import { clearExpired, removeAnonymous, watchSize } from "./retention.ts";
import type { Step, StepContext } from "./step.ts";

/** No step starts anything after this time, since the next tick comes a minute after this one. */
const BUDGET_MS = 40 * SECOND_MS;
/** Shorter than the time-out of a request, since a tick asks hundreds of objects. */
const CALL_TIMEOUT_MS = 5 * SECOND_MS;

/**
 * No step starts anything after this many calls of D1, objects and R2. The platform allows 1,000 in one
 * invocation; the reports of a job of 256 nodes, which may start last, take about 300.
 */
const BUDGET_CALLS = 650;

/** Jobs that one tick rates again, and the D1 round trips of each. */
const MAX_RATED_JOBS = 50;
const CALLS_PER_RATING = 3;

export interface MaintenanceDeps {
  d1: D1Database;
  bucket: R2Bucket;
  coordinators: DurableObjectNamespace<JobCoordinator>;
  lobbies: LobbyNamespace;
  config: Config;
  clock: Clock;
}

/** In the order they run, the most urgent first. */
const STEPS: Readonly<Record<string, Step>> = {
  settleExpired,
  wakeRunners: async ({ db, meter, lobbies: namespace, clock, goOn }) => {
    const now = clock.now();
    const times = { now, createdAfter: now - JOB_LIFETIME_MS };
    return wakeWanted({ namespace, meter, db }, times, goOn);
  },
  askObjects,
  clearExpired,
  removeAnonymous,
  recomputeBaselines: async ({ db, clock, config }) => ({
    models: await recomputeBaselines(db, clock.now(), config.rating),
  }),
  rerate: async ({ db, clock, config, callsLeft }) => {
    const affordable = Math.floor(callsLeft() / CALLS_PER_RATING);
    const jobs = Math.min(MAX_RATED_JOBS, affordable);
    return { jobs: jobs > 0 ? await rerate(db, clock.now(), jobs, config.rating) : 0 };
  },
  sweepReports: async ({ db, bucket, config, clock, goOn }) => {
    const { sweepReports } = await import("../reports/sweep.ts");
    return sweepReports({
      db,
      bucket,
      thresholds: config.rating,
      seeds: config.reportSeeds,
      clock,
      goOn,
    });
  },
  removeReports: async (context) => {
    const { removeReports } = await import("../reports/sweep.ts");
    return removeReports(context);
  },
  watchSize,
};

/**
 * Runs cron's duties, once a minute. Each step is bounded in time, D1 statements and subrequests, and
 * leaves the rest of its work to the next tick; a step that fails does not hold up the others. One log line
 * shows the figures of each step. Ticks may overlap, since a repeated step does no harm.
 */
export async function runTick(deps: MaintenanceDeps): Promise<Record<string, object>> {
  const { clock, config } = deps;
  const startedAt = clock.now();
  const meter = createMeter();
  const callsLeft = () => {
    if (clock.now() - startedAt >= BUDGET_MS) return 0;
    return Math.max(0, BUDGET_CALLS - meter.d1RoundTrips - meter.objectHops - meter.r2Calls);
  };
  const context: StepContext = {
    db: openDatabase(deps.d1, meter),
    meter,
    bucket: openBucket(deps.bucket, meter),
    callCoordinator: createCoordinatorClient(deps.coordinators, {
      attempts: 1,
      timeoutMs: CALL_TIMEOUT_MS,
    }),
    lobbies: deps.lobbies,
    config,
    clock,
    callsLeft,
    goOn: () => callsLeft() > 0,
  };
  const done: Record<string, object> = {};
  for (const [name, step] of Object.entries(STEPS)) {
    try {
      done[name] = await step(context);
    } catch (error) {
      logEvent("error", "cron_step_failed", { step: name, causes: causesOf(error) });
      done[name] = { error: true };
    }
  }
  logEvent("info", "cron_tick", {
    steps: done,
    ms: clock.now() - startedAt,
    d1_round_trips: meter.d1RoundTrips,
    object_hops: meter.objectHops,
    r2_calls: meter.r2Calls,
  });
  return done;
}
