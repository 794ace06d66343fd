import { and, between, eq, isNull, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { jobs, specs, tasks } from "../../db/schema.ts";
import { taskIdRange } from "../../lib/ids.ts";
import type { PromisedHardware } from "../../lib/stored-spec-check.ts";
import { nextCheck } from "./job-check.ts";

export type JobRow = typeof jobs.$inferSelect;

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
