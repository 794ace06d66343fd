/** What a claim reads and writes in D1. */
import { and, eq, isNull, lte, or, type SQL, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { runners } from "../db/schema.ts";
import type { Reference } from "../http/reference.ts";
import type { JobTokenFacts } from "../identity/job-token.ts";
import { JOB_LIFETIME_MS } from "../identity/lifetimes.ts";
import { MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import { taskIdRange } from "../lib/ids.ts";
import { isReferred } from "./store.ts";

/**
 * So many jobs are looked at, of each spec and in all: what comes later waits until these are full. Many,
 * because a runner can have ended its part in jobs that still wait for others.
 */
const MAX_CANDIDATES = 100;
/** Who has joined a job is known to D1 by then; where it does not know, nobody has. */
const UNHEARD_MS = 30 * SECOND_MS;
/** A runner whose join nobody has answered for so long looks for another job. */
const ABANDONED_MS = 5 * MINUTE_MS;

/**
 * The runner that is meant, whoever asks; the caller compares the key. Notes the contact, if the key is
 * right. One round trip.
 *
 * @param writtenBefore contact is noted where the last note is not newer; null to note none
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
      specs: sql<string>`(select json_group_array(uuid) from (
        select s.uuid from runner_specs offered join specs s on s.uuid = offered.spec_uuid
        where offered.runner_id = runners.id and s.archived_at is null order by s.uuid))`.as(
        "specs",
      ),
    })
    .from(runners)
    .where(isReferred(reference));
  if (writtenBefore === null) return (await find)[0] ?? null;
  const [, rows] = await db.batch([
    db
      .update(runners)
      .set({ lastHeartbeatAt: now })
      .where(
        and(
          isReferred(reference),
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
 * Jobs made for one of these specs that may still want nodes, oldest first, as D1 knows them. Archived
 * specs have none, and jobs whose time is over take no place among those looked at, however many lie
 * there unsettled. One round trip, which reads at most 100 jobs of each spec.
 */
export async function findCandidates(
  db: Database,
  specs: readonly string[],
  now: number,
): Promise<{ id: number }[]> {
  return db.all<{ id: number }>(sql`
    select j.id from json_each(${JSON.stringify(specs)}) wanted
    join specs s on s.uuid = wanted.value and s.archived_at is null
    join jobs j on j.id in (
      select id from jobs where spec_uuid = s.uuid and deleted_at is null
      and state in ('created', 'starting') and created_at > ${now - JOB_LIFETIME_MS}
      order by created_at, id limit ${MAX_CANDIDATES})
    where j.expires_at > ${now}
    order by j.created_at, j.id limit ${MAX_CANDIDATES}`);
}

/** What D1 says of a runner: that its key is not the one, or which job it holds. */
export type Hold =
  | "wrong_key"
  | {
      job: JobTokenFacts | null;
      /** Reserved just now: it has no task there yet. */
      isNew: boolean;
      /** The job that was wanted takes nobody any more, and never will again. */
      isWantedClosed: boolean;
    };

/**
 * Whether the job in a runner's row is over for it, as far as D1 knows; also one that it has reserved, not
 * joined, and may not claim any more, because the spec was withdrawn or archived, or cannot join, because
 * the job's object does not answer.
 */
const isOver = (now: number): SQL =>
  sql`(not exists (select 1 from jobs j where j.id = runners.job_id and j.ended_at is null
    and j.deleted_at is null and j.expires_at > ${now})
    or exists (select 1 from tasks t where t.id = runners.task_id and t.ended_at is not null)
    or (runners.task_id is null and runners.claimed_at <= ${now - ABANDONED_MS})
    or (runners.task_id is null and coalesce(runners.claimed_at, 0) <= ${now - UNHEARD_MS}
      and not exists (select 1 from jobs j where j.id = runners.job_id and ${isOffered})))`;

/** Whether the runner of this row offers the spec of the job `j`, and the spec is not archived. */
const isOffered = sql`exists (select 1 from specs s
  join runner_specs offered on offered.spec_uuid = s.uuid and offered.runner_id = runners.id
  where s.uuid = j.spec_uuid and s.archived_at is null)`;

/** Whether the job `j` may still want nodes. What is not so once never is again. */
const isOpen = (now: number): SQL =>
  sql`(j.deleted_at is null and j.state in ('created', 'starting') and j.expires_at > ${now})`;

/**
 * Reserves a job for a runner by compare-and-set: only if its key is still this one, it is not archived,
 * it holds no other job that is live, it still offers the job's spec, which is not archived, and the job
 * is still to be had. Answers what the runner holds then, whoever has reserved it. One round trip.
 *
 * @param wanted the job to reserve; null to reserve none and only let go of one that is over
 * @param finished a job that is over for the runner, whether D1 knows or not
 */
export async function reserve(
  db: Database,
  runner: { id: number; keyHash: string },
  wanted: number | null,
  finished: number | null,
  now: number,
): Promise<Hold> {
  const isKey = and(
    eq(runners.id, runner.id),
    eq(runners.keyHash, runner.keyHash),
    isNull(runners.archivedAt),
  );
  const over = or(finished === null ? undefined : eq(runners.jobId, finished), isOver(now));
  const mayReserve =
    wanted === null
      ? and(sql`${runners.jobId} is not null`, over)
      : and(or(isNull(runners.jobId), over), isToBeHad(wanted, now));
  const [reserved, rows] = await db.batch([
    db
      .update(runners)
      .set({
        jobId: wanted,
        // Null unless the machine has joined before, with the job's token.
        taskId: wanted === null ? null : taskOf(wanted),
        claimedAt: wanted === null ? null : now,
      })
      .where(and(isKey, mayReserve))
      .returning({ id: runners.id }),
    db
      .select({
        job: sql<
          string | null
        >`(select json_object('id', j.id, 'userId', j.user_id, 'tokenKeyId', j.token_key_id,
          'createdAt', j.created_at, 'expiresAt', j.expires_at) from jobs j where j.id = runners.job_id)`.as(
          "job",
        ),
        isWantedClosed:
          sql`not exists (select 1 from jobs j where j.id = ${wanted} and ${isOpen(now)})`
            .mapWith(Boolean)
            .as("is_wanted_closed"),
      })
      .from(runners)
      .where(isKey),
  ]);
  if (rows[0] === undefined) return "wrong_key";
  const { job, isWantedClosed } = rows[0];
  return {
    job: job === null ? null : JSON.parse(job),
    isNew: wanted !== null && reserved.length > 0,
    isWantedClosed,
  };
}

/** The task that the runner of this row has in a job, as far as D1 knows. */
function taskOf(jobId: number): SQL {
  const [first, last] = taskIdRange(jobId);
  return sql`(select t.id from tasks t where t.id between ${first} and ${last}
    and t.machine_uuid = runners.uuid)`;
}

function isToBeHad(jobId: number, now: number): SQL {
  return sql`exists (
    select 1 from jobs j where j.id = ${jobId} and ${isOpen(now)} and ${isOffered})`;
}
