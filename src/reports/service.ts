import type { Database } from "../db/client.ts";
import type { Clock } from "../lib/clock.ts";
import type { RatingThresholds } from "../lib/config.ts";
import type { ReportLinks } from "./links.ts";
import type { Restore } from "./make.ts";

export type ReportsService = ReturnType<typeof createReportsService>;

export interface ReportsDeps {
  bucket: R2Bucket;
  links: ReportLinks;
  thresholds: RatingThresholds;
  restore: Restore;
  clock: Clock;
}

/** A job as whoever wants its report knows it. */
export interface ReportedJob {
  id: number;
  userId: number;
  endedAt: number | null;
}

/**
 * What requests do with reports. Most make none and open none: whatever more than that needs loads with
 * the first that does.
 */
export function createReportsService(deps: ReportsDeps) {
  const { bucket, links, thresholds, restore, clock } = deps;
  return {
    /**
     * Makes what the job lacks of reports, or what a new verdict has changed; answers the link to the
     * job's own. The caller sees the job. One round trip, and one for each megabyte that was measured,
     * and one for each 32 reports that are new.
     */
    async make(db: Database, job: ReportedJob, origin: string): Promise<string> {
      const { makeOnRequest } = await import("./requests.ts");
      await makeOnRequest({ db, bucket, thresholds, restore, now: clock.now() }, job);
      return links.urlOf(origin, job.id);
    },

    /** A job as its report sees it; null when it is deleted. One round trip. */
    async jobOf(db: Database, jobId: number): Promise<ReportedJob | null> {
      const { findReportedJob } = await import("./store.ts");
      return findReportedJob(db, jobId);
    },

    /** What anyone may know of a report whose hash they hold. One round trip. */
    async find(db: Database, hash: string) {
      const { viewReport } = await import("./requests.ts");
      return viewReport(db, hash);
    },
  };
}
