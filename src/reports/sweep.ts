import type { Database } from "../db/client.ts";
import { causesOf } from "../db/errors.ts";
import { type Clock, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import type { RatingThresholds } from "../lib/config.ts";
import { listFiles } from "./files.ts";
import { makeReports } from "./make.ts";
import { findDeleted, findUnreported, forgetReports } from "./store.ts";

/** A tick makes the reports of so many jobs at most; what is left comes with the next one. */
const MAX_JOBS = 20;
/** Among so many, each has its turn: those that cannot be made are tried no more often than the others. */
const MAX_WAITING = 1_000;
/** No further job is begun after this: the largest take some seconds. */
const BUDGET_MS = 10 * SECOND_MS;
/** What has no report after a day has a reason that another try will not mend. */
const GIVE_UP_MS = DAY_MS;
/** An object has tried more than once by then. Before that, cron would report what is not rated yet. */
const OBJECT_TIME_MS = 5 * MINUTE_MS;

/**
 * What cron does for reports: jobs that ended in D1 alone, because no machine ever came, get theirs here, and
 * those whose object has failed to make it. Answers how many. One round trip when there is nothing to do.
 */
export async function sweepReports(deps: {
  db: Database;
  bucket: R2Bucket;
  thresholds: RatingThresholds;
  clock: Clock;
  /** Whether another job may be begun, as far as whoever asks is concerned. */
  goOn?: () => boolean;
}): Promise<{ made: number; failed: number }> {
  const { db, clock } = deps;
  const began = clock.now();
  const sum = { made: 0, failed: 0 };
  const ended = { endedAfter: began - GIVE_UP_MS, objectsBefore: began - OBJECT_TIME_MS };
  for (const jobId of inTurn(await findUnreported(db, ended, MAX_WAITING), began)) {
    if (clock.now() - began > BUDGET_MS || deps.goOn?.() === false) break;
    try {
      await makeReports({ ...deps, now: clock.now() }, jobId);
      sum.made++;
    } catch (error) {
      sum.failed++;
      console.warn(JSON.stringify({ level: "warn", job: jobId, report: causesOf(error) }));
    }
  }
  return sum;
}

/** The jobs whose turn it is in this minute. */
function inTurn(waiting: readonly number[], now: number): number[] {
  const turns = Math.max(1, Math.ceil(waiting.length / MAX_JOBS));
  const first = (Math.floor(now / MINUTE_MS) % turns) * MAX_JOBS;
  return waiting.slice(first, first + MAX_JOBS);
}

/** Deleted jobs whose reports a tick removes at most: two calls of R2 each, and two of D1. */
const MAX_REMOVED = 20;
/** Whoever was making a report when its job was deleted has long ended by then. */
const REMOVE_AFTER_MS = HOUR_MS;

/**
 * Removes the reports of deleted jobs, which no link leads to any more: first the files, then what D1 has of
 * them. Broken off in between, the next tick does it again. One round trip when there is nothing to do.
 */
export async function removeReports(deps: {
  db: Database;
  bucket: R2Bucket;
  clock: Clock;
  goOn: () => boolean;
}): Promise<{ removed: number }> {
  const { db, bucket, clock, goOn } = deps;
  let removed = 0;
  for (const jobId of await findDeleted(db, clock.now() - REMOVE_AFTER_MS, MAX_REMOVED)) {
    if (!goOn()) break;
    const files = await listFiles(bucket, jobId);
    if (files.size > 0) await bucket.delete([...files]);
    await forgetReports(db, jobId);
    removed++;
  }
  return { removed };
}
