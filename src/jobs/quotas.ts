/** Quotas of customers: tested by the statement that creates a job, so that simultaneous creations cannot pass one. */
import { eq, inArray, type SQL, sql } from "drizzle-orm";
import { customerUsage, jobCounts } from "../db/schema.ts";
import { ApiError } from "../http/errors.ts";
import { ANONYMOUS } from "../identity/anonymous.ts";
import { DAY_MS, SECOND_MS, toTimestamp } from "../lib/clock.ts";
import type { Quotas } from "../lib/config.ts";
import { UNSETTLED_STATES } from "../lib/enums.ts";

/** A quota that a new job would exceed; `closed`: the database is large. */
export type ExceededQuota = "closed" | "anonymous" | "jobs_per_day" | "stored_bytes";

interface Creation {
  customerId: number;
  /** ms */
  createdAt: number;
}

/** `Retry-After` of jobs without an account. */
const RETRY_ANONYMOUS_SECONDS = 600;

const dayOf = (ms: number) => Math.floor(ms / DAY_MS);

/** The quota that the job would exceed, or null; a customer that has made no job yet has no row. */
export function exceededQuota(job: Creation, quotas: Quotas): SQL<ExceededQuota | null> {
  const { bytes, day, jobs, isClosed } = customerUsage;
  const of = sql`from ${customerUsage} where ${eq(customerUsage.customerId, job.customerId)}`;
  if (job.customerId !== ANONYMOUS.customerId) {
    const isFullDay = sql`${day} = ${dayOf(job.createdAt)} and ${jobs} >= ${quotas.customerJobsPerDay}`;
    return sql`(select case when ${isFullDay} then 'jobs_per_day'
      when ${bytes} >= ${quotas.customerBytes} then 'stored_bytes' end ${of})`;
  }
  const live = sql`(select sum(${jobCounts.jobs}) from ${jobCounts} where ${jobCounts.scope} = ${`customer:${job.customerId}`}
    and ${inArray(jobCounts.state, UNSETTLED_STATES)})`;
  return sql`(select case when ${isClosed} then 'closed'
    when ${bytes} >= ${quotas.anonymousBytes} or ${live} >= ${quotas.anonymousLiveJobs} then 'anonymous' end ${of})`;
}

/** The error reply for a quota. */
export function quotaError(exceeded: ExceededQuota, job: Creation, quotas: Quotas): ApiError {
  switch (exceeded) {
    case "closed":
    case "anonymous": {
      const message =
        "Jobs without an account cannot be created now: too many are waiting, or too much is stored; sign in, or try again later";
      const headers = { "Retry-After": String(RETRY_ANONYMOUS_SECONDS) };
      return new ApiError("SERVICE_UNAVAILABLE", message, { headers });
    }
    case "jobs_per_day": {
      const until = (dayOf(job.createdAt) + 1) * DAY_MS;
      const wait = Math.ceil((until - job.createdAt) / SECOND_MS);
      const message = `Your customer has created ${quotas.customerJobsPerDay} jobs today, which is its quota; it can create more from ${toTimestamp(until)}`;
      return new ApiError("QUOTA_EXCEEDED", message, { headers: { "Retry-After": String(wait) } });
    }
    case "stored_bytes": {
      const gib = (quotas.customerBytes ?? 0) / 1_024 ** 3;
      const message = `The results of your customer's jobs fill its quota of ${gib} GiB, until some are deleted; space is free within a day of a deletion`;
      return new ApiError("QUOTA_EXCEEDED", message);
    }
  }
}
