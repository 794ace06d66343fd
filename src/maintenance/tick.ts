import { type CallCoordinator, createCoordinatorClient } from "../coordinator/client.ts";
import type { JobCoordinator } from "../coordinator/job-coordinator.ts";
import { createMeter, type Database, type Meter, openDatabase } from "../db/client.ts";
import { causesOf } from "../db/errors.ts";
import { type Clock, SECOND_MS } from "../lib/clock.ts";
import type { Config } from "../lib/config.ts";
import { recomputeBaselines, rerate } from "../scoreboard/upkeep.ts";
import { archiveResults } from "./archive.ts";
import { askObjects, settleExpired } from "./expiry.ts";
import { clearExpired, removeAnonymous, watchSize } from "./retention.ts";

/** No step begins anything new after so long: the next tick is a minute away. */
const BUDGET_MS = 40 * SECOND_MS;
/** Among hundreds of objects none is waited for as long as a request would. */
const CALL_TIMEOUT_MS = 5 * SECOND_MS;

/** Jobs that one tick rates again: three D1 round trips each. */
const MAX_RATED_JOBS = 50;

export interface MaintenanceDeps {
  d1: D1Database;
  bucket: R2Bucket;
  coordinators: DurableObjectNamespace<JobCoordinator>;
  config: Config;
  clock: Clock;
}

/** What every step of a tick has. */
export interface Tick {
  db: Database;
  meter: Meter;
  bucket: R2Bucket;
  callCoordinator: CallCoordinator;
  config: Config;
  clock: Clock;
  /** Whether there is time left to begin something. */
  goOn: () => boolean;
}

type Step = (tick: Tick) => Promise<object>;

/** In this order: what nobody can do without comes first. */
const STEPS: Readonly<Record<string, Step>> = {
  settleExpired,
  askObjects,
  clearExpired,
  removeAnonymous,
  archiveResults,
  recomputeBaselines: async ({ db, clock, config }) => ({
    models: await recomputeBaselines(db, clock.now(), config.rating),
  }),
  rerate: async ({ db, clock, config }) => ({
    jobs: await rerate(db, clock.now(), MAX_RATED_JOBS, config.rating),
  }),
  sweepReports: async ({ db, bucket, config, clock }) => {
    const { sweepReports } = await import("../reports/sweep.ts");
    return sweepReports({ db, bucket, thresholds: config.rating, clock });
  },
  watchSize,
};

/**
 * What cron does, once a minute. Each step is bounded in time, in D1 statements and in subrequests, does
 * its share of what is due, and leaves the rest to the next tick; one that fails holds up no other. One log
 * line says what was done. Ticks may overlap: what one has taken, the other leaves alone.
 */
export async function runTick(deps: MaintenanceDeps): Promise<Record<string, object>> {
  const { clock, config } = deps;
  const startedAt = clock.now();
  const meter = createMeter();
  const tick: Tick = {
    db: openDatabase(deps.d1, meter),
    meter,
    bucket: deps.bucket,
    callCoordinator: createCoordinatorClient(deps.coordinators, {
      attempts: 1,
      timeoutMs: CALL_TIMEOUT_MS,
    }),
    config,
    clock,
    goOn: () => clock.now() - startedAt < BUDGET_MS,
  };
  const done: Record<string, object> = {};
  for (const [name, step] of Object.entries(STEPS)) {
    try {
      done[name] = await step(tick);
    } catch (error) {
      const causes = causesOf(error);
      console.error(JSON.stringify({ level: "error", cron: name, causes }));
      done[name] = { error: true };
    }
  }
  const { d1RoundTrips: d1_round_trips, objectHops: object_hops } = meter;
  const ms = clock.now() - startedAt;
  console.log(JSON.stringify({ level: "info", cron: done, ms, d1_round_trips, object_hops }));
  return done;
}
