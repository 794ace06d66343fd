/** Conditions and columns that the statements of claims share. */
import { and, eq, isNull, or, type SQL, sql } from "drizzle-orm";
import { fromJson } from "../db/json.ts";
import { joinableStates, runners } from "../db/schema.ts";
import type { JobTokenFacts } from "../identity/job-token.ts";
import { MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import { MEET_MS } from "./schedule.ts";

/** A join is in D1 within this time. */
const JOIN_LAG_MS = 30 * SECOND_MS;
/** A runner whose join has had no answer for this long looks for another job. */
const ABANDONED_MS = 5 * MINUTE_MS;

export type ClaimingRunner = { id: number; keyHash: string };

/** The outcome of a reservation. */
export interface Reservation {
  /** False when the key is no longer right. */
  isRightKey: boolean;
  /** The job that the runner now has. `isWaiting`: for its gang, whose members may not join yet. */
  job: (JobTokenFacts & { isWaiting: boolean }) | null;
  /** Reserved by this call, so the runner has no task there yet. */
  isNew: boolean;
  /** The candidate takes no more nodes. Closed is final. */
  isCandidateClosed: boolean;
}

/**
 * The job in a runner's row is over for the runner, as far as D1 knows: the job or the runner's task has
 * ended; or the job is reserved and not joined, and its spec was withdrawn or archived, its object has not
 * answered for too long, or its gang has not met in time.
 */
export const jobOver = (now: number): SQL =>
  sql`(not exists (select 1 from jobs j where j.id = runners.job_id and j.ended_at is null
    and j.deleted_at is null and j.expires_at > ${now})
    or exists (select 1 from tasks t where t.id = runners.task_id and t.ended_at is not null)
    or (runners.task_id is null and (runners.claimed_at <= ${now - ABANDONED_MS}
      or (coalesce(runners.claimed_at, 0) <= ${now - JOIN_LAG_MS}
        and not exists (select 1 from jobs j where j.id = runners.job_id and ${specOffered}))
      or (runners.asked_at is not null and runners.claimed_at <= ${now - MEET_MS}
        and exists (select 1 from jobs j where j.id = runners.job_id and j.gang = 'waiting')))))`;

/** As `jobOver`; also for a job that is over for the runner even if D1 does not know yet. */
export const isOver = (finished: number | null, now: number) =>
  or(finished === null ? undefined : eq(runners.jobId, finished), jobOver(now));

/** The runner of this row offers the spec of the job `j`, and the spec is not archived. */
export const specOffered = sql`exists (select 1 from specs s
  join runner_specs offered on offered.spec_uuid = s.uuid and offered.runner_id = runners.id
  where s.uuid = j.spec_uuid and s.archived_at is null)`;

/** The job `j` may still expect nodes. Closed is final. */
export const jobOpen = (now: number): SQL =>
  sql`(j.deleted_at is null and j.state in ${joinableStates} and j.expires_at > ${now})`;

/** The runner still has this key, and is not archived. */
export const authenticated = ({ id, keyHash }: ClaimingRunner) =>
  and(eq(runners.id, id), eq(runners.keyHash, keyHash), isNull(runners.archivedAt));

/** The runner of this row holds a place of the gang job `j`, and D1 knows no task of it yet. */
export function memberOf(now: number): SQL {
  return sql`runners.job_id = j.id and runners.asked_at is not null and runners.task_id is null
    and runners.archived_at is null and runners.claimed_at > ${now - ABANDONED_MS}`;
}

/** Columns of a runner's row that say which job it has, and whether a candidate is closed. */
export function ownJob(candidate: number | null, now: number) {
  return {
    job: fromJson<
      Reservation["job"]
    >(sql`(select json_object('id', j.id, 'userId', j.user_id, 'nodeCount', j.node_count, 'tokenKeyId', j.token_key_id,
      'createdAt', j.created_at, 'expiresAt', j.expires_at,
      'isWaiting', json(iif(j.gang is 'waiting', 'true', 'false'))) from jobs j where j.id = runners.job_id)`).as(
      "job",
    ),
    isCandidateClosed:
      sql`not exists (select 1 from jobs j where j.id = ${candidate} and ${jobOpen(now)})`
        .mapWith(Boolean)
        .as("is_candidate_closed"),
  };
}

export function toReservation(
  rows: readonly Pick<Reservation, "job" | "isCandidateClosed">[],
  isNew: boolean,
): Reservation {
  const { job = null, isCandidateClosed = false } = rows[0] ?? {};
  return { isRightKey: rows.length > 0, job, isNew, isCandidateClosed };
}
