/** Where the bodies of a job are that its replies show, and how they are read. */
import { clusterPositionsOf } from "../benchmarks/sequence.ts";
import {
  bodiesKey,
  bytesOf,
  clusterCopies,
  type Extent,
  extentsOf,
  layOut,
  resultSizes,
} from "../db/bodies.ts";
import type { Bucket } from "../db/bucket.ts";
import { unavailable } from "../http/errors.ts";
import type { HoleSource } from "../http/replies.ts";
import { platformFailure } from "../lib/platform-failure.ts";
import type { BodySizes, SequenceStep } from "../lib/stored-json.ts";

/** `results`: all results, by rank. `cluster`: those of the cluster steps, by position and rank. */
export type BodyPart = "results" | "cluster";

/** Bodies of some tasks, as the holes of a reply. */
export interface Bodies {
  /** By rank; a task's bodies by position. */
  extents: readonly ReadonlyMap<number, Extent>[];
  source: HoleSource;
}

/** `Retry-After` when an object is missing in R2: an operator may restore it. */
const RETRY_LOST_SECONDS = 5;

/** No bodies. */
export const NO_SOURCE: HoleSource = { from: 0, open: async () => null, discard: () => {} };

/** The bodies of a job in R2: one read of the range that holds them. */
export function storedBodies(
  bucket: Bucket,
  jobId: number,
  sequence: readonly SequenceStep[],
  tasks: readonly BodySizes[],
  part: BodyPart,
): Bodies {
  const { offsets, bytes } = layOut(tasks);
  const extents =
    part === "cluster"
      ? clusterExtents(sequence, tasks, bytes)
      : tasks.map((sizes, rank) =>
          extentsOf({ sizes: resultSizes(sizes), offset: offsets[rank] ?? 0 }),
        );
  return { extents, source: storedSource(bucket, jobId, extents) };
}

/** The bodies of a job in its object, which sends them in the order of `part`. */
export function liveBodies(
  stream: ReadableStream<Uint8Array>,
  sequence: readonly SequenceStep[],
  tasks: readonly BodySizes[],
  part: BodyPart,
): Bodies {
  const results = tasks.map(resultSizes);
  const { offsets } = layOut(results);
  const extents =
    part === "cluster"
      ? clusterExtents(sequence, tasks, 0)
      : results.map((sizes, rank) => extentsOf({ sizes, offset: offsets[rank] ?? 0 }));
  return { extents, source: liveSource(stream) };
}

/** The bodies of one task, with its inventory. */
export function taskBodies(
  sizes: BodySizes,
  from: { offset: number; bucket: Bucket; jobId: number } | ReadableStream<Uint8Array>,
) {
  if (from instanceof ReadableStream) {
    return { extents: extentsOf({ sizes, offset: 0 }), source: liveSource(from) };
  }
  const extents = extentsOf({ sizes, offset: from.offset });
  return { extents, source: storedSource(from.bucket, from.jobId, [extents]) };
}

function clusterExtents(
  sequence: readonly SequenceStep[],
  tasks: readonly BodySizes[],
  offset: number,
) {
  const positions = clusterPositionsOf(sequence);
  const extents = tasks.map(() => new Map<number, Extent>());
  let at = offset;
  for (const { rank, position, bytes } of clusterCopies(tasks, positions)) {
    extents[rank]?.set(position, { at, bytes });
    at += bytes;
  }
  return extents;
}

function liveSource(stream: ReadableStream<Uint8Array>): HoleSource {
  return { from: 0, open: async () => stream, discard: () => void stream.cancel().catch(() => {}) };
}

function storedSource(
  bucket: Bucket,
  jobId: number,
  extents: readonly ReadonlyMap<number, Extent>[],
): HoleSource {
  const all = extents.flatMap((ofTask) => [...ofTask.values()]);
  if (all.length === 0) return NO_SOURCE;
  const from = Math.min(...all.map(({ at }) => at));
  const end = Math.max(...all.map(({ at, bytes }) => at + bytes));
  return {
    from,
    open: () => openStored(bucket, jobId, { at: from, bytes: end - from }),
    discard: () => {},
  };
}

/** A range of a job's bodies as it arrives; null for an empty one. Fails as a request that may be repeated. */
export async function openStored(
  bucket: Bucket,
  jobId: number,
  { at, bytes }: Extent,
): Promise<ReadableStream<Uint8Array> | null> {
  if (bytes === 0) return null;
  try {
    const stream = await bucket.stream(bodiesKey(jobId), { offset: at, length: bytes });
    if (stream === null) throw new Error(`R2 has no results of job ${jobId}`);
    return stream;
  } catch (error) {
    throw unavailable(platformFailure(error)?.retryAfterSeconds ?? RETRY_LOST_SECONDS, error);
  }
}

/** Bytes of a task's results, without its inventory. */
export function resultBytes(sizes: BodySizes): number {
  return bytesOf(resultSizes(sizes));
}
