/** The disk: sequential and random transfers past the page cache, in a file without a name. */
import { randomFillSync } from "node:crypto";
import {
  closeSync,
  constants,
  fdatasyncSync,
  openSync,
  readSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { type Figure, figureOf, quantile } from "./series.ts";
import { pageMemory } from "./wasm.ts";

const MIB = 2 ** 20;
const BLOCK_BYTES = MIB;
const RANDOM_BYTES = 4_096;
/** Different data in so many blocks, none of which can be compressed. */
const BLOCKS = 16;
/** Sequential transfers of this much are one value. */
const CHUNK_BYTES = 32 * MIB;
const SETTLED = { window: 5, tolerance: 0.1 };
/** A slow disk transfers less than the whole file. */
const SEQUENTIAL_MS = 6_000;
const RANDOM_MS = 3_000;
/** Parts of the random reads, whose medians are compared. */
const RANDOM_PARTS = 10;
/** The file takes no more than a quarter of what is free. */
const FREE_FILES = 4;

/** File systems in memory (statfs(2)). */
const IN_MEMORY = new Map([
  [0x01021994, "tmpfs"],
  [0x858458f6, "ramfs"],
]);

export interface DiskFigures {
  write: Figure;
  read: Figure;
  p50: Figure;
  p99: number;
  fileBytes: number;
}

export interface DiskTools {
  platform: string;
  /** ms */
  now(): number;
  onProgress(message: string): void;
}

/** The figures, in bytes a second and µs, or the reason for having none. Leaves nothing behind, even if it is killed. */
export function measureDisk(
  folder: string,
  fileBytes: number,
  tools: DiskTools,
): DiskFigures | { reason: string } {
  if (tools.platform !== "linux") {
    return { reason: `this agent measures disks only on Linux, not on ${tools.platform}` };
  }
  try {
    const unfit = unfitFor(folder, fileBytes);
    if (unfit !== null) return { reason: unfit };
    const file = openUnnamed(folder);
    try {
      return measureFile(file, fileBytes, tools);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    return { reason: reasonOf(error, folder) };
  }
}

function unfitFor(folder: string, fileBytes: number): string | null {
  const { type, bavail, bsize } = statfsSync(folder);
  const memory = IN_MEMORY.get(type);
  if (memory !== undefined) return `${folder} is in memory (${memory})`;
  const free = bavail * bsize;
  if (free >= FREE_FILES * fileBytes) return null;
  const mib = (bytes: number) => `${Math.floor(bytes / MIB)} MiB`;
  return `${folder} has ${mib(free)} free; ${FREE_FILES} times the file's ${mib(fileBytes)} are needed`;
}

/** A new file without a name, which is gone as soon as it is closed. */
function openUnnamed(folder: string): number {
  const path = join(folder, `.assay-host-mark-${process.pid}-${Date.now()}`);
  const { O_CREAT, O_EXCL, O_RDWR, O_DIRECT } = constants;
  try {
    return openSync(path, O_CREAT | O_EXCL | O_RDWR | O_DIRECT, 0o600);
  } finally {
    try {
      // Some file systems make the file before they refuse O_DIRECT.
      unlinkSync(path);
    } catch {
      // It was never made.
    }
  }
}

function measureFile(file: number, fileBytes: number, tools: DiskTools): DiskFigures {
  // The memory of a Buffer does not begin at a page, which O_DIRECT needs.
  const blocks = Buffer.from(pageMemory(BLOCKS * BLOCK_BYTES).buffer);
  randomFillSync(blocks);
  tools.onProgress("writing to the disk");
  const written = transfer(fileBytes, tools, (at) => {
    const from = ((at / BLOCK_BYTES) % BLOCKS) * BLOCK_BYTES;
    expectBytes(writeSync(file, blocks, from, BLOCK_BYTES, at), BLOCK_BYTES);
  });
  const syncedAt = tools.now();
  // What the device still holds in its own cache belongs to the writing.
  fdatasyncSync(file);
  const synced = tools.now() - syncedAt;
  tools.onProgress("reading from the disk");
  const read = transfer(written.bytes, tools, (at) =>
    expectBytes(readSync(file, blocks, 0, BLOCK_BYTES, at), BLOCK_BYTES),
  );
  tools.onProgress("reading single blocks of the disk");
  const times = readRandomly(file, blocks, written.bytes, tools);
  const parts = Array.from({ length: RANDOM_PARTS }, (_, part) => {
    const from = Math.floor((part * times.length) / RANDOM_PARTS);
    const to = Math.max(from + 1, Math.floor(((part + 1) * times.length) / RANDOM_PARTS));
    return quantile(times.slice(from, to), 0.5);
  });
  const p50 = figureOf(parts, SETTLED);
  return {
    write: wholeOf(written, synced),
    read: wholeOf(read, 0),
    p50: { ...p50, value: quantile(times, 0.5) * 1_000 },
    p99: quantile(times, 0.99) * 1_000,
    fileBytes: written.bytes,
  };
}

interface Transfer {
  bytes: number;
  ms: number;
  /** Bytes a second of each chunk. */
  rates: number[];
}

/** Goes through the file block by block, for a bounded time but at least one chunk. */
function transfer(bytes: number, { now }: DiskTools, move: (at: number) => void): Transfer {
  const rates: number[] = [];
  const start = now();
  let chunkStart = start;
  let at = 0;
  while (at < bytes && (rates.length === 0 || now() - start < SEQUENTIAL_MS)) {
    const end = Math.min(bytes, at + CHUNK_BYTES);
    const size = end - at;
    for (; at < end; at += BLOCK_BYTES) move(at);
    const ended = now();
    rates.push(size / (Math.max(ended - chunkStart, 1e-3) / 1_000));
    chunkStart = ended;
  }
  return { bytes: at, ms: now() - start, rates };
}

/** The rate of the whole transfer, and how much those of its parts differed. */
function wholeOf({ bytes, ms, rates }: Transfer, syncMs: number): Figure {
  const { quality } = figureOf(rates, SETTLED);
  return { value: bytes / ((ms + syncMs) / 1_000), quality };
}

/** The time of each read, ms. */
function readRandomly(file: number, blocks: Buffer, bytes: number, { now }: DiskTools): number[] {
  const places = Math.floor(bytes / RANDOM_BYTES);
  const times: number[] = [];
  const start = now();
  let state = 0x9e3779b9;
  let before = start;
  while (times.length < RANDOM_PARTS || before - start < RANDOM_MS) {
    // xorshift (Marsaglia): no two runs in one order would tell more.
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    const at = ((state >>> 0) % places) * RANDOM_BYTES;
    expectBytes(readSync(file, blocks, 0, RANDOM_BYTES, at), RANDOM_BYTES);
    const after = now();
    times.push(after - before);
    before = after;
  }
  return times;
}

function expectBytes(moved: number, wanted: number): void {
  if (moved !== wanted) throw new Error(`only ${moved} of ${wanted} bytes were transferred`);
}

function reasonOf(error: unknown, folder: string): string {
  const code = error instanceof Error && "code" in error ? error.code : null;
  switch (code) {
    case "EINVAL":
    case "EOPNOTSUPP":
      return `the file system of ${folder} refuses transfers that bypass the page cache (O_DIRECT)`;
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return `${folder} cannot be written (${code})`;
    case "ENOSPC":
    case "EDQUOT":
      return `${folder} has no more room for this user (${code})`;
    default:
      return `${folder}: ${error instanceof Error ? error.message : String(error)}`;
  }
}
