/** Quotas of customers: tested by the statement that creates a job, so that simultaneous creations cannot pass one. */
import { eq, inArray, type Placeholder, type SQL, sql } from "drizzle-orm";
import { customerUsage, jobCounts } from "../db/schema.ts";
import { counterKey } from "../identity/actor.ts";
import { DAY_MS } from "../lib/clock.ts";
import type { Quotas } from "../lib/config.ts";
import { UNSETTLED_STATES } from "../lib/enums.ts";

/** A quota that a new job would exceed; `closed`: the database is large. */
export type ExceededQuota = "closed" | "anonymous" | "jobs_per_day" | "stored_bytes";

export const dayOf = (ms: number) => Math.floor(ms / DAY_MS);

export interface Creation {
  customerId: number;
  /** ms */
  createdAt: number;
}

/** The values that `exceededQuota` compares. */
export function quotaValues(job: Creation, quotas: Quotas) {
  const { customerId } = job;
  const scope = counterKey({ kind: "customer", customerId });
  return { ...quotas, customer: customerId, scope, day: dayOf(job.createdAt) };
}

type Values = ReturnType<typeof quotaValues>;
export type Compared = { [Name in keyof Values]: Values[Name] | Placeholder };

/**
 * The quota that the job would exceed, or null; a customer that has made no job yet has no row.
 *
 * @param compared values of `quotaValues`, or placeholders for them
 */
export function exceededQuota(
  isAnonymous: boolean,
  { customer, ...compared }: Compared,
): SQL<ExceededQuota | null> {
  const { bytes, day, jobs, isClosed } = customerUsage;
  const of = sql`from ${customerUsage} where ${eq(customerUsage.customerId, customer)}`;
  if (!isAnonymous) {
    const isFullDay = sql`${day} = ${compared.day} and ${jobs} >= ${compared.customerJobsPerDay}`;
    return sql`(select case when ${isFullDay} then 'jobs_per_day'
      when ${bytes} >= ${compared.customerBytes} then 'stored_bytes' end ${of})`;
  }
  const live = sql`(select sum(${jobCounts.jobs}) from ${jobCounts} where ${jobCounts.scope} = ${compared.scope}
    and ${inArray(jobCounts.state, UNSETTLED_STATES)})`;
  return sql`(select case when ${isClosed} then 'closed'
    when ${bytes} >= ${compared.anonymousBytes} or ${live} >= ${compared.anonymousLiveJobs} then 'anonymous' end ${of})`;
}
