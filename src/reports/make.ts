/**
 * Makes a job's reports: one for the job, and one for each of its nodes. A settled job never changes, so making
 * them again writes only the reports that a new verdict has changed.
 */
import { createHash } from "node:crypto";
import { bodiesKey, bytesOf, type Extent, extentsOf } from "../db/bodies.ts";
import type { Bucket } from "../db/bucket.ts";
import type { Database } from "../db/client.ts";
import { unavailable } from "../http/errors.ts";
import { free } from "../lib/bytes.ts";
import type { RatingThresholds } from "../lib/config.ts";
import { RELEASE } from "../lib/release.ts";
import { assemble } from "./assemble.ts";
import type { DrawOptions } from "./drawing/draw-report.ts";
import { findFacts, type JobFacts, type TaskFacts } from "./facts-store.ts";
import { fileKey, filePrefix } from "./files.ts";
import { loadFonts } from "./fonts.ts";
import { type NodeResults, readNodeResults, shareTexts } from "./node-results.ts";
import { type ReportRow, recordReports } from "./record-store.ts";
import type { ReportData, ReportNode } from "./report-data.ts";
import { reportJson } from "./report-json.ts";
import { openSigner, type Signer, signData } from "./signing.ts";
import { jobDataOf, taskDataOf } from "./subjects.ts";

/** Incremented when the same data is drawn differently, so that a hash stands for one file. */
const LAYOUT = 9;

/** Results are read in parts of about this many bytes, since parsed results take many times as much memory. */
const PART_BYTES = 1_000_000;
const PART_TASKS = 64;
/** D1 records this many reports at a time. A later run continues after the last batch. */
const BATCH = 32;
const PARTS_OF_A_PAUSE = 8;
/** Files on their way to R2 at a time: each is in memory until it has arrived. */
const MAX_PUTS = 6;

export interface MakeDeps {
  db: Database;
  bucket: Bucket;
  /** Where the fonts are. */
  assets: Fetcher;
  thresholds: RatingThresholds;
  /** Of the keys of reports; the first signs. Without any, reports are unsigned. */
  seeds: readonly string[];
  now: number;
  /** Looked at before each part of the work; throws when its time is over. */
  goOn?: (() => void) | undefined;
}

/** @returns the number of files drawn; null when the job gets no reports */
export async function makeReports(deps: MakeDeps, jobId: number): Promise<number | null> {
  const { db, bucket, now, goOn = () => {} } = deps;
  // Listed before the facts are read, so that a newer file, which another run has put but not yet recorded, is
  // never taken for an old file and deleted.
  const stored = await bucket.list(filePrefix(jobId));
  const read = await readData(deps, jobId);
  if (read === null) return null;
  const { job, data, recorded } = read;
  const signer = await openSigner(deps.seeds);
  const fonts = await loadFonts(deps.assets);

  const current = new Set<string>();
  let pending: ReportRow[] = [];
  let puts: Promise<unknown>[] = [];
  let drawn = 0;
  /** Answers false when the reports are out of date, because the job was rated again or deleted meanwhile. */
  const record = async (isLast: boolean) => {
    const [rows, sent] = [pending, puts];
    [pending, puts] = [[], []];
    // The files first, so that D1 never names a missing file.
    await Promise.all(sent);
    return (rows.length === 0 && !isLast) || recordReports(db, job, rows, { isLast, signer, now });
  };
  let pauses = 0;
  /** Lets other requests of this isolate run. What is drawn is recorded, even when the time is over. */
  const breathe = async () => {
    // A pause takes a millisecond: the parts of a node's report share one.
    if (drawn === 0 || pauses++ % PARTS_OF_A_PAUSE === 0) await scheduler.wait(0);
    try {
      goOn();
    } catch (error) {
      await record(false);
      throw error;
    }
  };
  for (const rank of [null, ...data.nodes.map((node) => node.rank)]) {
    const own = rank === null ? jobDataOf(data) : taskDataOf(data, rank);
    // A node's figures are in the job's report, which comes first, and in its own.
    if (rank !== null) letGo(data, rank);
    const hash = hashOf(own, signer);
    const key = fileKey(jobId, hash);
    current.add(key);
    if (recorded.has(hash) && stored.has(key)) continue;
    const { bytes, file } = await drawFile(own, { hash, fonts, signer, breathe });
    // A node's are copies of its own.
    if (rank !== null) for (const { links } of own.networks) free(links.numbers);
    // Sent while the next report is drawn.
    const httpMetadata = { contentType: "application/pdf" };
    const put = bucket
      .put(key, bytes, { sha256: file.fileSha256, httpMetadata })
      .then(() => free(bytes));
    put.catch(() => {}); // `record` awaits and reports the failure
    puts.push(put);
    await puts.at(-MAX_PUTS);
    const row = { hash, jobId, rank, madeAt: now, ...verdictOf(own) };
    pending.push({ ...row, ...file });
    drawn++;
    if (pending.length >= BATCH && !(await record(false))) return makeReports(deps, jobId);
  }
  if (!(await record(true))) return makeReports(deps, jobId);
  await bucket.delete([...stored].filter((key) => !current.has(key)));
  return drawn;
}

/** What the reports say, the job's row, and the hashes of its newest reports; null when the job gets no reports. */
async function readData(deps: MakeDeps, jobId: number) {
  const facts = await findFacts(deps.db, jobId);
  if (facts === null) return null;
  const data = assemble(facts, await readResults(deps, facts), { ...deps, release: RELEASE });
  const { id, verdictText } = facts.job;
  const recorded = new Set([facts.job, ...facts.tasks].map(({ reportHash }) => reportHash));
  return { job: { id, verdictText }, data, recorded };
}

/** Forgets a node, to save memory. */
function letGo(data: ReportData, rank: number): void {
  const isOther = (node: { rank: number }) => node.rank !== rank;
  data.nodes = data.nodes.filter(isOther);
  if (data.verdict !== null) {
    data.verdict = { ...data.verdict, nodes: data.verdict.nodes.filter(isOther) };
  }
}

/** Draws a report with its data in it. */
async function drawFile(
  data: ReportData,
  { signer, ...options }: DrawOptions & { signer: Signer | null },
) {
  const [{ drawReport }, { packData }] = await Promise.all([
    import("./drawing/draw-report.ts"),
    import("./drawing/attachment.ts"),
  ]);
  const json = await signData(reportJson(data, options.hash), signer);
  const packed = packData(json);
  free(json);
  const drawn = await drawReport(data, { ...options, kid: signer?.kid ?? null, data: packed });
  const { bytes, data: embedded } = drawn;
  if (embedded === null) throw new Error("The report was drawn without its data");
  const fileSha256 = createHash("sha256").update(bytes).digest("hex");
  const { offset: dataOffset, length: dataBytes } = embedded;
  return { bytes, file: { fileSha256, bytes: bytes.length, dataOffset, dataBytes } };
}

/** What whoever checks a report is told of it. */
function verdictOf({ verdict, nodes }: ReportData) {
  const isReplayed = nodes.some(({ quickMark }) => quickMark?.isReplayed === true);
  return { status: verdict?.status ?? ("unrated" as const), isReplayed };
}

function hashOf({ nodes, networks, verdict, ...data }: ReportData, signer: Signer | null): string {
  const { nodes: rated, ...whole } = verdict ?? { nodes: [] };
  const signed = signer?.kid ?? null;
  const parts = [LAYOUT, signed, data, whole, nodes.length, rated.length, networks.length];
  const hash = createHash("sha256").update(JSON.stringify(parts));
  for (const node of nodes) for (const part of partsOfNode(node)) hash.update(part);
  for (const node of rated) hash.update(JSON.stringify(node));
  for (const { links, ...step } of networks) {
    const { numbers, errors } = links;
    hash.update(JSON.stringify([step, errors, numbers.length])).update(numbers);
  }
  return hash.digest("hex");
}

const PART_GPUS = 8;

/** A node as JSON in parts: as a whole it may have 200 KB, which V8 gives back late. */
function* partsOfNode({ quickMark, ...node }: ReportNode): Generator<string> {
  const { gpus, ...figures } = quickMark ?? { gpus: [] };
  yield JSON.stringify([node, figures, gpus.length]);
  for (let at = 0; at < gpus.length; at += PART_GPUS) {
    yield JSON.stringify(gpus.slice(at, at + PART_GPUS));
  }
}

async function readResults(
  { bucket, goOn = () => {} }: Pick<MakeDeps, "bucket" | "goOn">,
  { job, tasks }: JobFacts,
): Promise<Map<number, NodeResults>> {
  const { sequence } = job;
  const read = new Map<number, NodeResults>();
  const share = shareTexts();
  for (const part of partsOf(tasks)) {
    const bytes = await readPart(bucket, job.id, part);
    const from = part[0]?.bodyOffset ?? 0;
    const textOf = ({ at, bytes: length }: Extent) =>
      new TextDecoder().decode(bytes.subarray(at - from, at - from + length));
    for (const task of part) {
      const extents = [...extentsOf({ sizes: task.bodies, offset: task.bodyOffset ?? 0 })];
      const bodies = extents.map(([position, extent]) => ({ position, text: textOf(extent) }));
      read.set(task.id, readNodeResults(sequence, task, bodies, share));
    }
    free(bytes);
    await scheduler.wait(0);
    goOn();
  }
  return read;
}

/** The bodies of neighbouring tasks. */
async function readPart(
  bucket: Bucket,
  jobId: number,
  part: readonly TaskFacts[],
): Promise<Uint8Array> {
  const length = part.reduce((sum, { bodies }) => sum + bytesOf(bodies), 0);
  if (length === 0) return new Uint8Array(0);
  const offset = part[0]?.bodyOffset ?? null;
  if (offset === null) throw unavailable(5, new Error(`Bodies of job ${jobId} are not in R2 yet`));
  const bytes = await bucket.read(bodiesKey(jobId), { offset, length });
  if (bytes === null) throw new Error(`R2 has no results of job ${jobId}`);
  return new Uint8Array(bytes);
}

/** Parts of neighbouring tasks, at least one each, whose data is small enough to be read together. */
function partsOf(tasks: readonly TaskFacts[]): TaskFacts[][] {
  const parts: TaskFacts[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const task of tasks) {
    const part = parts.at(-1);
    const own = bytesOf(task.bodies);
    if (part === undefined || bytes + own > PART_BYTES || part.length >= PART_TASKS) {
      parts.push([task]);
      bytes = own;
    } else {
      part.push(task);
      bytes += own;
    }
  }
  return parts;
}
