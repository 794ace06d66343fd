import { and, between, eq, gt, isNull, type SQL, sql } from "drizzle-orm";
import type { JobEvent } from "../coordinator/model.ts";
import type { Database } from "../db/client.ts";
import { jobs, jobTags, taskResults, tasks } from "../db/schema.ts";
import { claimStatements, type IdempotencyClaim } from "../http/idempotency.ts";
import type { Reference } from "../http/reference.ts";
import type { Scope } from "../identity/actor.ts";
import { type Act, auditOfRows } from "../identity/audit.ts";
import { taskIdRange } from "../lib/ids.ts";
import { liveSpecUuid } from "../specs/live-spec.ts";

export type JobRow = typeof jobs.$inferSelect;
/** What the creator of a job knows of it; which spec a reference means, the database looks up. */
export type NewJobRow = Omit<typeof jobs.$inferInsert, "specUuid">;
export type TaskRow = typeof tasks.$inferSelect;

export const NOT_SETTLED = ["created", "starting", "running"] as const;

/** Jobs that this scope sees; deleted ones are seen by nobody. */
export function visible(scope: Scope): SQL | undefined {
  const live = isNull(jobs.deletedAt);
  switch (scope.kind) {
    case "user":
      return and(live, eq(jobs.userId, scope.userId));
    case "customer":
      return and(live, eq(jobs.customerId, scope.customerId));
    case "all":
      return live;
  }
}

/** The scope's key in the counter rows; the triggers write the same. */
export function counterKey(scope: Scope): string {
  switch (scope.kind) {
    case "user":
      return `user:${scope.userId}`;
    case "customer":
      return `customer:${scope.customerId}`;
    case "all":
      return "all";
  }
}

/**
 * One batch, one round trip, with the idempotency key that it was asked for by. Fails as a whole on a
 * key used before, a taken id or a taken name, see `uniqueViolation`; and on a spec that is unknown or
 * archived, see `foreignKeyViolation`.
 */
export async function insertJob(
  db: Database,
  row: NewJobRow,
  spec: Reference | null,
  claim: IdempotencyClaim | null,
): Promise<void> {
  const specUuid = spec === null ? null : liveSpecUuid(spec);
  const insert = db.insert(jobs).values({ ...row, specUuid, checkAt: row.expiresAt });
  if (claim === null) await db.batch([insert]);
  else await db.batch([...claimStatements(db, claim, row, row.createdAt), insert]);
}

/**
 * A job with its tasks and results, as D1 knows them; null when the scope does not see it. Tasks and
 * results come only with a settled job: those of a live one are read from its object. One round trip.
 */
export async function findJob(db: Database, scope: Scope, jobId: number) {
  const wanted = and(eq(jobs.id, jobId), visible(scope));
  const settled = sql`exists (select 1 from ${jobs} where ${wanted} and ${jobs.state} not in ${NOT_SETTLED})`;
  const [rows, taskRows, resultRows] = await db.batch([
    db.select().from(jobs).where(wanted),
    db
      .select()
      .from(tasks)
      .where(and(between(tasks.id, ...taskIdRange(jobId)), settled))
      .orderBy(tasks.id),
    db
      .select()
      .from(taskResults)
      .where(and(between(taskResults.taskId, ...taskIdRange(jobId)), settled))
      .orderBy(taskResults.taskId, taskResults.position),
  ]);
  const job = rows[0];
  return job === undefined ? null : { job, tasks: taskRows, results: resultRows };
}

/** What matters of a job to its report; null when the scope does not see it. One round trip. */
export async function findReportedJob(db: Database, scope: Scope, jobId: number) {
  const { id, userId, endedAt } = jobs;
  const [row] = await db
    .select({ id, userId, endedAt })
    .from(jobs)
    .where(and(eq(jobs.id, jobId), visible(scope)));
  return row ?? null;
}

/**
 * Aborts a job that no node has joined, which D1 still owns (design §3.1), if it belongs to the
 * customer; answers the row as it is afterwards, or null when the scope does not see it. One round trip.
 */
export async function abortUncoordinated(
  db: Database,
  scope: Scope,
  customerId: number,
  jobId: number,
  now: number,
  events: readonly JobEvent[],
): Promise<JobRow | null> {
  const wanted = and(eq(jobs.id, jobId), visible(scope));
  const [, rows] = await db.batch([
    db
      .update(jobs)
      .set({
        state: "aborted",
        endedAt: now,
        events: JSON.stringify(events),
        version: sql`${jobs.version} + 1`,
        flushedAt: now,
      })
      .where(
        and(
          wanted,
          eq(jobs.customerId, customerId),
          eq(jobs.coordinated, false),
          eq(jobs.state, "created"),
        ),
      ),
    db.select().from(jobs).where(wanted),
  ]);
  return rows[0] ?? null;
}

/** What a wish to delete has met: which customer the job is of, and whether it is deleted now. */
export interface Deletion {
  customerId: number;
  deleted: boolean;
}

/**
 * Deletes a job, with its trace in the audit trail, if it belongs to the customer: one that D1 still
 * owns, or also one of which its object says that nothing happens in it any more (design §3.1). Null
 * when the scope does not see it. One batch, one round trip.
 */
export async function deleteJob(
  db: Database,
  scope: Scope,
  customerId: number,
  jobId: number,
  { ended }: { ended: boolean },
  { origin, now, details }: Act,
): Promise<Deletion | null> {
  const wanted = and(eq(jobs.id, jobId), visible(scope));
  const meant = and(
    wanted,
    eq(jobs.customerId, customerId),
    ended ? undefined : eq(jobs.coordinated, false),
  );
  const event = {
    action: "job_deleted" as const,
    subject: { kind: "job" as const, id: String(jobId) },
    customerId,
    details,
  };
  const [rows, , deleted] = await db.batch([
    db.select({ customerId: jobs.customerId }).from(jobs).where(wanted),
    auditOfRows(db, origin, event, now, sql`from ${jobs} where ${meant}`),
    db.update(jobs).set({ deletedAt: now }).where(meant).returning({ id: jobs.id }),
  ]);
  const row = rows[0];
  return row === undefined ? null : { ...row, deleted: deleted.length === 1 };
}

/**
 * The tags of jobs that the scope sees, each once, sorted by bytes. It steps through an index from one tag
 * to the next: what it reads grows with the tags, however many jobs have them. One round trip.
 */
export async function listTags(db: Database, scope: Scope, limit: number): Promise<string[]> {
  const first = sql`select min(${jobTags.tag}) from ${jobTags}`;
  const inScope = taggedIn(scope);
  const rows = await db.all<{ tag: string }>(sql`
    with recursive found (tag) as (
      select (${first} where ${inScope ?? sql`true`})
      union all
      select (${first} where ${and(inScope, gt(jobTags.tag, sql`found.tag`))}) from found
      where found.tag is not null limit ${limit})
    select tag from found where tag is not null`);
  return rows.map(({ tag }) => tag);
}

function taggedIn(scope: Scope): SQL | undefined {
  switch (scope.kind) {
    case "user":
      return eq(jobTags.userId, scope.userId);
    case "customer":
      return eq(jobTags.customerId, scope.customerId);
    case "all":
      return undefined;
  }
}
