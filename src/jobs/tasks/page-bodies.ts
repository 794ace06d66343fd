import type { CallCoordinator } from "../../coordinator/client.ts";
import type { StoredBody } from "../../coordinator/storage/storage.ts";
import { type Extent, extentsOf, resultSizes } from "../../db/bodies.ts";
import { openBucket } from "../../db/bucket.ts";
import type { Meter } from "../../db/client.ts";
import { unavailable } from "../../http/errors.ts";
import { readAll } from "../../http/filled-stream.ts";
import { validationErrorOf } from "../../http/validation.ts";
import { SECOND_MS } from "../../lib/clock.ts";
import { eachOf } from "../../lib/each.ts";
import { openStored, resultBytes } from "../bodies.ts";
import { MAX_PAGE_RESULT_BYTES } from "./contract.ts";
import type { ListedTaskRow } from "./store.ts";

/** Results with at most this many bytes between them are read in one call. */
const MAX_GAP_BYTES = 65_536;
/** Simultaneous reads: the platform opens at most this many connections. */
const CONCURRENCY = 6;

/** A group of results that does not move for this long has failed: the reply has not begun. */
const SPAN_STALLED_MS = 10 * SECOND_MS;

interface Reading {
  callCoordinator: CallCoordinator;
  r2: R2Bucket;
  meter: Meter;
}

/** A result of the page, to be read. */
interface Wanted extends StoredBody {
  taskId: number;
}

/** Neighbouring results of one job, read together; `at` is null for those in the job's object. */
interface Span {
  jobId: number;
  at: number | null;
  end: number;
  parts: { wanted: Wanted; extent: Extent }[];
}

/**
 * The results of a page of tasks, by task and position, in memory: at most `MAX_PAGE_RESULT_BYTES`. One read of R2
 * for each group of neighbours, and one hop for each job that is not in R2 yet.
 *
 * @param before see `refuseLargePage`
 */
export async function readPageBodies(
  rows: readonly ListedTaskRow[],
  before: number,
  reading: Reading,
) {
  refuseLargePage(rows, before);
  const read = new Map<number, Map<number, Uint8Array>>(rows.map(({ id }) => [id, new Map()]));
  await eachOf(spansOf(rows), CONCURRENCY, async (span) => {
    const bytes = await readSpan(span, reading);
    for (const { wanted, extent } of span.parts) {
      const start = extent.at - (span.at ?? 0);
      read.get(wanted.taskId)?.set(wanted.position, bytes.subarray(start, start + extent.bytes));
    }
  });
  return read;
}

/**
 * Says how many tasks would fit, and by which number their page begins with the same one.
 *
 * @param before tasks on the pages before this one; 0 for a page that a cursor begins
 */
function refuseLargePage(rows: readonly ListedTaskRow[], before: number): void {
  let bytes = 0;
  const fitting = rows.findIndex((row) => {
    bytes += resultBytes(row.bodies);
    return bytes > MAX_PAGE_RESULT_BYTES;
  });
  if (fitting === -1) return;
  const [first] = rows;
  if (fitting === 0 && first !== undefined) {
    const message = `must be false for this page: task ${first.id} alone has results above 8 MiB, which GET /tasks/${first.id}/results shows`;
    throw validationErrorOf([{ field: "include_results", message }]);
  }
  let perPage = fitting;
  while (before % perPage !== 0) perPage--;
  const page = before === 0 ? "" : `; page=${before / perPage + 1} then begins with the same task`;
  const message = `must be at most ${perPage}: the results of this page are above 8 MiB${page}`;
  throw validationErrorOf([{ field: "per_page", message }]);
}

function spansOf(rows: readonly ListedTaskRow[]): Span[] {
  const spans: Span[] = [];
  const byPlace = rows.toSorted((a, b) => a.jobId - b.jobId || a.rank - b.rank);
  for (const { id: taskId, jobId, rank, bodies, bodyOffset } of byPlace) {
    const sizes = resultSizes(bodies);
    const isLive = bodyOffset === null;
    for (const [position, placed] of extentsOf({ sizes, offset: bodyOffset ?? 0 })) {
      const wanted = { taskId, rank, position, bytes: placed.bytes };
      const last = spans.at(-1);
      const isNear =
        last?.jobId === jobId &&
        (last.at === null) === isLive &&
        (isLive || placed.at - last.end <= MAX_GAP_BYTES);
      const at = isLive ? (isNear ? last.end : 0) : placed.at;
      const extent = { at, bytes: placed.bytes };
      if (isNear) {
        last.parts.push({ wanted, extent });
        last.end = at + placed.bytes;
      } else {
        const span = { jobId, at: isLive ? null : at, end: at + placed.bytes };
        spans.push({ ...span, parts: [{ wanted, extent }] });
      }
    }
  }
  return spans;
}

/** Fails as a request that may be repeated. */
async function readSpan(span: Span, reading: Reading): Promise<Uint8Array> {
  const stream = await openSpan(span, reading);
  try {
    return await readAll(stream, span.end - (span.at ?? 0), SPAN_STALLED_MS);
  } catch (error) {
    throw unavailable(2, error);
  }
}

async function openSpan({ jobId, at, end, parts }: Span, { callCoordinator, r2, meter }: Reading) {
  if (at !== null) return openStored(openBucket(r2, meter), jobId, { at, bytes: end - at });
  const wanted = parts.map(({ wanted: { rank, position, bytes } }) => ({ rank, position, bytes }));
  const reply = await callCoordinator({ jobId, meter }, (coordinator) =>
    coordinator.bodies(jobId, wanted),
  );
  if (!reply.ok) throw unavailable(2, new Error(`coordinator says ${reply.reason}`));
  return reply.bodies;
}
