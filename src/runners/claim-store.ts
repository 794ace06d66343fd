/** Reads and writes of claims in D1. */
import { and, eq, isNotNull, isNull, lte, or, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { fromJson } from "../db/json.ts";
import { byReference } from "../db/named-rows.ts";
import { runners } from "../db/schema.ts";
import { taskIdRange } from "../lib/ids.ts";
import type { Reference } from "../lib/references.ts";
import {
  authenticated,
  type ClaimingRunner,
  isOver,
  jobOpen,
  memberOf,
  ownJob,
  type Reservation,
  specOffered,
  toReservation,
} from "./claim-conditions.ts";
import { meet } from "./gang-meeting.ts";

/**
 * The runner that a reference names; the caller compares the key. Writes the contact if the key is right. One
 * round trip.
 *
 * @param writtenBefore the contact is written if the last write is not newer; null never writes it
 */
export async function findByKey(
  db: Database,
  reference: Reference,
  keyHash: string,
  now: number,
  writtenBefore: number | null,
) {
  const find = db
    .select({
      id: runners.id,
      uuid: runners.uuid,
      keyHash: runners.keyHash,
      archivedAt: runners.archivedAt,
      lastHeartbeatAt: runners.lastHeartbeatAt,
      jobId: runners.jobId,
      specs: fromJson<string[]>(sql`(select json_group_array(uuid) from (
        select s.uuid from runner_specs offered join specs s on s.uuid = offered.spec_uuid
        where offered.runner_id = runners.id and s.archived_at is null order by s.uuid))`).as(
        "specs",
      ),
      offered: fromJson<string[]>(sql`(select json_group_array(spec_uuid) from (
        select spec_uuid from runner_specs where runner_id = runners.id order by spec_uuid))`).as(
        "offered",
      ),
    })
    .from(runners)
    .where(byReference(runners, reference));
  if (writtenBefore === null) return (await find)[0] ?? null;
  const [, rows] = await db.batch([
    db
      .update(runners)
      .set({ lastHeartbeatAt: now })
      .where(
        and(
          byReference(runners, reference),
          eq(runners.keyHash, keyHash),
          isNull(runners.archivedAt),
          or(isNull(runners.lastHeartbeatAt), lte(runners.lastHeartbeatAt, writtenBefore)),
        ),
      ),
    find,
  ]);
  return rows[0] ?? null;
}

/**
 * Reserves a place in a job for a runner by compare-and-set: only if the runner still has this key, is not
 * archived, has no other live job and still offers the job's spec, and if spec and job are still open. Answers
 * the job that the runner then has, also one that an earlier claim has reserved. One round trip.
 */
export async function reserve(
  db: Database,
  runner: ClaimingRunner,
  candidate: number,
  finished: number | null,
  now: number,
): Promise<Reservation> {
  const [reserved, rows] = await db.batch([
    db
      .update(runners)
      .set({
        jobId: candidate,
        // Null unless the machine has joined before with the job's token.
        taskId: taskOf(candidate),
        claimedAt: now,
        askedAt: sql`(select iif(gang is null, null, ${now}) from jobs where id = ${candidate})`,
      })
      .where(
        and(
          authenticated(runner),
          or(isNull(runners.jobId), isOver(finished, now)),
          claimable(candidate, now),
        ),
      )
      .returning({ id: runners.id }),
    db.select(ownJob(candidate, now)).from(runners).where(authenticated(runner)),
  ]);
  return toReservation(rows, reserved.length > 0);
}

/**
 * Answers the job that a runner has, after releasing it from one that is over; a member of a gang has asked by
 * this. One round trip.
 *
 * @param finished a job that is over for the runner, even if D1 does not know yet
 */
export async function ask(
  db: Database,
  runner: ClaimingRunner,
  finished: number | null,
  now: number,
): Promise<Reservation> {
  const [, , , rows] = await db.batch([
    db
      .update(runners)
      .set({ jobId: null, taskId: null, claimedAt: null, askedAt: null })
      .where(and(authenticated(runner), isNotNull(runners.jobId), isOver(finished, now))),
    ...meet(db, runner, now),
    db.select(ownJob(null, now)).from(runners).where(authenticated(runner)),
  ]);
  return toReservation(rows, false);
}

/** Id of the task that the runner of this row has in a job, as far as D1 knows. */
function taskOf(jobId: number): SQL {
  const [first, last] = taskIdRange(jobId);
  return sql`(select t.id from tasks t where t.id between ${first} and ${last}
    and t.machine_uuid = runners.uuid)`;
}

/** A gang that has met takes others only in the place of members that are gone. */
function claimable(jobId: number, now: number): SQL {
  return sql`exists (
    select 1 from jobs j where j.id = ${jobId} and ${jobOpen(now)} and ${specOffered}
    and (j.gang is null or (j.gang = 'met'
      and j.current_nodes + (select count(*) from runners where ${memberOf(now)}) < j.node_count)))`;
}
