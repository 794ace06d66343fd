/** Quotas of customers: tested by the statement that creates a job, so that simultaneous creations cannot pass one. */
import { eq, inArray, type SQL, sql } from "drizzle-orm";
import { customerUsage, jobCounts } from "../db/schema.ts";
import { ANONYMOUS } from "../identity/anonymous.ts";
import { DAY_MS } from "../lib/clock.ts";
import type { Quotas } from "../lib/config.ts";
import { UNSETTLED_STATES } from "../lib/enums.ts";

/** A quota that a new job would exceed; `closed`: the database is large. */
export type ExceededQuota = "closed" | "anonymous" | "jobs_per_day" | "stored_bytes";

export interface Creation {
  customerId: number;
  /** ms */
  createdAt: number;
}

export const dayOf = (ms: number) => Math.floor(ms / DAY_MS);

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
