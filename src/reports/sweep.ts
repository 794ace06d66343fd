import { bodiesKey } from "../db/bodies.ts";
import type { Bucket } from "../db/bucket.ts";
import type { Database } from "../db/client.ts";
import { causesOf } from "../db/errors.ts";
import { type Clock, DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import type { RatingThresholds } from "../lib/config.ts";
import { logEvent } from "../lib/log.ts";
import { attemptReports } from "./attempt.ts";
import { filePrefix } from "./files.ts";
import { findDeleted, findUnreported, forgetReports } from "./sweep-store.ts";

/** Bound of jobs whose reports one tick makes; the next tick continues. */
const MAX_JOBS = 20;
/** Bound of jobs that take turns, so that reports that cannot be made are tried no more often than others. */
const MAX_WAITING = 1_000;
/** No job is begun after this time, since the largest take some seconds. */
const BUDGET_MS = 10 * SECOND_MS;
/** Age of a job's end after which another attempt is unlikely to help. */
const GIVE_UP_MS = DAY_MS;
/** Time left to the job's object: before it, cron might report a job that is not rated yet. */
const OBJECT_TIME_MS = 5 * MINUTE_MS;

/**
 * Makes the reports that no object makes: those of jobs that ended in D1 alone, because no machine joined, and
 * those whose object failed. One round trip when no report is missing.
 *
 * @returns the numbers of jobs whose reports were made, and of those whose reports could not be made
 */
export async function sweepReports(deps: {
  db: Database;
  bucket: Bucket;
  thresholds: RatingThresholds;
  seeds: readonly string[];
  clock: Clock;
  /** False ends the sweep before the next job. */
  goOn?: () => boolean;
}): Promise<{ made: number; failed: number }> {
  const { db, clock } = deps;
  const began = clock.now();
  const sum = { made: 0, failed: 0 };
  const ended = { endedAfter: began - GIVE_UP_MS, objectsBefore: began - OBJECT_TIME_MS };
  for (const jobId of inTurn(await findUnreported(db, ended, MAX_WAITING), began)) {
    if (clock.now() - began > BUDGET_MS || deps.goOn?.() === false) break;
    try {
      const attempt = await attemptReports(deps, jobId);
      if (attempt === "busy") break;
      if (attempt === "made") sum.made++;
      else if (attempt === "given_up") sum.failed++;
    } catch (error) {
      sum.failed++;
      logEvent("warn", "report_failed", { job: jobId, causes: causesOf(error) });
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

/** Bound of deleted jobs that one tick clears, at two calls of R2 and one of D1 each: 86,400 a day. */
const MAX_REMOVED = 60;
/** By then, a report or the bodies that were being written when the job was deleted are there. */
const REMOVE_AFTER_MS = HOUR_MS;

/**
 * Removes the reports and the bodies of deleted jobs from R2: first the files, then what D1 says of them. If it is
 * interrupted in between, the next tick repeats it. One round trip when there are none.
 */
export async function removeReports(deps: {
  db: Database;
  bucket: Bucket;
  clock: Clock;
  goOn: () => boolean;
}): Promise<{ removed: number }> {
  const { db, bucket, clock, goOn } = deps;
  let removed = 0;
  for (const jobId of await findDeleted(db, clock.now() - REMOVE_AFTER_MS, MAX_REMOVED)) {
    if (!goOn()) break;
    await bucket.delete([...(await bucket.list(filePrefix(jobId))), bodiesKey(jobId)]);
    await forgetReports(db, jobId);
    removed++;
  }
  return { removed };
}
