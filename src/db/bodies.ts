/**
 * Bodies are what agents send: results and inventories. The job's object holds them until the job has settled, then
 * one R2 object per job. In it lie the bodies of each task, by rank, and behind them the results of the cluster steps
 * once more, by position and rank, so that one range of bytes serves every reader.
 */
import { type BodySizes, INVENTORY } from "../lib/stored-json.ts";

/** The bodies of a task; the offset is that of the first one. */
export interface TaskBodies {
  sizes: BodySizes;
  offset: number;
}

/** A body, or a part of one. */
export interface Extent {
  at: number;
  bytes: number;
}

export function bodiesKey(jobId: number): string {
  return `results/${jobId}`;
}

export function bytesOf(sizes: BodySizes): number {
  return sizes.reduce((sum, [, bytes]) => sum + bytes, 0);
}

/** The place of each body, by position. */
export function extentsOf({ sizes, offset }: TaskBodies): Map<number, Extent> {
  const extents = new Map<number, Extent>();
  let at = offset;
  for (const [position, bytes] of sizes) {
    extents.set(position, { at, bytes });
    at += bytes;
  }
  return extents;
}

/** The offset of each task's first body, by rank, and the length of all of them together. */
export function layOut(tasks: readonly BodySizes[]): { offsets: number[]; bytes: number } {
  let bytes = 0;
  const offsets = tasks.map((sizes) => {
    const offset = bytes;
    bytes += bytesOf(sizes);
    return offset;
  });
  return { offsets, bytes };
}

/** The cluster results of all tasks in the order of their copies: by position, then rank. */
export function clusterCopies(
  tasks: readonly BodySizes[],
  clusterPositions: readonly number[],
): { rank: number; position: number; bytes: number }[] {
  return clusterPositions.flatMap((position) =>
    tasks.flatMap((sizes, rank) => {
      const size = sizes.find(([at]) => at === position);
      return size === undefined ? [] : [{ rank, position, bytes: size[1] }];
    }),
  );
}

/** Sizes of a task's results, without its inventory. */
export function resultSizes(sizes: BodySizes): BodySizes {
  return sizes.filter(([position]) => position !== INVENTORY);
}
