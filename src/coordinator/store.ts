import { and, eq, isNull, lt, type SQLWrapper, sql } from "drizzle-orm";
import type { BatchItem } from "drizzle-orm/batch";
import type { Database } from "../db/client.ts";
import { nextCheck } from "../db/job-check.ts";
import { jobs, taskResults, tasks } from "../db/schema.ts";
import { utf8Length } from "../lib/json.ts";
import type { JobRecords } from "./projection.ts";
import type { JobRecord, ResultRecord, TaskRecord } from "./records.ts";

export type JobRow = typeof jobs.$inferSelect;

/** D1 refuses statements and requests far above this; a row here is at most one result of 1 MiB. */
const MAX_BATCH_BYTES = 1_000_000;
const MAX_BATCH_STATEMENTS = 100;

/**
 * The handover (design §3.1): from D1's ownership to the object's, by compare-and-set. Answers the
 * row as it is afterwards, and whether the object owns the job now. Safe to repeat: only this object
 * ever sets `coordinated`. One round trip.
 */
export async function takeOver(
  db: Database,
  jobId: number,
  now: number,
): Promise<{ row: JobRow; owned: boolean } | null> {
  const open = and(eq(jobs.id, jobId), eq(jobs.state, "created"), isNull(jobs.deletedAt));
  const [taken, rows] = await db.batch([
    db
      .update(jobs)
      .set({ coordinated: true, flushedAt: now, checkAt: nextCheck(now, null) })
      .where(open)
      .returning({ id: jobs.id }),
    db.select().from(jobs).where(eq(jobs.id, jobId)),
  ]);
  const row = rows[0];
  return row === undefined ? null : { row, owned: taken.length === 1 };
}

/** The job's version that D1 knows; null where it has no such job any more. One round trip. */
export async function versionOf(db: Database, jobId: number): Promise<number | null> {
  const [row] = await db.select({ version: jobs.version }).from(jobs).where(eq(jobs.id, jobId));
  return row?.version ?? null;
}

/** One flush: what changed since the last one that D1 acknowledged. */
export interface Changes extends JobRecords {
  jobId: number;
}

/**
 * Writes changes to D1 in batches below 1 MB, the job's row last. Each write is guarded by version or
 * never changes a row twice, so that a flush may be repeated, reordered or half-known.
 */
export async function writeProjection(db: Database, changes: Changes, now: number): Promise<void> {
  const writes = [
    ...changes.results.map((result) => ({
      bytes: utf8Length(result.results),
      statement: insertResult(db, result),
    })),
    ...changes.tasks.map((task) => ({
      bytes: utf8Length(task.inventory ?? "") + utf8Length(JSON.stringify(task.steps)) + 500,
      statement: upsertTask(db, task),
    })),
    { bytes: 0, statement: updateJob(db, changes.jobId, changes.job, now) },
  ];
  let batch: BatchItem<"sqlite">[] = [];
  let bytes = 0;
  const send = async () => {
    const [first, ...rest] = batch;
    if (first !== undefined) await db.batch([first, ...rest]);
    batch = [];
    bytes = 0;
  };
  for (const write of writes) {
    const full = bytes + write.bytes > MAX_BATCH_BYTES || batch.length >= MAX_BATCH_STATEMENTS;
    if (full) await send();
    batch.push(write.statement);
    bytes += write.bytes;
  }
  await send();
}

function insertResult(db: Database, result: ResultRecord) {
  return db.insert(taskResults).values(result).onConflictDoNothing();
}

function upsertTask(db: Database, task: TaskRecord) {
  const { id: _id, jobId: _jobId, rank: _rank, ...rest } = task;
  const columns = { ...rest, steps: JSON.stringify(task.steps) };
  const ofJob = (column: SQLWrapper) =>
    sql<number>`(select ${column} from ${jobs} where ${jobs.id} = ${task.jobId})`;
  return db
    .insert(tasks)
    .values({
      ...task,
      steps: columns.steps,
      customerId: ofJob(jobs.customerId),
      userId: ofJob(jobs.userId),
      // A node's last words may come after its job was deleted.
      deletedAt: ofJob(jobs.deletedAt),
    })
    .onConflictDoUpdate({
      target: tasks.id,
      set: columns,
      setWhere: lt(tasks.version, sql`excluded.version`),
    });
}

function updateJob(db: Database, jobId: number, job: JobRecord, now: number) {
  return db
    .update(jobs)
    .set({
      version: job.version,
      state: job.state,
      currentNodes: job.currentNodes,
      startedAt: job.startedAt,
      endedAt: job.endedAt,
      steps: JSON.stringify(job.steps),
      events: JSON.stringify(job.events),
      flushedAt: now,
      checkAt: nextCheck(now, job.endedAt),
    })
    .where(and(eq(jobs.id, jobId), lt(jobs.version, job.version)));
}
