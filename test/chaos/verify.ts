/**
 * After the last kill: what every job's object and D1 have on disk, read there, against each other and
 * against everything that was acknowledged.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
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
  events: unknown[];
  results: Row[];
}

interface NodeOnDisk {
  rank: number;
  machine: { machineUuid: string };
  state: string;
  failedMessage: string | null;
  joinedAt: number;
  startedAt: number | null;
  endedAt: number | null;
  steps: { state: string }[];
}

export function verify(state: string, ledger: Ledger): Verdict {
  const verdict: Verdict = { lost: [], different: [], duplicates: [], unsettled: [] };
  const objects = readObjects(join(state, "do", "assay-JobCoordinator"));
  const d1 = openD1(join(state, "d1"));
  try {
    const stored = d1.prepare("SELECT count(*) AS jobs FROM jobs").get() as { jobs: number };
    if (stored.jobs !== ledger.jobs.length) {
      verdict.duplicates.push(`${stored.jobs} jobs for ${ledger.jobs.length} acknowledged`);
    }
    for (const job of ledger.jobs) checkJob(verdict, job, objects.get(job.id), d1);
  } finally {
    d1.close();
  }
  return verdict;
}

function checkJob(
  verdict: Verdict,
  job: AcknowledgedJob,
  object: ObjectOnDisk | undefined,
  d1: DatabaseSync,
): void {
  const name = `job ${job.id}`;
  const range = [job.id + 1, job.id + 511];
  const row = d1.prepare("SELECT * FROM jobs WHERE id = ?").get(job.id);
  const tasks = d1
    .prepare("SELECT * FROM tasks WHERE id BETWEEN ? AND ? ORDER BY id")
    .all(...range);
  const results = d1
    .prepare("SELECT * FROM task_results WHERE task_id BETWEEN ? AND ? ORDER BY task_id, position")
    .all(...range);
  if (row === undefined) {
    verdict.lost.push(`${name} itself`);
    return;
  }
  const untouched = row.coordinated === 0;
  if (row.ended_at === null && !(untouched && row.deleted_at !== null))
    verdict.unsettled.push(name);
  if (tasks.length > job.nodeCount) verdict.duplicates.push(`${name} has ${tasks.length} tasks`);
  const machines = new Set(tasks.map((task) => task.machine_uuid));
  if (machines.size !== tasks.length) verdict.duplicates.push(`${name} has a machine twice`);
  checkAcknowledged(verdict, job, { row, tasks, results });
  if (object === undefined) {
    if (!untouched) verdict.lost.push(`${name}: its object`);
    return;
  }
  const [inObject, inD1] = [
    rowsOf(job.id, object),
    { job: jobOf(row), tasks: tasks.map(taskOf), results: results.map(resultOf) },
  ];
  if (JSON.stringify(inObject) !== JSON.stringify(inD1)) {
    verdict.different.push(`${name}: object ${shown(inObject)}, D1 ${shown(inD1)}`);
  }
}

/** Every reply that said yes must be found in what is stored. */
function checkAcknowledged(
  verdict: Verdict,
  job: AcknowledgedJob,
  { row, tasks, results }: { row: Row; tasks: Row[]; results: Row[] },
): void {
  const { lost } = verdict;
  if (job.abortedAt !== null) {
    const endedAt = new Date(Number(row.ended_at)).toISOString();
    if (row.state !== "aborted" || endedAt !== job.abortedAt) lost.push(`job ${job.id}: abort`);
  }
  if (job.deleted && row.deleted_at === null) lost.push(`job ${job.id}: deletion`);
  for (const task of job.tasks) {
    const stored = tasks.find(({ id }) => id === task.id);
    if (stored?.machine_uuid !== task.machineUuid) {
      lost.push(`task ${task.id}`);
      continue;
    }
    const steps = JSON.parse(String(stored.steps)) as { state: string }[]; // as the object wrote it
    for (const { position, state, results: sent } of task.results) {
      const slot = `result ${position} of task ${task.id}`;
      if (steps[position]?.state !== state) lost.push(`${slot}: ${steps[position]?.state}`);
      const figures = results.filter((r) => r.task_id === task.id && r.position === position);
      if (figures.length > 1) verdict.duplicates.push(slot);
      const found = figures[0] === undefined ? null : JSON.parse(String(figures[0].results));
      if (!includes(found, sent)) lost.push(`${slot}: ${shown(found)} instead of ${shown(sent)}`);
    }
  }
}

/** Whether everything that was sent is there; defaults may have been added. */
function includes(stored: unknown, sent: unknown): boolean {
  if (typeof sent !== "object" || sent === null) return stored === sent;
  if (typeof stored !== "object" || stored === null) return false;
  return Object.entries(sent).every(([key, value]) => includes((stored as Row)[key], value)); // an object, seen above
}

const shown = (value: unknown) => JSON.stringify(value)?.slice(0, 1_000);

function rowsOf(jobId: number, { job, nodes, events, results }: ObjectOnDisk) {
  const { version, state, startedAt, endedAt } = job;
  return {
    job: [version, state, nodes.length, startedAt, endedAt, JSON.stringify(events)],
    tasks: nodes.map((node) => [
      jobId + 1 + node.rank,
      node.machine.machineUuid,
      node.state,
      node.failedMessage,
      node.joinedAt,
      node.startedAt,
      node.endedAt,
      JSON.stringify(node.steps),
    ]),
    results: results
      .filter((result) => result.results !== null)
      .map((result) => [jobId + 1 + Number(result.rank), result.position, result.results]),
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
];
const resultOf = (row: Row) => [row.task_id, row.position, row.results];

/** By job id. */
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
        results: db
          .prepare("SELECT rank, position, results FROM result ORDER BY rank, position")
          .all(),
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
