import {
  and,
  between,
  eq,
  getTableColumns,
  gt,
  isNotNull,
  isNull,
  ne,
  type Placeholder,
  type SQL,
  sql,
} from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { nodeVerdictText } from "../db/node-verdict.ts";
import { prepareQuery } from "../db/prepared.ts";
import { jobs, jobTags, tasks } from "../db/schema.ts";
import { counterKey, type Scope } from "../identity/actor.ts";
import type { PaperSize } from "../lib/enums.ts";
import { taskIdRange } from "../lib/ids.ts";
import type { JobEvent } from "../lib/stored-json.ts";
import { type AuditContext, auditOfRows } from "../resources/audit.ts";

export type JobRow = typeof jobs.$inferSelect;
export type TaskRow = typeof tasks.$inferSelect;

/** Jobs visible to a scope; deleted ones are visible to nobody. */
export function visibleTo(scope: Scope): SQL {
  return visibleBy(scope.kind, viewerOf(scope));
}

/** The value by which `visibleBy` compares jobs of a scope. */
function viewerOf(scope: Scope): string | number {
  return scope.kind === "customer" ? scope.customerId : counterKey(scope);
}

/** @param viewer of `viewerOf`, or a placeholder for it */
function visibleBy(kind: Scope["kind"], viewer: string | number | Placeholder): SQL {
  const live = isNull(jobs.deletedAt);
  switch (kind) {
    case "user":
      return sql`(${live} and ${jobs.owner} = ${viewer})`;
    case "customer":
      return sql`(${live} and ${jobs.customerId} = ${viewer})`;
    case "all":
      return live;
  }
}

/** The job's object has nothing to add to its rows: it has none, or its bodies are in R2. */
export const isStored = sql`(coordinated = 0 or body_bytes is not null)`;

/**
 * Reads a job with its tasks; null when the scope does not see it. Tasks come only with a job whose bodies are in R2,
 * since those of another one are in its object, without figures, and with their verdicts as text for `readNodeVerdict`.
 * One round trip.
 */
export async function findJob(db: Database, scope: Scope, jobId: number) {
  const [first, last] = taskIdRange(jobId);
  const values = { id: jobId, first, last, viewer: viewerOf(scope) };
  const { job: selectJob, tasks: selectTasks } = FIND[scope.kind];
  const [[job], taskRows] = await db.batch([selectJob(db, values), selectTasks(db, values)]);
  return job === undefined ? null : { job, tasks: taskRows };
}

/** The statements of `findJob` for a kind of scope. */
function findBy(kind: Scope["kind"]) {
  const target = and(
    eq(jobs.id, sql.placeholder("id")),
    visibleBy(kind, sql.placeholder("viewer")),
  );
  const stored = sql`exists (select 1 from ${jobs} where ${target} and ${isStored})`;
  const ofJob = between(tasks.id, sql.placeholder("first"), sql.placeholder("last"));
  return {
    job: prepareQuery((db) => db.select().from(jobs).where(target)),
    tasks: prepareQuery((db) =>
      db
        .select({
          ...getTableColumns(tasks),
          figures: sql<null>`null`.as("none"),
          verdict: sql<string | null>`${nodeVerdictText}`.as("node_verdict"),
        })
        .from(tasks)
        .where(and(ofJob, stored))
        .orderBy(tasks.id),
    ),
  };
}

const FIND = { user: findBy("user"), customer: findBy("customer"), all: findBy("all") };

/** D1's view of a job that its owner watches. */
export type WatchedRow = Pick<
  JobRow,
  | "state"
  | "version"
  | "coordinated"
  | "endedAt"
  | "events"
  | "ratedAt"
  | "reportHash"
  | "reportError"
>;

/** Reads a job that its owner watches; null when the scope does not see it. One round trip. */
export async function findWatched(
  db: Database,
  scope: Scope,
  jobId: number,
): Promise<WatchedRow | null> {
  const { state, version, coordinated, endedAt, events, ratedAt, reportHash, reportError } = jobs;
  const [row] = await db
    .select({ state, version, coordinated, endedAt, events, ratedAt, reportHash, reportError })
    .from(jobs)
    .where(and(eq(jobs.id, jobId), visibleTo(scope)));
  return row ?? null;
}

/**
 * Reads the facts of a job that its report needs; null when the scope does not see it. With `paper` the next reports of
 * an ended job are made for that. One round trip.
 */
export async function findReportedJob(
  db: Database,
  scope: Scope,
  jobId: number,
  paper: PaperSize | undefined,
) {
  const { id, userId, endedAt } = jobs;
  const own = and(eq(jobs.id, jobId), visibleTo(scope));
  const read = db.select({ id, userId, endedAt }).from(jobs).where(own);
  if (paper === undefined) return (await read)[0] ?? null;
  const [, [row]] = await db.batch([
    db
      .update(jobs)
      .set({ paper })
      .where(and(own, isNotNull(endedAt), ne(jobs.paper, paper))),
    read,
  ]);
  return row ?? null;
}

/**
 * Aborts a job that no node has joined, which D1 still owns, if it belongs to the customer; answers the row
 * afterwards, or null when the scope does not see it. One round trip.
 */
export async function abortUncoordinated(
  db: Database,
  scope: Scope,
  customerId: number,
  jobId: number,
  now: number,
  events: readonly JobEvent[],
): Promise<JobRow | null> {
  const target = and(eq(jobs.id, jobId), visibleTo(scope));
  const [, rows] = await db.batch([
    db
      .update(jobs)
      .set({
        state: "aborted",
        endedAt: now,
        events,
        version: sql`${jobs.version} + 1`,
        flushedAt: now,
      })
      .where(
        and(
          target,
          eq(jobs.customerId, customerId),
          eq(jobs.coordinated, false),
          eq(jobs.state, "created"),
        ),
      ),
    db.select().from(jobs).where(target),
  ]);
  return rows[0] ?? null;
}

/** The outcome of a deletion: the job's customer, and whether this call deleted the job. */
export interface Deletion {
  customerId: number;
  deleted: boolean;
}

/**
 * Deletes a job and records it in the audit log, if the job belongs to the customer and D1 still owns it;
 * answers null when the scope does not see it. One batch, one round trip.
 *
 * @param options `ended`: the job's object has confirmed the end, so the job is deleted even if coordinated; it has
 *   then tested the version, too. `version`: the job is deleted only in this one; null for any
 */
export async function deleteJob(
  db: Database,
  scope: Scope,
  customerId: number,
  jobId: number,
  { ended, version }: { ended: boolean; version: number | null },
  audit: AuditContext,
): Promise<Deletion | null> {
  const target = and(eq(jobs.id, jobId), visibleTo(scope));
  const deletable = and(
    target,
    eq(jobs.customerId, customerId),
    ended ? undefined : eq(jobs.coordinated, false),
    ended || version === null ? undefined : eq(jobs.version, version),
  );
  const event = {
    action: "job_deleted" as const,
    subject: { kind: "job" as const, id: String(jobId) },
    customerId,
  };
  const [rows, , deleted] = await db.batch([
    db.select({ customerId: jobs.customerId }).from(jobs).where(target),
    auditOfRows(db, event, audit, sql`from ${jobs} where ${deletable}`),
    db.update(jobs).set({ deletedAt: audit.now }).where(deletable).returning({ id: jobs.id }),
  ]);
  const row = rows[0];
  return row === undefined ? null : { ...row, deleted: deleted.length === 1 };
}

/**
 * The distinct tags of jobs that the scope sees, sorted by bytes. It steps through an index from one tag to
 * the next, so the cost grows with the tags, however many jobs have them. One round trip.
 */
export async function listTags(db: Database, scope: Scope, limit: number): Promise<string[]> {
  const first = sql`select min(${jobTags.tag}) from ${jobTags}`;
  const inScope = taggedIn(scope);
  const rows = await db.all<{ tag: string }>(sql`
    with recursive tags (tag) as (
      select (${first} where ${inScope})
      union all
      select (${first} where ${and(inScope, gt(jobTags.tag, sql`tags.tag`))}) from tags
      where tags.tag is not null limit ${limit})
    select tag from tags where tag is not null`);
  return rows.map(({ tag }) => tag);
}

function taggedIn(scope: Scope): SQL {
  switch (scope.kind) {
    case "user":
      return eq(jobTags.owner, counterKey(scope));
    case "customer":
      return eq(jobTags.customerId, scope.customerId);
    case "all":
      return sql`true`;
  }
}
