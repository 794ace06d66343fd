/** How the runners of a gang meet, in D1: part of each claim by a runner that has a job. */
import { and, eq, isNotNull, lte, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { jobs, runners } from "../db/schema.ts";
import { SECOND_MS } from "../lib/clock.ts";
import { authenticated, type ClaimingRunner } from "./claim-conditions.ts";

/** A member that has not asked for this long may be gone, so the gang waits for it. */
const PRESENT_MS = 30 * SECOND_MS;
/** A repeated question is written at most this often. */
const ASKED_MS = 10 * SECOND_MS;

/**
 * Statements of a claim by a runner that may be a member of a gang: it has asked, and if all members have asked
 * lately, the gang has met, for ever.
 */
export function meet(db: Database, runner: ClaimingRunner, now: number) {
  const waiting = sql`exists (select 1 from jobs j where j.id = runners.job_id and j.gang = 'waiting')`;
  return [
    db
      .update(runners)
      .set({ askedAt: now })
      .where(
        and(
          authenticated(runner),
          isNotNull(runners.askedAt),
          lte(runners.askedAt, now - ASKED_MS),
          waiting,
        ),
      ),
    db
      .update(jobs)
      .set({ gang: "met" })
      .where(
        and(
          sql`${jobs.id} = (select job_id from runners where ${authenticated(runner)})`,
          eq(jobs.gang, "waiting"),
          sql`${presentMembers(now)} >= ${jobs.nodeCount} - ${jobs.currentNodes}`,
        ),
      ),
  ] as const;
}

function presentMembers(now: number): SQL {
  return sql`(select count(*) from runners
    join runner_specs offered on offered.runner_id = runners.id and offered.spec_uuid = ${jobs.specUuid}
    join specs on specs.uuid = offered.spec_uuid and specs.archived_at is null
    where runners.job_id = ${jobs.id} and asked_at > ${now - PRESENT_MS} and task_id is null
    and runners.archived_at is null)`;
}
