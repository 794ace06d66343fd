/**
 * Makes a job's reports: its own, and one for each of its nodes. Loaded when one is made; a job that has
 * settled never changes, so that making them again writes only what a new verdict has changed.
 */
import { createHash } from "node:crypto";
import type { SequenceStep } from "../benchmarks/sequence.ts";
import type { Database } from "../db/client.ts";
import { SECOND_MS } from "../lib/clock.ts";
import type { RatingThresholds } from "../lib/config.ts";
import { RELEASE } from "../lib/release.ts";
import { withTimeout } from "../lib/retry.ts";
import { assemble, type NodeResults, readNodeResults } from "./assemble.ts";
import { fileKey, listFiles } from "./files.ts";
import type { ReportData } from "./report-data.ts";
import {
  findFacts,
  type JobFacts,
  type ReportRow,
  readSent,
  recordReports,
  type StoredResult,
  type TaskFacts,
} from "./store.ts";
import { taskDataOf } from "./task-data.ts";

/** R2 can hang: no answer of it is waited for longer. */
const R2_TIMEOUT_MS = 20 * SECOND_MS;

/** Moves when reports look different for the same data: a hash stands for one file. */
const LAYOUT = 2;

/** What nodes sent is read in parts of about so many bytes: parsed, it takes many times as much. */
const PART_BYTES = 1_000_000;
const PART_TASKS = 64;
/** Reports are noted in D1 so many at a time: what comes after a kill goes on from there. */
const BATCH = 32;

/** The results as they were, wherever they are kept now. */
export type Restore = (
  rows: readonly StoredResult[],
) => Promise<Pick<StoredResult, "taskId" | "position" | "results">[]>;

export interface MakeDeps {
  db: Database;
  bucket: R2Bucket;
  thresholds: RatingThresholds;
  /** Reads what has moved to R2; left out where nothing can have, so soon after the end. */
  restore?: Restore | undefined;
  now: number;
}

/** Answers how many files were drawn; null when the job gets no reports. */
export async function makeReports(deps: MakeDeps, jobId: number): Promise<number | null> {
  const { db, bucket, now } = deps;
  // Before the facts: whoever has put one of these files knew nothing that is newer than they are, so
  // that none is taken for an old one that another maker is about to note.
  const stored = await listFiles(bucket, jobId);
  const facts = await findFacts(db, jobId);
  if (facts === null) return null;
  const data = assemble(facts, await readResults(deps, facts), { ...deps, release: RELEASE });
  const noted = new Set([facts.job, ...facts.tasks].map(({ reportHash }) => reportHash));
  const { drawReport } = await import("./drawing/draw-report.ts");

  const current = new Set<string>();
  let pending: ReportRow[] = [];
  let puts: Promise<unknown>[] = [];
  let drawn = 0;
  /** Whether they are of the verdict that still holds. */
  const note = async () => {
    const [rows, sent] = [pending, puts];
    [pending, puts] = [[], []];
    // The files first: what D1 knows of can be served.
    await Promise.all(sent);
    return rows.length === 0 || recordReports(db, facts.job, rows);
  };
  for (const rank of [null, ...facts.tasks.map((task) => task.rank)]) {
    const own = rank === null ? data : taskDataOf(data, rank);
    const hash = hashOf(own);
    const key = fileKey(jobId, hash);
    current.add(key);
    if (noted.has(hash) && stored.has(key)) continue;
    const bytes = await drawReport(own, { hash, breathe });
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    // On its way while the next one is drawn.
    const put = bucket.put(key, bytes, {
      sha256,
      httpMetadata: { contentType: "application/pdf" },
    });
    put.catch(() => {}); // `note` waits for it, and fails with it
    puts.push(put);
    const status = own.verdict?.status ?? "unrated";
    pending.push({
      hash,
      jobId,
      rank,
      fileSha256: sha256,
      bytes: bytes.length,
      status,
      madeAt: now,
    });
    drawn++;
    if (pending.length >= BATCH && !(await note())) return makeReports(deps, jobId);
  }
  // Rated anew or deleted in the meantime: what was drawn is of yesterday.
  if (!(await note())) return makeReports(deps, jobId);
  const old = [...stored].filter((key) => !current.has(key));
  if (old.length > 0) await withTimeout(bucket.delete(old), R2_TIMEOUT_MS, "R2 delete");
  return drawn;
}

/** Of everything that the report says, and of how it is drawn. */
function hashOf(data: ReportData): string {
  return createHash("sha256")
    .update(JSON.stringify([LAYOUT, data]))
    .digest("hex");
}

async function readResults(
  { db, restore = allInD1 }: Pick<MakeDeps, "db" | "restore">,
  { job, tasks }: JobFacts,
): Promise<Map<number, NodeResults>> {
  // Written by the jobs service.
  const sequence: SequenceStep[] = JSON.parse(job.sequence);
  const read = new Map<number, NodeResults>();
  for (const part of partsOf(tasks)) {
    const [first, last] = [part[0], part.at(-1)];
    if (first === undefined || last === undefined) continue;
    const { inventories, results } = await readSent(db, [first.id, last.id]);
    const inventory = new Map(inventories.map((row) => [row.id, row.inventory]));
    const byTask = Map.groupBy(await restore(results), ({ taskId }) => taskId);
    for (const { id, gpuCount } of part) {
      const sent = { gpuCount, inventory: inventory.get(id) ?? null };
      read.set(id, readNodeResults(sequence, sent, byTask.get(id) ?? []));
    }
    await breathe();
  }
  return read;
}

const allInD1: Restore = async (rows) => {
  if (rows.some(({ archiveOffset }) => archiveOffset !== null)) {
    throw new Error("Results have moved to R2, and nobody said how to read them");
  }
  return [...rows];
};

/** Neighbouring tasks whose data are small enough to be read together; at least one. */
function partsOf(tasks: readonly TaskFacts[]): TaskFacts[][] {
  const parts: TaskFacts[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const task of tasks) {
    const part = parts.at(-1);
    if (part === undefined || bytes + task.bytes > PART_BYTES || part.length >= PART_TASKS) {
      parts.push([task]);
      bytes = task.bytes;
    } else {
      part.push(task);
      bytes += task.bytes;
    }
  }
  return parts;
}

/** Lets whoever waits for this isolate have a turn. */
function breathe(): Promise<void> {
  return scheduler.wait(0);
}
