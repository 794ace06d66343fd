/**
 * Direct access to D1 rows, for states that the API cannot make and facts that it does not show. It uses the
 * tables of `src/db`, so that a renamed or new column breaks the build and not a test.
 */
import { env } from "cloudflare:workers";
import { between, eq, getTableColumns, getTableName, type SQL } from "drizzle-orm";
import { drizzle } from "drizzle-orm/d1";
import type { SQLiteColumn, SQLiteTable, SQLiteUpdateSetSource } from "drizzle-orm/sqlite-core";
import { extentsOf, layOut } from "../../../src/db/bodies.ts";
import {
  customers,
  jobCounts,
  jobs,
  knownAddresses,
  runners,
  sessions,
  type specs,
  tasks,
  users,
} from "../../../src/db/schema.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import { utf8Bytes } from "../../../src/lib/json.ts";
import { foldedAddress } from "../../../src/lib/text.ts";

/** The tests' own database client, without metering and retries. */
export const db = drizzle(env.DB);

/** Counts all rows of a table, or those that meet a condition. */
export function countOf(table: SQLiteTable, condition?: SQL): Promise<number> {
  return db.$count(table, condition).then(Number);
}

/**
 * Inserts any number of rows. D1 binds at most 100 parameters, so the rows are sent as JSON. All rows must
 * have the keys of the first.
 */
export async function insertRows<Table extends SQLiteTable>(
  table: Table,
  rows: readonly Table["$inferInsert"][],
): Promise<void> {
  const columns: Record<string, SQLiteColumn> = getTableColumns(table);
  const used = Object.keys(rows[0] ?? {}).flatMap((key) => {
    const column = columns[key];
    return column === undefined ? [] : [{ key, column }];
  });
  const names = used.map(({ column }) => `"${column.name}"`).join(", ");
  const values = used.map((_column, at) => `value ->> ${at}`).join(", ");
  const query = `INSERT INTO "${getTableName(table)}" (${names}) SELECT ${values} FROM json_each(?)`;
  const perStatement = 2_000;
  for (let from = 0; from < rows.length; from += perStatement) {
    const list = rows.slice(from, from + perStatement).map((row: Record<string, unknown>) =>
      used.map(({ key, column }) => {
        const value = row[key] ?? null;
        return value === null ? null : column.mapToDriverValue(value);
      }),
    );
    await env.DB.prepare(query).bind(JSON.stringify(list)).run();
  }
}

/** Makes `length` values, each from its index. */
export function times<T>(length: number, make: (number: number) => T): T[] {
  return Array.from({ length }, (_none, number) => make(number));
}

/** Throws if an update matched no row: the test would run without the state that it needs. */
function changed({ meta }: D1Result): void {
  if (meta.changes === 0) throw new Error("no row has changed");
}

type Identified = { id: string | number };

// ── Customers and people ──

/** The UUID of a customer: the API uses it, while rows refer to the id. */
export async function customerUuid(id: number): Promise<string> {
  const [row] = await db
    .select({ uuid: customers.uuid })
    .from(customers)
    .where(eq(customers.id, id));
  if (row === undefined) throw new Error(`no customer ${id}`);
  return row.uuid;
}

/** Returns the id. */
export async function insertCustomer(
  values: Pick<typeof customers.$inferInsert, "id" | "uuid" | "name" | "slug">,
): Promise<number> {
  const row = { createdAt: 0, modifiedAt: 0, ...values };
  const [made] = await db.insert(customers).values(row).returning({ id: customers.id });
  return made?.id ?? 0;
}

/** Returns the id. */
export async function insertUser(
  values: Omit<typeof users.$inferInsert, "name" | "emailFolded" | "createdAt" | "modifiedAt">,
): Promise<number> {
  const emailFolded = foldedAddress(values.email);
  const row = { name: "Person", emailFolded, createdAt: 0, modifiedAt: 0, ...values };
  const [made] = await db.insert(users).values(row).returning({ id: users.id });
  return made?.id ?? 0;
}

export async function customerIdOf(uuid: string): Promise<number> {
  const [row] = await db.select().from(customers).where(eq(customers.uuid, uuid));
  if (row === undefined) throw new Error(`no customer ${uuid}`);
  return row.id;
}

export async function userRow(user: { id: number } | { uuid: string }) {
  const condition = "id" in user ? eq(users.id, user.id) : eq(users.uuid, user.uuid);
  const [row] = await db.select().from(users).where(condition);
  if (row === undefined) throw new Error("no such person");
  return row;
}

/** Changes a person in D1 without the API, so the isolate's caches stay stale. */
export async function setUser(
  { id }: { id: number },
  changes: SQLiteUpdateSetSource<typeof users>,
): Promise<void> {
  changed(await db.update(users).set(changes).where(eq(users.id, id)));
}

export function insertSession(row: Omit<typeof sessions.$inferInsert, "id">) {
  return db.insert(sessions).values(row);
}

/** Makes an address known, as a sign-in from it does: the pace of all networks does not hold it up. */
export async function knowAddress({ id }: { id: number }, address: string): Promise<void> {
  await db.insert(knownAddresses).values({ userId: id, address, signedInAt: systemClock.now() });
}

/** Ends all sessions of a person, as another isolate would; this isolate's caches stay stale. */
export async function endSessions({ id }: { id: number }): Promise<void> {
  await db.delete(sessions).where(eq(sessions.userId, id));
}

// ── Jobs, tasks and results ──

export async function jobRow({ id }: Identified) {
  const [row] = await db
    .select()
    .from(jobs)
    .where(eq(jobs.id, Number(id)));
  if (row === undefined) throw new Error(`no row of job ${id}`);
  return row;
}

/** Changes a job's row without its object. */
export async function setJob(
  { id }: Identified,
  changes: SQLiteUpdateSetSource<typeof jobs>,
): Promise<void> {
  changed(
    await db
      .update(jobs)
      .set(changes)
      .where(eq(jobs.id, Number(id))),
  );
}

/** Makes a job due for cron, at once or at a given time. */
export function expireJob(job: Identified, at = 1): Promise<void> {
  return setJob(job, { expiresAt: at, checkAt: at });
}

type JobValues = typeof jobs.$inferInsert;

/** The row of a new job, owned by `owner` unless the overrides name another person. */
export function jobValues(
  owner: { id: number; customerId: number },
  overrides: Partial<JobValues> & { id: number },
) {
  return {
    customerId: owner.customerId,
    userId: owner.id,
    name: String(overrides.id),
    nodeCount: 1,
    sequence: [],
    tags: [],
    tokenKeyId: "",
    createdAt: 0,
    expiresAt: 0,
    state: "created",
    flushedAt: 0,
    ...overrides,
  } satisfies JobValues;
}

export function insertJobRow(...args: Parameters<typeof jobValues>) {
  return db.insert(jobs).values(jobValues(...args));
}

/** The row of a completed node on machine `m`. */
export function taskValues(
  overrides: Partial<typeof tasks.$inferInsert> & { id: number; jobId: number; rank: number },
) {
  return {
    version: 1,
    machineUuid: "m",
    state: "completed",
    steps: [],
    createdAt: 0,
    ...overrides,
  } satisfies typeof tasks.$inferInsert;
}

export async function taskRow(id: string | number) {
  const [row] = await db
    .select()
    .from(tasks)
    .where(eq(tasks.id, Number(id)));
  if (row === undefined) throw new Error(`no row of task ${id}`);
  return row;
}

export async function setTask(
  id: string | number,
  changes: SQLiteUpdateSetSource<typeof tasks>,
): Promise<void> {
  changed(
    await db
      .update(tasks)
      .set(changes)
      .where(eq(tasks.id, Number(id))),
  );
}

/** The ids of a job's tasks follow the job's own id. */
const isTaskOf = (column: SQLiteColumn, { id }: Identified) =>
  between(column, Number(id) + 1, Number(id) + 511);

export function taskRows(job: Identified) {
  return db.select().from(tasks).where(isTaskOf(tasks.id, job)).orderBy(tasks.id);
}

/** A body of a job in R2. */
export interface StoredText {
  taskId: number;
  /** -1 for the inventory. */
  position: number;
  text: string;
}

/** The bodies of a job in R2, as its rows say. */
export async function storedTexts(job: Identified): Promise<StoredText[]> {
  const rows = await taskRows(job);
  const object = await env.BUCKET.get(`results/${job.id}`);
  const bytes = new Uint8Array((await object?.arrayBuffer()) ?? []);
  return rows.flatMap(({ id: taskId, bodies: sizes, bodyOffset }) => {
    if (bodyOffset === null) throw new Error(`the bodies of task ${taskId} are not in R2`);
    return [...extentsOf({ sizes, offset: bodyOffset })].map(([position, extent]) => ({
      taskId,
      position,
      text: new TextDecoder().decode(bytes.subarray(extent.at, extent.at + extent.bytes)),
    }));
  });
}

/** Puts bodies of a job into R2, and makes its rows say so, as its object does. */
export async function storeTexts(job: Identified, texts: readonly Omit<StoredText, "taskId">[][]) {
  const bodies = texts.map((ofTask) =>
    ofTask.map(({ position, text }) => [position, utf8Bytes(text).length] as const),
  );
  const { offsets, bytes } = layOut(bodies);
  await env.BUCKET.put(
    `results/${job.id}`,
    texts
      .flat()
      .map(({ text }) => text)
      .join(""),
  );
  const ids = bodies.map((_sizes, rank) => Number(job.id) + 1 + rank);
  await Promise.all(
    ids.map((id, rank) =>
      setTask(id, { bodies: bodies[rank] ?? [], bodyOffset: offsets[rank] ?? 0 }),
    ),
  );
  await setJob(job, { bodyBytes: bytes });
}

/** Removes a job for good, as retention does. */
export async function removeJob(job: Identified): Promise<void> {
  await db.delete(tasks).where(isTaskOf(tasks.id, job));
  await db.delete(jobs).where(eq(jobs.id, Number(job.id)));
}

/** The counters that triggers maintain for a scope: `all`, `customer:<id>` or `user:<id>:<customer>`. */
export function jobCountsOf(scope: string) {
  const { state, jobs: counted } = jobCounts;
  return db
    .select({ state, jobs: counted })
    .from(jobCounts)
    .where(eq(jobCounts.scope, scope))
    .orderBy(state);
}

// ── Specs and runners ──

type SpecValues = typeof specs.$inferInsert;

export function specValues(overrides: Partial<SpecValues> & { uuid: string; slug: string }) {
  return {
    name: "Node",
    os: "linux",
    architecture: "x86_64",
    cpu: 1,
    memory: 1,
    disk: 1,
    network: false,
    createdAt: 0,
    modifiedAt: 0,
    ...overrides,
  } satisfies SpecValues;
}

export async function runnerRow({ uuid }: { uuid: string }) {
  const [row] = await db.select().from(runners).where(eq(runners.uuid, uuid));
  if (row === undefined) throw new Error(`no runner ${uuid}`);
  return row;
}

/** Changes a runner in D1 without the API, so the isolate's caches stay stale. */
export async function setRunner(
  { uuid }: { uuid: string },
  changes: SQLiteUpdateSetSource<typeof runners>,
): Promise<void> {
  changed(await db.update(runners).set(changes).where(eq(runners.uuid, uuid)));
}

/** Reserves a place in a job for a runner that has not joined yet. */
export function reserve(runner: { uuid: string }, job: Identified): Promise<void> {
  return setRunner(runner, { jobId: Number(job.id) });
}

// ── The audit log ──

export interface AuditRow {
  action: string;
  actor_kind: string;
  actor: string | null;
  subject_kind: string;
  customer_id: number | null;
  request_id: string;
  details: string;
}

/** Stored audit events of a subject, oldest first. */
export async function auditOf(subject: string): Promise<AuditRow[]> {
  const query = "SELECT * FROM audit_events WHERE subject = ? ORDER BY id";
  return (await env.DB.prepare(query).bind(subject).all<AuditRow>()).results;
}
