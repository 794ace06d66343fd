import {
  and,
  between,
  eq,
  getTableColumns,
  isNull,
  lt,
  type SQL,
  type SQLWrapper,
  sql,
} from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { insertFrom } from "../../db/insert-from.ts";
import { jobs, specs, tasks } from "../../db/schema.ts";
import { taskIdRange } from "../../lib/ids.ts";
import { utf8Length } from "../../lib/json.ts";
import type { PromisedHardware } from "../../lib/stored-spec-check.ts";
import { nextCheck } from "./job-check.ts";
import type { JobRecord, JobRecords, TaskRecord } from "./records.ts";

export type JobRow = typeof jobs.$inferSelect;

/** Far below D1's bounds on a request and on a parameter. A larger row is written alone. */
const MAX_BATCH_BYTES = 1_000_000;

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
}

/**
 * Writes changes to D1 in batches of about 1 MB, the job's row last. Each write is guarded by version, so that
 * flushes may be repeated, reordered or interrupted.
 */
export async function writeProjection(db: Database, changes: Changes, now: number): Promise<void> {
  const { jobId, job, tasks: records } = changes;
  const parts = inParts(records).map((rows) => upsertTasks(db, jobId, rows));
  const last = parts.pop();
  for (const part of parts) await db.batch([part]);
  const end = updateJob(db, jobId, job, now);
  await db.batch(last === undefined ? [end] : [last, end]);
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

type Field = keyof TaskRecord;

/** Rows of tasks as a JSON array of arrays, whose items are in the order of `fields`. */
interface Rows {
  fields: readonly Field[];
  text: string;
}

/** The records as rows, in as many parts as D1 takes at once. */
function inParts(records: readonly TaskRecord[]): Rows[] {
  const columns = getTableColumns(tasks);
  // Each record has all fields.
  const fields = Object.keys(records[0] ?? {}) as Field[];
  const parts: Rows[] = [];
  let rows: string[] = [];
  let bytes = 0;
  const end = () => {
    if (rows.length > 0) parts.push({ fields, text: `[${rows.join()}]` });
    rows = [];
    bytes = 0;
  };
  for (const record of records) {
    const values = fields.map((field) => {
      const value = record[field];
      return value === null ? null : columns[field].mapToDriverValue(value);
    });
    const row = JSON.stringify(values);
    const size = utf8Length(row);
    if (bytes + size > MAX_BATCH_BYTES) end();
    rows.push(row);
    bytes += size;
  }
  end();
  return parts;
}

/** Fields that a node never changes: an update rewrites the index entries of each column that it names. */
const FINAL: ReadonlySet<Field> = new Set(["id", "jobId", "rank", "machineUuid", "createdAt"]);

/** One statement for all rows: building one for each row would take the object longer than anything else it does. */
function upsertTasks(db: Database, jobId: number, { fields, text }: Rows) {
  const columns = getTableColumns(tasks);
  const each = (fields: readonly Field[], toSql: (field: Field) => string) =>
    Object.fromEntries(fields.map((field) => [field, sql.raw(toSql(field))]));
  const values = each(fields, (field) => `value ->> ${fields.indexOf(field)}`);
  const changed = each(
    fields.filter((field) => !FINAL.has(field)),
    (field) => `excluded.${columns[field].name}`,
  );
  const ofJob = (column: SQLWrapper) =>
    sql`(select ${column} from ${jobs} where ${jobs.id} = ${jobId})`;
  const owned = {
    customerId: ofJob(jobs.customerId),
    userId: ofJob(jobs.userId),
    // A node's last call may come after its job was deleted.
    deletedAt: ofJob(jobs.deletedAt),
  };
  // Without a condition SQLite would take `on conflict` for that of a join.
  const from = sql`from json_each(${text}) where true`;
  return insertFrom(
    db,
    tasks,
    { ...(values as Record<Field, SQL>), ...owned },
    from,
  ).onConflictDoUpdate({
    target: tasks.id,
    set: changed,
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
      steps: job.steps,
      events: job.events,
      specCheck: job.specCheck,
      flushedAt: now,
      checkAt: nextCheck(now, job.endedAt),
    })
    .where(and(eq(jobs.id, jobId), lt(jobs.version, job.version)));
}
