/** Writes that make gangs, in D1. Each is guarded, so that claims may race, repeat and break off. */
import { and, eq, isNotNull, isNull, lte, or, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { jobs, runners } from "../db/schema.ts";
import { inContact } from "../specs/runners-online.ts";
import {
  authenticated,
  type ClaimingRunner,
  isOver,
  jobOpen,
  jobOver,
  ownJob,
  type Reservation,
  toReservation,
} from "./claim-conditions.ts";
import { BEHIND_AFTER_HOLDING_MS, HOLD_MS, MEET_MS } from "./schedule.ts";

/**
 * Reserves as many runners for a gang job as it wants, the claiming runner among them: those seen last that offer
 * its spec and have no live job. All of them, or none. Drops what is left of a void reservation. One round trip.
 *
 * @param contactAfter a runner out of contact since then is offline
 */
export async function reserveGang(
  db: Database,
  runner: ClaimingRunner,
  jobId: number,
  finished: number | null,
  { now, contactAfter }: { now: number; contactAfter: number },
): Promise<Reservation & { members: readonly number[]; reservedAt: number | null }> {
  const idle = idleRunners(runner, jobId, finished, { now, contactAfter });
  const wants = sql`(select node_count - current_nodes from jobs where id = ${jobId})`;
  const [, members, , rows] = await db.batch([
    // A void reservation must not become valid again with the next one.
    db
      .update(runners)
      .set({ jobId: null, claimedAt: null, askedAt: null })
      .where(
        and(
          eq(runners.jobId, jobId),
          isNotNull(runners.askedAt),
          isNull(runners.taskId),
          lte(runners.claimedAt, now - MEET_MS),
          sql`exists (select 1 from jobs where id = ${jobId} and gang = 'waiting')`,
        ),
      ),
    db
      .update(runners)
      .set({
        jobId,
        taskId: null,
        claimedAt: now,
        askedAt: sql`iif(${runners.id} = ${runner.id}, ${now}, 0)`,
      })
      .where(
        sql`exists (select 1 from runners where ${authenticated(runner)})
          and (select count(*) >= ${wants} and max(id = ${runner.id}) from (${idle}))
          and ${runners.id} in (select id from (${idle})
            order by id = ${runner.id} desc, last_heartbeat_at desc limit ${wants})`,
      )
      .returning({ id: runners.id }),
    db
      .update(jobs)
      .set({ reservedAt: now, heldSince: null })
      .where(
        and(
          eq(jobs.id, jobId),
          eq(jobs.gang, "waiting"),
          sql`exists (select 1 from runners where id = ${runner.id} and job_id = ${jobId}
            and task_id is null and claimed_at = ${now})`,
        ),
      ),
    db
      .select({
        ...ownJob(jobId, now),
        reservedAt: sql<number | null>`(select reserved_at from jobs where id = ${jobId})`.as(
          "reserved_at",
        ),
      })
      .from(runners)
      .where(authenticated(runner)),
  ]);
  const ids = members.map(({ id }) => id);
  const reservation = toReservation(rows, ids.length > 0);
  return { ...reservation, members: ids, reservedAt: rows[0]?.reservedAt ?? null };
}

/** Runners that a waiting gang job may reserve; the claiming one is in contact. */
function idleRunners(
  runner: ClaimingRunner,
  jobId: number,
  finished: number | null,
  { now, contactAfter }: { now: number; contactAfter: number },
): SQL {
  const isFinished = and(eq(runners.id, runner.id), isOver(finished, now));
  return sql`select runners.id, runners.last_heartbeat_at from jobs j
    join specs s on s.uuid = j.spec_uuid and s.archived_at is null
    join runner_specs offered on offered.spec_uuid = s.uuid
    join runners on runners.id = offered.runner_id
    where j.id = ${jobId} and j.gang = 'waiting' and ${jobOpen(now)}
    and (j.reserved_at is null or j.reserved_at <= ${now - MEET_MS})
    and runners.archived_at is null
    and (runners.id = ${runner.id} or ${inContact(contactAfter)})
    and (runners.job_id is null or ${isFinished} or ${jobOver(now)})`;
}

/**
 * Begins the time for which a gang job holds free runners, unless one lately began. It is the time of all gang jobs
 * of the customer for the spec, ended and deleted ones too. One round trip.
 *
 * @returns the time since which the job holds runners, ms
 */
export async function beginHolding(db: Database, jobId: number, now: number): Promise<number> {
  const before = now - HOLD_MS - BEHIND_AFTER_HOLDING_MS;
  const begun = sql`(select max(held_since) from jobs other where other.spec_uuid = jobs.spec_uuid
    and other.customer_id = jobs.customer_id and other.held_since > ${before})`;
  const [job] = await db
    .update(jobs)
    .set({ heldSince: sql`coalesce(${begun}, ${now})` })
    .where(
      and(
        eq(jobs.id, jobId),
        eq(jobs.gang, "waiting"),
        or(sql`${jobs.heldSince} is null`, lte(jobs.heldSince, before)),
      ),
    )
    .returning({ heldSince: jobs.heldSince });
  return job?.heldSince ?? now;
}
