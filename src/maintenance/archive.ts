import { causesOf } from "../db/errors.ts";
import { archiveKeyOf } from "../jobs/result-archive.ts";
import { SECOND_MS } from "../lib/clock.ts";
import { utf8Bytes } from "../lib/json.ts";
import { withTimeout } from "../lib/retry.ts";
import { findUnarchived, markArchived, type Place, readResults, sizesOf } from "./archive-store.ts";
import type { Tick } from "./tick.ts";

/** Jobs that a tick moves at most: four subrequests each, a few more for large ones. */
const MAX_JOBS = 50;
/** Of one D1 reply. A job has up to 16 MiB, which are in memory twice while they are put together. */
const MAX_READ_BYTES = 4 * 1_024 * 1_024;
/** R2 can hang: no write may outlive this. */
const WRITE_TIMEOUT_MS = 30 * SECOND_MS;

/**
 * Moves the results of long settled jobs to R2, the first to end first: R2 is written first, then one D1
 * batch says where they are and removes them. Broken off in between, the next tick writes the same object
 * again. One that fails is logged, and holds up no other.
 */
export async function archiveResults(tick: Tick) {
  const { db, clock, config, goOn } = tick;
  const jobIds = await findUnarchived(db, clock.now() - config.archiveAfterMs, MAX_JOBS);
  const sum = { jobs: 0, bytes: 0, failed: 0 };
  for (const jobId of jobIds) {
    if (!goOn()) break;
    try {
      sum.bytes += await archiveJob(tick, jobId);
      sum.jobs++;
    } catch (error) {
      sum.failed++;
      console.error(JSON.stringify({ level: "error", job: jobId, archive: causesOf(error) }));
    }
  }
  return sum;
}

/** Answers how many bytes have moved. */
async function archiveJob({ db, bucket, clock }: Tick, jobId: number): Promise<number> {
  const sizes = await sizesOf(db, jobId);
  const bytes = new Uint8Array(sizes.reduce((sum, size) => sum + size.bytes, 0));
  const places: Place[] = [];
  let offset = 0;
  for (const part of inParts(sizes)) {
    for (const { taskId, position, results } of await readResults(db, part)) {
      const text = utf8Bytes(results);
      bytes.set(text, offset);
      places.push([taskId, position, offset, text.length]);
      offset += text.length;
    }
  }
  if (offset !== bytes.length)
    throw new Error(`Results of job ${jobId} changed while they were read`);
  if (places.length > 0) {
    // R2 refuses what does not arrive as it was sent.
    const sha256 = await crypto.subtle.digest("SHA-256", bytes);
    const put = bucket.put(archiveKeyOf(jobId), bytes, { sha256 });
    await withTimeout(put, WRITE_TIMEOUT_MS, "R2 write");
  }
  await markArchived(db, jobId, places, clock.now());
  return bytes.length;
}

interface Size {
  taskId: number;
  position: number;
  bytes: number;
}

/** Neighbours together, as much as one reply may hold. */
function inParts(sizes: readonly Size[]): Size[][] {
  const parts: Size[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const size of sizes) {
    if (bytes + size.bytes > MAX_READ_BYTES) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)?.push(size);
    bytes += size.bytes;
  }
  return parts;
}
