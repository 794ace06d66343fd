import type { Database } from "../db/client.ts";
import { ApiError, notFound } from "../http/errors.ts";
import { type Clock, toTimestamp } from "../lib/clock.ts";
import type { RatingThresholds } from "../lib/config.ts";
import { taskIdOf } from "../lib/ids.ts";
import type { ReportLinks } from "./links.ts";
import type { FoundReport } from "./store.ts";

export type ReportsService = ReturnType<typeof createReportsService>;

export interface ReportsDeps {
  bucket: R2Bucket;
  links: ReportLinks;
  thresholds: RatingThresholds;
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
export function createReportsService({ bucket, links, thresholds, clock }: ReportsDeps) {
  return {
    /**
     * Makes what the job lacks of reports, or what a new verdict has changed; answers the link to the
     * job's own. The caller sees the job. One round trip, and one for each megabyte that was measured,
     * and one for each 32 reports that are new.
     */
    async make(db: Database, job: ReportedJob, origin: string): Promise<string> {
      if (job.userId === 0) {
        const message = "A job that was made without an account gets no report";
        throw new ApiError("JOB_STATE_INVALID", message);
      }
      if (job.endedAt === null) throw notEnded();
      const { makeReports } = await import("./make.ts");
      const made = await makeReports({ db, bucket, thresholds, now: clock.now() }, job.id);
      // Deleted since it was looked at.
      if (made === null) throw notFound("Job", job.id);
      return links.urlOf(origin, job.id);
    },

    /** A job as its report sees it; null when it is deleted. One round trip. */
    async jobOf(db: Database, jobId: number): Promise<ReportedJob | null> {
      const { findReportedJob } = await import("./store.ts");
      return findReportedJob(db, jobId);
    },

    /** What anyone may know of a report whose hash they hold. One round trip. */
    async find(db: Database, hash: string) {
      const { findReport } = await import("./store.ts");
      const found = await findReport(db, hash);
      if (found === null) throw notFound("Report", hash);
      return toReport(found);
    },
  };
}

function toReport(found: FoundReport) {
  const { hash, jobId, rank, version, status, state } = found;
  return {
    hash,
    job_id: String(jobId),
    task_id: rank === null ? null : String(taskIdOf(jobId, rank)),
    version,
    is_latest: found.latest === hash,
    status,
    state,
    created_at: toTimestamp(found.createdAt),
    started_at: toTimestamp(found.startedAt),
    ended_at: toTimestamp(found.endedAt),
    made_at: toTimestamp(found.madeAt),
    file_sha256: found.fileSha256,
    file_bytes: found.bytes,
  };
}

function notEnded(): ApiError {
  return new ApiError(
    "JOB_STATE_INVALID",
    "The job has not ended yet; its report is made when it has",
  );
}
