import { openBucket } from "../db/bucket.ts";
import type { Database, Meter } from "../db/client.ts";
import { ApiError, notFound } from "../http/errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { RatingThresholds } from "../lib/config.ts";
import type { PaperSize } from "../lib/enums.ts";
import type { ReportLinks } from "./links.ts";
import { findReportedJob } from "./store.ts";

const BUSY_RETRY_SECONDS = 5;

export interface ReportsDeps {
  bucket: R2Bucket;
  assets: Fetcher;
  links: ReportLinks;
  thresholds: RatingThresholds;
  seeds: readonly string[];
  clock: Clock;
}

/** The facts of a job that decide whether it gets a report. */
export interface ReportedJob {
  id: number;
  userId: number;
  endedAt: number | null;
}

/** What a request says of the job's reports. */
export interface ReportWish {
  /** The origin of links; null if nobody has said it. */
  site: string | null;
  /** What they are printed on; as before without it. */
  paper?: PaperSize | undefined;
}

/** Makes and checks reports on request. */
export class ReportsService {
  readonly #deps: ReportsDeps;

  constructor(deps: ReportsDeps) {
    this.#deps = deps;
  }

  /**
   * Makes the missing reports of a job, and those that a new verdict has changed; answers the link to the
   * job's own; 503 while this isolate makes others. Callers check first that the requester may see the job. Two
   * round trips, one for each megabyte of results, and one for each 32 new reports.
   */
  async make(
    { db, meter }: { db: Database; meter: Meter },
    job: ReportedJob,
    origin: string | null,
  ): Promise<string> {
    refuseUnreportable(job);
    // PDF parts load with the first report that is made.
    const { attemptReports } = await import("./attempt.ts");
    const { bucket: r2, assets, thresholds, seeds, clock, links } = this.#deps;
    const attempt = await attemptReports(
      {
        db,
        bucket: openBucket(r2, meter),
        assets,
        thresholds,
        seeds,
        clock,
      },
      job.id,
      { isAsked: true },
    );
    if (attempt === "busy") {
      throw new ApiError("SERVICE_UNAVAILABLE", "Other reports are being made; try again", {
        headers: { "Retry-After": String(BUSY_RETRY_SECONDS) },
      });
    }
    // The job was deleted in the meantime.
    if (attempt === "none") throw notFound("Job", job.id);
    return links.urlOf(origin, job.id);
  }

  /** Null when the job is deleted. One round trip. */
  jobOf(db: Database, jobId: number): Promise<ReportedJob | null> {
    return findReportedJob(db, jobId);
  }
}

function refuseUnreportable({ userId, endedAt }: ReportedJob): void {
  if (userId === 0) {
    const message = "A job that was made without an account gets no report";
    throw new ApiError("JOB_STATE_INVALID", message);
  }
  if (endedAt === null) {
    const message = "The job has not ended yet; its report is made when it ends";
    throw new ApiError("JOB_STATE_INVALID", message);
  }
}
