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

/**
 * Nor after so many calls of D1, objects and R2: the platform allows 1,000 in one invocation, and what is
 * begun last, the reports of a job of 256 nodes, makes about 300.
 */
const BUDGET_CALLS = 650;

/** Jobs that one tick rates again, and D1 round trips for each of them. */
const MAX_RATED_JOBS = 50;
const CALLS_PER_RATING = 3;

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
  /** How many calls may still be begun; none when the time is over. */
  callsLeft: () => number;
  /** Whether something may still be begun. */
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
  rerate: async ({ db, clock, config, callsLeft }) => {
    const affordable = Math.floor(callsLeft() / CALLS_PER_RATING);
    const jobs = Math.min(MAX_RATED_JOBS, affordable);
    return { jobs: jobs > 0 ? await rerate(db, clock.now(), jobs, config.rating) : 0 };
  },
  sweepReports: async ({ db, bucket, config, clock, goOn }) => {
    const { sweepReports } = await import("../reports/sweep.ts");
    return sweepReports({ db, bucket, thresholds: config.rating, clock, goOn });
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
  let bucketCalls = 0;
  const callsLeft = () => {
    if (clock.now() - startedAt >= BUDGET_MS) return 0;
    return Math.max(0, BUDGET_CALLS - meter.d1RoundTrips - meter.objectHops - bucketCalls);
  };
  const tick: Tick = {
    db: openDatabase(deps.d1, meter),
    meter,
    bucket: counted(deps.bucket, () => bucketCalls++),
    callCoordinator: createCoordinatorClient(deps.coordinators, {
      attempts: 1,
      timeoutMs: CALL_TIMEOUT_MS,
    }),
    config,
    clock,
    callsLeft,
    goOn: () => callsLeft() > 0,
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
  const costs = { d1_round_trips, object_hops, bucket_calls: bucketCalls };
  console.log(JSON.stringify({ level: "info", cron: done, ms, ...costs }));
  return done;
}

/** The bucket, each of whose calls is counted. */
function counted(bucket: R2Bucket, count: () => void): R2Bucket {
  return new Proxy(bucket, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        count();
        return Reflect.apply(member, target, args);
      };
    },
  });
}
