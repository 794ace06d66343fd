/** Writes changes of a job to D1. Loads with the first of them. */
import { and, eq, getTableColumns, lt, type SQL, type SQLWrapper, sql } from "drizzle-orm";
import type { Database } from "../../db/client.ts";
import { insertFrom } from "../../db/insert-from.ts";
import { jobs, tasks } from "../../db/schema.ts";
import { jsonChunks } from "../../lib/json.ts";
import { nextCheck } from "./job-check.ts";
import type { JobRecords, TaskRecord } from "./records.ts";

/** Far below D1's bounds on a request and on a parameter. A larger row is written alone. */
const MAX_BATCH_BYTES = 1_000_000;

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
  const { jobId, tasks: records } = changes;
  const fields = Object.keys(records[0] ?? {}) as Field[]; // of a record, whose type has no others
  const rows = records.map((record) => fields.map((field) => stored(field, record[field])));
  const parts = jsonChunks(rows, MAX_BATCH_BYTES).map((text) =>
    upsertTasks(db, jobId, fields, text),
  );
  const last = parts.pop();
  for (const part of parts) await db.batch([part]);
  const end = updateJob(db, changes, now);
  await db.batch(last === undefined ? [end] : [last, end]);
}

type Field = keyof TaskRecord;

/** Fields that a node never changes: an update rewrites the index entries of each column that it names. */
const FINAL: ReadonlySet<Field> = new Set(["id", "jobId", "rank", "machineUuid", "createdAt"]);

const columns = getTableColumns(tasks);

/** A value as its column stores it. */
function stored<Name extends Field>(field: Name, value: TaskRecord[Name]): unknown {
  return value === null ? null : columns[field].mapToDriverValue(value);
}

/**
 * One statement for all rows: building one for each row would take longer than all else that the end of a job takes.
 *
 * @param text JSON of the rows, each an array of the values of `fields`
 */
function upsertTasks(db: Database, jobId: number, fields: readonly Field[], text: string) {
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
  const all = { ...(values as Record<Field, SQL>), ...owned }; // each record has all fields
  return insertFrom(db, tasks, all, from).onConflictDoUpdate({
    target: tasks.id,
    set: changed,
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
