/**
 * Compares the files of every job's object, of D1 and of R2, after the last kill, with each other and with every
 * acknowledgement.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { clusterPositionsOf } from "../../src/benchmarks/sequence.ts";
import { clusterCopies, extentsOf, layOut } from "../../src/db/bodies.ts";
import * as packed from "../../src/db/packed.ts";
import { type BodySizes, INVENTORY, type JobEvent, type Step } from "../../src/lib/stored-json.ts";
import type { AcknowledgedJob, Ledger } from "./fleet.ts";

export interface Verdict {
  lost: string[];
  different: string[];
  duplicates: string[];
  unsettled: string[];
}

type Row = Record<string, unknown>;

interface ObjectOnDisk {
  job: { version: number; state: string; startedAt: number | null; endedAt: number | null };
  nodes: NodeOnDisk[];
  events: JobEvent[];
  /** By rank: results by position, then the inventory. */
  bodies: BodyOnDisk[];
}

interface BodyOnDisk {
  rank: number;
  position: number;
  bytes: Buffer;
}

/** What one state folder holds. */
interface Disk {
  d1: DatabaseSync;
  objects: Map<number, ObjectOnDisk>;
  /** The objects in R2, by key. */
  r2: Map<string, Buffer>;
}

interface NodeOnDisk {
  rank: number;
  machine: { machineUuid: string };
  state: string;
  failedMessage: string | null;
  joinedAt: number;
  startedAt: number | null;
  endedAt: number | null;
  steps: Step[];
}

export function verify(state: string, ledger: Ledger): Verdict {
  const verdict: Verdict = { lost: [], different: [], duplicates: [], unsettled: [] };
  const objects = readObjects(join(state, "do", "assay-JobCoordinator"));
  const d1 = openD1(join(state, "d1"));
  const disk = { d1, objects, r2: readR2(join(state, "r2")) };
  try {
    const stored = d1.prepare("SELECT count(*) AS jobs FROM jobs").get() as { jobs: number };
    if (stored.jobs !== ledger.jobs.length) {
      verdict.duplicates.push(`${stored.jobs} jobs for ${ledger.jobs.length} acknowledged`);
    }
    for (const job of ledger.jobs) checkJob(verdict, job, disk);
  } finally {
    d1.close();
  }
  return verdict;
}

function checkJob(verdict: Verdict, job: AcknowledgedJob, { d1, objects, r2 }: Disk): void {
  const name = `job ${job.id}`;
  const object = objects.get(job.id);
  const range = [job.id + 1, job.id + 511];
  const row = d1.prepare("SELECT * FROM jobs WHERE id = ?").get(job.id);
  const tasks = d1
    .prepare("SELECT * FROM tasks WHERE id BETWEEN ? AND ? ORDER BY id")
    .all(...range);
  if (row === undefined) {
    verdict.lost.push(`${name} itself`);
    return;
  }
  const untouched = row.coordinated === 0;
  if (row.ended_at === null && !(untouched && row.deleted_at !== null))
    verdict.unsettled.push(name);
  if (!untouched && row.body_bytes === null) verdict.unsettled.push(`${name}: its bodies`);
  if (tasks.length > job.nodeCount) verdict.duplicates.push(`${name} has ${tasks.length} tasks`);
  const machines = new Set(tasks.map((task) => task.machine_uuid));
  if (machines.size !== tasks.length) verdict.duplicates.push(`${name} has a machine twice`);
  if (object === undefined) {
    if (!untouched) verdict.lost.push(`${name}: its object`);
    checkAcknowledged(verdict, job, { row, tasks, bodies: [] });
    return;
  }
  const stored = r2.get(`results/${job.id}`) ?? null;
  const bodies =
    row.body_bytes === null ? object.bodies : checkR2(verdict, { row, tasks, object, stored });
  checkAcknowledged(verdict, job, { row, tasks, bodies });
  const [inObject, inD1] = [rowsOf(job.id, object), { job: jobOf(row), tasks: tasks.map(taskOf) }];
  if (JSON.stringify(inObject) !== JSON.stringify(inD1)) {
    verdict.different.push(`${name}: object ${excerpt(inObject)}, D1 ${excerpt(inD1)}`);
  }
}

/**
 * Checks that R2 holds each body of the object once, in the order and at the places that D1 names, and the cluster
 * results once more. Answers the bodies as a reader gets them.
 */
function checkR2(
  verdict: Verdict,
  {
    row,
    tasks,
    object,
    stored,
  }: { row: Row; tasks: Row[]; object: ObjectOnDisk; stored: Buffer | null },
): BodyOnDisk[] {
  const name = `bodies of job ${row.id}`;
  const sizes = tasks.map((task): BodySizes => JSON.parse(String(task.bodies))); // JSON that the object wrote
  const whole = stored ?? Buffer.alloc(0);
  if (whole.length !== row.body_bytes) {
    verdict.lost.push(`${name}: ${whole.length} bytes in R2, ${row.body_bytes} in D1`);
  }
  const sequence = JSON.parse(String(row.sequence)); // as above
  const copies = clusterCopies(sizes, clusterPositionsOf(sequence));
  const expected = [...object.bodies, ...copies].map(
    (copy) =>
      object.bodies.find((body) => body.rank === copy.rank && body.position === copy.position)
        ?.bytes,
  );
  if (!whole.equals(Buffer.concat(expected.map((bytes) => bytes ?? Buffer.alloc(0))))) {
    verdict.different.push(`${name}: R2 is not what the object has`);
  }
  const { offsets } = layOut(sizes);
  return tasks.flatMap(({ body_offset: offset }, rank) => {
    if (offset !== offsets[rank])
      verdict.different.push(`${name}: node ${rank} begins at ${offset}`);
    return [...extentsOf({ sizes: sizes[rank] ?? [], offset: Number(offset) })].map(
      ([position, { at, bytes }]) => ({ rank, position, bytes: whole.subarray(at, at + bytes) }),
    );
  });
}

/** Checks that every acknowledged write is stored. */
function checkAcknowledged(
  verdict: Verdict,
  job: AcknowledgedJob,
  { row, tasks, bodies }: { row: Row; tasks: Row[]; bodies: BodyOnDisk[] },
): void {
  const { lost } = verdict;
  if (job.abortedAt !== null) {
    const endedAt = new Date(Number(row.ended_at)).toISOString();
    if (row.state !== "aborted" || endedAt !== job.abortedAt) lost.push(`job ${job.id}: abort`);
  }
  if (job.deleted && row.deleted_at === null) lost.push(`job ${job.id}: deletion`);
  for (const task of job.tasks) {
    const taskRow = tasks.find(({ id }) => id === task.id);
    if (taskRow?.machine_uuid !== task.machineUuid) {
      lost.push(`task ${task.id}`);
      continue;
    }
    const steps = packed.steps.unpack(JSON.parse(String(taskRow.steps)));
    for (const { position, state, results: sent } of task.results) {
      const slot = `result ${position} of task ${task.id}`;
      if (steps[position]?.state !== state) lost.push(`${slot}: ${steps[position]?.state}`);
      const rank = task.id - job.id - 1;
      const figures = bodies.filter((body) => body.rank === rank && body.position === position);
      if (figures.length > 1) verdict.duplicates.push(slot);
      const stored = figures[0] === undefined ? null : parsed(figures[0].bytes);
      if (!includes(stored, sent))
        lost.push(`${slot}: ${excerpt(stored)} instead of ${excerpt(sent)}`);
    }
  }
}

/** Null for what is no JSON. */
function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return null;
  }
}

/** True if the stored value contains everything that was sent; it may also have defaults. */
function includes(stored: unknown, sent: unknown): boolean {
  if (typeof sent !== "object" || sent === null) return stored === sent;
  if (typeof stored !== "object" || stored === null) return false;
  return Object.entries(sent).every(([key, value]) => includes((stored as Row)[key], value)); // an object, checked above
}

const excerpt = (value: unknown) => JSON.stringify(value)?.slice(0, 1_000);

function rowsOf(jobId: number, { job, nodes, events, bodies }: ObjectOnDisk) {
  const { version, state, startedAt, endedAt } = job;
  return {
    job: [
      version,
      state,
      nodes.length,
      startedAt,
      endedAt,
      JSON.stringify(packed.events.pack(events)),
    ],
    tasks: nodes.map((node) => [
      jobId + 1 + node.rank,
      node.machine.machineUuid,
      node.state,
      node.failedMessage,
      node.joinedAt,
      node.startedAt,
      node.endedAt,
      JSON.stringify(packed.steps.pack(node.steps)),
      JSON.stringify(
        bodies
          .filter(({ rank }) => rank === node.rank)
          .map(({ position, bytes }) => [position, bytes.length]),
      ),
    ]),
  };
}

const jobOf = (row: Row) => [
  row.version,
  row.state,
  row.current_nodes,
  row.started_at,
  row.ended_at,
  row.events,
];
const taskOf = (row: Row) => [
  row.id,
  row.machine_uuid,
  row.state,
  row.failed_message,
  row.created_at,
  row.started_at,
  row.ended_at,
  row.steps,
  row.bodies,
];

/** Reads every object's database, by job id. */
function readObjects(folder: string): Map<number, ObjectOnDisk> {
  const objects = new Map<number, ObjectOnDisk>();
  for (const file of readdirSync(folder)) {
    if (!file.endsWith(".sqlite") || file.startsWith("metadata")) continue;
    const db = new DatabaseSync(join(folder, file));
    try {
      const made = db.prepare("SELECT 1 FROM sqlite_master WHERE name = 'job'").get();
      const row = made === undefined ? undefined : db.prepare("SELECT * FROM job").get();
      if (row === undefined) continue;
      // JSON that the object wrote.
      const read = (query: string) =>
        db
          .prepare(query)
          .all()
          .map(({ body }) => JSON.parse(String(body)));
      objects.set(JSON.parse(String(row.identity)).jobId, {
        job: JSON.parse(String(row.body)),
        nodes: read("SELECT body FROM node ORDER BY rank"),
        events: read("SELECT body FROM event ORDER BY seq"),
        bodies: db
          .prepare(
            `SELECT rank, position, results AS body, 0 AS last FROM result WHERE results IS NOT NULL
             UNION ALL SELECT rank, ${INVENTORY}, body, 1 FROM inventory ORDER BY rank, last, position`,
          )
          .all()
          .map(({ rank, position, body }) => ({
            rank: Number(rank),
            position: Number(position),
            bytes: Buffer.from(body as Uint8Array), // a BLOB
          })),
      });
    } finally {
      db.close();
    }
  }
  return objects;
}

function openD1(folder: string): DatabaseSync {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(
    (file) => file.endsWith(".sqlite") && !file.includes("metadata"),
  );
  const [file, ...more] = files;
  if (file === undefined || more.length > 0) throw new Error(`${files.length} D1 databases`);
  return new DatabaseSync(join(folder, file));
}

/** Reads every object of the bucket, by key: Miniflare keeps an index in SQLite, and the bytes in files beside it. */
function readR2(folder: string): Map<string, Buffer> {
  const index = join(folder, "miniflare-R2BucketObject");
  const objects = new Map<string, Buffer>();
  for (const file of readdirSync(index)) {
    if (!file.endsWith(".sqlite") || file.startsWith("metadata")) continue;
    const db = new DatabaseSync(join(index, file));
    try {
      for (const { key, blob_id: blob } of db
        .prepare("SELECT key, blob_id FROM _mf_objects")
        .all()) {
        objects.set(String(key), readFileSync(join(folder, "assay", "blobs", String(blob))));
      }
    } finally {
      db.close();
    }
  }
  return objects;
}
