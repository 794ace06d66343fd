import { and, desc, eq, gt, isNull, lte, type SQL, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import type { IdempotencyKey } from "../../db/idempotency.ts";
import { insertFrom } from "../../db/insert-from.ts";
import { jobShares } from "../../db/schema/shares.ts";
import { jobs, users } from "../../db/schema.ts";
import { notFound } from "../../http/errors.ts";
import { type Actor, scopeOf } from "../../identity/actor.ts";
import type { ActorContext } from "../../identity/origin.ts";
import { changeIf } from "../../resources/change.ts";
import { permission, type Rule } from "../../resources/rules.ts";
import { visibleTo } from "../store.ts";
import { MAX_SHARES } from "./schemas.ts";

/** A share as its people see it. */
export interface ShareRow {
  uuid: string;
  jobId: number;
  /** UUID of the person who created it. */
  createdBy: string;
  createdAt: number;
  expiresAt: number;
}

const liveOf = (jobId: SQL | number, now: number) =>
  and(sql`${jobShares.jobId} = ${jobId}`, gt(jobShares.expiresAt, now));

/**
 * Stores a share of a job that the person may share, and removes expired ones; throws the refusal otherwise. One batch,
 * one round trip. Fails on a key used before: see `uniqueViolation`.
 */
export async function insertShare(
  db: Database,
  { actor, origin }: ActorContext,
  share: ShareRow,
  tokenHash: string,
  key: IdempotencyKey | null,
): Promise<void> {
  const { createdBy: _person, jobId, createdAt: now, ...values } = share;
  const live = sql`(select count(*) from ${jobShares} where ${liveOf(sql`${jobs.id}`, now)})`;
  const rules: Rule[] = [
    ofCustomer(sql`${jobs.customerId}`, actor, "share it"),
    permission(
      sql`${live} < ${MAX_SHARES}`,
      `The job has ${MAX_SHARES} links already: revoke one first`,
    ),
  ];
  const change = {
    table: jobs,
    target: and(eq(jobs.id, jobId), visibleTo(scopeOf(actor))),
    missing: () => notFound("Job", jobId),
    rules,
    event: {
      action: "job_share_created" as const,
      subject: { kind: "job_share" as const, id: share.uuid },
      customerId: sql`${jobs.customerId}`,
    },
    audit: {
      origin,
      now,
      details: { job: String(jobId), expires: new Date(share.expiresAt).toISOString() },
    },
    once: { key, facts: sql<string>`${JSON.stringify(share)}` },
  };
  await changeIf(db, change, (_allowed, from) => [
    insertFrom(
      db,
      jobShares,
      { ...values, jobId: jobs.id, tokenHash, userId: actor.userId, createdAt: now },
      from,
    ),
    db.delete(jobShares).where(and(eq(jobShares.jobId, jobId), lte(jobShares.expiresAt, now))),
  ]);
}

/** The shares of a job that work, newest first; null when the person does not see the job. One round trip. */
export async function listShares(
  db: Database,
  actor: Actor,
  jobId: number,
  now: number,
): Promise<ShareRow[] | null> {
  const target = and(eq(jobs.id, jobId), visibleTo(scopeOf(actor)));
  const { uuid, createdAt, expiresAt } = jobShares;
  const createdBy = sql<string>`(select ${users.uuid} from ${users} where ${users.id} = ${jobShares.userId})`;
  const [seen, rows] = await db.batch([
    db.select({ id: jobs.id }).from(jobs).where(target),
    db
      .select({
        uuid,
        jobId: jobShares.jobId,
        createdBy: createdBy.as("created_by"),
        createdAt,
        expiresAt,
      })
      .from(jobShares)
      .where(liveOf(jobId, now))
      .orderBy(desc(jobShares.id))
      .limit(MAX_SHARES),
  ]);
  return seen.length === 0 ? null : rows;
}

/** Removes a share that works, of a job that the person may share; throws the refusal otherwise. One round trip. */
export async function deleteShare(
  db: Database,
  { actor, origin }: ActorContext,
  { jobId, uuid }: { jobId: number; uuid: string },
  now: number,
): Promise<void> {
  const ofJob = sql`${jobs.id} = ${jobShares.jobId} and ${visibleTo(scopeOf(actor))}`;
  const customerId = sql`(select ${jobs.customerId} from ${jobs} where ${jobs.id} = ${jobShares.jobId})`;
  const change = {
    table: jobShares,
    target: and(
      eq(jobShares.uuid, uuid),
      liveOf(jobId, now),
      sql`exists (select 1 from ${jobs} where ${ofJob})`,
    ),
    missing: () => notFound("Share", uuid),
    rules: [ofCustomer(customerId, actor, "revoke its links")],
    event: {
      action: "job_share_revoked" as const,
      subject: { kind: "job_share" as const, id: uuid },
      customerId,
    },
    audit: { origin, now, details: { job: String(jobId) } },
  };
  await changeIf(db, change, (allowed) => [db.delete(jobShares).where(allowed)]);
}

/** The job that a token shows, and until when; null for a token that shows none. One round trip. */
export async function findShared(
  db: Database,
  tokenHash: string,
  now: number,
): Promise<{ jobId: number; customerId: number; expiresAt: number } | null> {
  const [row] = await db
    .select({ jobId: jobShares.jobId, customerId: jobs.customerId, expiresAt: jobShares.expiresAt })
    .from(jobShares)
    .innerJoin(jobs, eq(jobs.id, jobShares.jobId))
    .where(
      and(eq(jobShares.tokenHash, tokenHash), gt(jobShares.expiresAt, now), isNull(jobs.deletedAt)),
    );
  return row ?? null;
}

function ofCustomer(customerId: SQL, actor: Actor, what: string): Rule {
  return permission(
    sql`${customerId} = ${actor.customerId}`,
    `Only people of the job's customer can ${what}`,
  );
}
