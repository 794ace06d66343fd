import type { Database } from "../db/client.ts";
import { ApiError, notFound } from "../http/errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { RatingThresholds } from "../lib/config.ts";
import { jobIdOf, rankOf } from "../lib/ids.ts";
import { fileKey } from "./files.ts";
import type { LinkProof, ReportLinks } from "./links.ts";
import { findFile, findReport, findReportedJob } from "./store.ts";

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

/** A file that may be served. */
export interface FoundFile {
  key: string;
  hash: string;
  name: string;
  /** The job's or the task's. */
  id: number;
  rank: number | null;
}

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
    jobOf(db: Database, jobId: number): Promise<ReportedJob | null> {
      return findReportedJob(db, jobId);
    },

    /** The file that a link leads to. Whatever is wrong with the link has the same answer. */
    async file(db: Database, id: number, proof: LinkProof): Promise<FoundFile> {
      if (!links.verify(id, proof)) throw notFound("Report", id);
      const jobId = jobIdOf(id);
      const rank = rankOf(jobId, id);
      const found = await findFile(db, { jobId, taskId: rank === null ? null : id });
      if (found === null || found.hash === null) throw notFound("Report", id);
      return { key: fileKey(jobId, found.hash), hash: found.hash, name: found.name, id, rank };
    },

    /** What anyone may know of a report whose hash they hold. */
    async find(db: Database, hash: string) {
      const found = await findReport(db, hash);
      if (found === null) throw notFound("Report", hash);
      return found;
    },
  };
}

function notEnded(): ApiError {
  return new ApiError(
    "JOB_STATE_INVALID",
    "The job has not ended yet; its report is made when it has",
  );
}
