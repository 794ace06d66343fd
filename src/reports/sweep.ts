import type { Database } from "../db/client.ts";
import { causesOf } from "../db/errors.ts";
import { type Clock, DAY_MS, MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import type { RatingThresholds } from "../lib/config.ts";
import { makeReports } from "./make.ts";
import { findUnreported } from "./store.ts";

/** A tick makes the reports of so many jobs at most; what is left comes with the next one. */
const MAX_JOBS = 20;
/** No further job is begun after this: the largest take some seconds. */
const BUDGET_MS = 10 * SECOND_MS;
/** A job's own object has so long to make them before cron does. */
const GRACE_MS = 10 * MINUTE_MS;
/** What has no report after a day has a reason that another try will not mend. */
const GIVE_UP_MS = DAY_MS;

/**
 * What cron does for reports: jobs that ended in D1 alone, because no machine ever came, get theirs here, and
 * those whose object has failed to make it. Answers how many. One round trip when there is nothing to do.
 */
export async function sweepReports(deps: {
  db: Database;
  bucket: R2Bucket;
  thresholds: RatingThresholds;
  clock: Clock;
}): Promise<{ made: number; failed: number }> {
  const { db, clock } = deps;
  const began = clock.now();
  const sum = { made: 0, failed: 0 };
  const ended = { after: began - GIVE_UP_MS, before: began - GRACE_MS };
  for (const jobId of await findUnreported(db, ended, MAX_JOBS)) {
    if (clock.now() - began > BUDGET_MS) break;
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
