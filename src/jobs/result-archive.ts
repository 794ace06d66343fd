/**
 * Results of long settled jobs, in R2: one object per job with the JSON of all its results, one after the
 * other. D1 keeps a small row for each, which says where in the object its JSON is: a task alone is read
 * without the others, and a whole job at the cost of one read.
 */
import type { ResultRecord } from "../coordinator/records.ts";
import type { taskResults } from "../db/schema.ts";
import { unavailable } from "../http/errors.ts";
import { SECOND_MS } from "../lib/clock.ts";
import { eachOf } from "../lib/each.ts";
import { jobIdOf } from "../lib/ids.ts";
import { withTimeout } from "../lib/retry.ts";

export type ResultRow = typeof taskResults.$inferSelect;

/** Bytes between two results that are read rather than asked for separately. */
const MAX_GAP_BYTES = 65_536;
/** Reads side by side: the platform opens no more connections at once. */
const CONCURRENCY = 6;
/** R2 can hang: no read, with its bytes, may outlive this. */
const READ_TIMEOUT_MS = 10 * SECOND_MS;

export function archiveKeyOf(jobId: number): string {
  return `results/${jobId}`;
}

/** Results by where they are: those of one span lie next to each other in one object. */
interface Span {
  jobId: number;
  offset: number;
  end: number;
  parts: { at: number; offset: number; bytes: number }[];
}

export type ResultArchive = ReturnType<typeof createResultArchive>;

export function createResultArchive(bucket: R2Bucket) {
  const readSpan = async ({ jobId, offset, end }: Span): Promise<ArrayBuffer> => {
    const range = { offset, length: end - offset };
    const read = async () => {
      const object = await bucket.get(archiveKeyOf(jobId), { range });
      if (object === null) throw new Error(`R2 has no results of job ${jobId}`);
      return object.arrayBuffer();
    };
    try {
      return await withTimeout(read(), READ_TIMEOUT_MS, "R2 read");
    } catch (error) {
      throw unavailable(5, error);
    }
  };

  return {
    /** Results in their order, wherever they are kept. One R2 read for each job that has any there. */
    async restore(rows: readonly ResultRow[]): Promise<ResultRecord[]> {
      const records = rows.map(({ taskId, position, results }) => ({ taskId, position, results }));
      await eachOf(spansOf(rows), CONCURRENCY, async (span) => {
        const bytes = await readSpan(span);
        for (const { at, offset, bytes: length } of span.parts) {
          const part = new Uint8Array(bytes, offset - span.offset, length);
          const record = records[at];
          if (record !== undefined) record.results = new TextDecoder().decode(part);
        }
      });
      return records;
    },
  };
}

function spansOf(rows: readonly ResultRow[]): Span[] {
  const spans: Span[] = [];
  for (const [at, { taskId, archiveOffset: offset, archiveBytes: bytes }] of rows.entries()) {
    if (offset === null || bytes === null) continue;
    const jobId = jobIdOf(taskId);
    const last = spans.findLast((span) => span.jobId === jobId);
    if (last === undefined || offset < last.end || offset - last.end > MAX_GAP_BYTES) {
      spans.push({ jobId, offset, end: offset + bytes, parts: [{ at, offset, bytes }] });
    } else {
      last.parts.push({ at, offset, bytes });
      last.end = offset + bytes;
    }
  }
  return spans;
}
