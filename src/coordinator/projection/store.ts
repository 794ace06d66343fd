import { and, between, eq, isNull, lt, type SQLWrapper, sql } from "drizzle-orm";
import type { BatchItem } from "drizzle-orm/batch";
import type { Database } from "../../db/client.ts";
import { jobs, specs, tasks } from "../../db/schema.ts";
import { taskIdRange } from "../../lib/ids.ts";
import { utf8Length } from "../../lib/json.ts";
import type { PromisedHardware } from "../../lib/stored-spec-check.ts";
import { nextCheck } from "./job-check.ts";
import type { JobRecords, TaskRecord } from "./records.ts";

export type JobRow = typeof jobs.$inferSelect;

/** Far below D1's bound on requests. A larger row begins a batch of its own. */
const MAX_BATCH_BYTES = 1_000_000;
const MAX_BATCH_STATEMENTS = 100;

/**
 * Hands a job that is still `created` over to its object, by compare-and-set. Safe to repeat: only this object
 * ever sets `coordinated`. One round trip.
 *
 * @returns the row as it is afterwards, with the spec that its machines are compared with; `isOwned` when the object
 *   owns the job now
 */
export async function handOverRow(
  db: Database,
  jobId: number,
  now: number,
): Promise<{ row: JobRow; spec: PromisedHardware | null; isOwned: boolean } | null> {
  const open = and(eq(jobs.id, jobId), eq(jobs.state, "created"), isNull(jobs.deletedAt));
  const { uuid, os, architecture, cpu, memory, disk, network } = specs;
  const expected = sql`(select coalesce(${jobs.expectedSpecUuid}, ${jobs.specUuid}) from ${jobs} where ${jobs.id} = ${jobId})`;
  const [taken, rows, promised] = await db.batch([
    db
      .update(jobs)
      .set({ coordinated: true, flushedAt: now, checkAt: nextCheck(now, null) })
      .where(open)
      .returning({ id: jobs.id }),
    db.select().from(jobs).where(eq(jobs.id, jobId)),
    db
      .select({ uuid, os, architecture, cpu, memory, disk, network })
      .from(specs)
      .where(eq(uuid, expected)),
  ]);
  const row = rows[0];
  return row === undefined ? null : { row, spec: promised[0] ?? null, isOwned: taken.length === 1 };
}

/** The job's version in D1; null if the job is no longer there. One round trip. */
export async function findVersion(db: Database, jobId: number): Promise<number | null> {
  const [row] = await db.select({ version: jobs.version }).from(jobs).where(eq(jobs.id, jobId));
  return row?.version ?? null;
}

/** One flush: the changes since the last one that D1 acknowledged. */
export interface Changes extends JobRecords {
  jobId: number;
  /** Events that D1 has: they are only ever added, and 256 nodes have long ones. */
  knownEvents: number;
}

/**
 * Writes changes to D1 in batches of about 1 MB, the job's row last. Each write is guarded by version, so that
 * flushes may be repeated, reordered or interrupted.
 */
export async function writeProjection(db: Database, changes: Changes, now: number): Promise<void> {
  const writes = [
    ...changes.tasks.map((task) => ({
      bytes: utf8Length(JSON.stringify(task)),
      statement: upsertTask(db, task),
    })),
    { bytes: 0, statement: updateJob(db, changes, now) },
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

/** The facts of a job that tell where its bodies should be in R2. One round trip. */
export async function findSizes(db: Database, jobId: number) {
  const { sequence, currentNodes } = jobs;
  const [rows, stored] = await db.batch([
    db.select({ sequence, currentNodes }).from(jobs).where(eq(jobs.id, jobId)),
    db
      .select({ bodies: tasks.bodies })
      .from(tasks)
      .where(between(tasks.id, ...taskIdRange(jobId)))
      .orderBy(tasks.id),
  ]);
  const job = rows[0];
  return job === undefined ? null : { ...job, sizes: stored.map(({ bodies }) => bodies) };
}

/**
 * Records that the bodies of a job are in R2: the place of each task's first body, and their length altogether. A
 * deleted job gets the record, too, since cron removes what a row names. One batch, one round trip.
 *
 * @param offsets by rank; null if the bodies are lost
 * @returns false if the job has no row any more
 */
export async function acknowledgeBodies(
  db: Database,
  jobId: number,
  offsets: readonly number[] | null,
  bytes: number,
): Promise<boolean> {
  const places = JSON.stringify(offsets);
  const place = { bodyOffset: sql`json_extract(${places}, '$[' || ${tasks.rank} || ']')` };
  const [, named] = await db.batch([
    db
      .update(tasks)
      .set(offsets === null ? { bodies: [] } : place)
      .where(between(tasks.id, ...taskIdRange(jobId))),
    db
      .update(jobs)
      .set({ bodyBytes: bytes, checkAt: null })
      .where(eq(jobs.id, jobId))
      .returning({ id: jobs.id }),
  ]);
  return named.length > 0;
}

function upsertTask(db: Database, task: TaskRecord) {
  // What a node never changes stays out of an update, which rewrites the index entries of each column that it names.
  const { id: _id, jobId: _job, rank: _rank, machineUuid: _uuid, createdAt: _at, ...rest } = task;
  const ofJob = (column: SQLWrapper) =>
    sql<number>`(select ${column} from ${jobs} where ${jobs.id} = ${task.jobId})`;
  return db
    .insert(tasks)
    .values({
      ...task,
      customerId: ofJob(jobs.customerId),
      userId: ofJob(jobs.userId),
      // A node's last call may come after its job was deleted.
      deletedAt: ofJob(jobs.deletedAt),
    })
    .onConflictDoUpdate({
      target: tasks.id,
      set: rest,
      setWhere: lt(tasks.version, sql`excluded.version`),
    });
}

function updateJob(db: Database, { jobId, job, knownEvents }: Changes, now: number) {
  return db
    .update(jobs)
    .set({
      version: job.version,
      state: job.state,
      currentNodes: job.currentNodes,
      startedAt: job.startedAt,
      endedAt: job.endedAt,
      steps: job.steps,
      ...(job.events.length > knownEvents && { events: job.events }),
      specCheck: job.specCheck,
      flushedAt: now,
      checkAt: nextCheck(now, job.endedAt),
    })
    .where(and(eq(jobs.id, jobId), lt(jobs.version, job.version)));
}
