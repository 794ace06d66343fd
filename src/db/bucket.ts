import { SECOND_MS } from "../lib/clock.ts";
import { retryPlatformCall, withTimeout } from "../lib/retry.ts";
import type { Meter } from "./client.ts";

/** R2 can hang: bounds a read, and its bytes where they are read into memory. */
const READ_TIMEOUT_MS = 10 * SECOND_MS;
/** A write sends up to 16 MiB. */
const WRITE_TIMEOUT_MS = 30 * SECOND_MS;
/** Attempts of a read. A write is tried once: the caller's next run repeats it. */
const READ_ATTEMPTS = 3;
/** R2's bound on objects in one call of delete. */
const MAX_DELETED = 1_000;

export interface ByteRange {
  offset: number;
  length: number;
}

/** R2 as the product uses it. Failures are those of the platform: `platformFailure` tells them apart. */
export interface Bucket {
  /** The length of an object in bytes; null for a missing object. */
  size(key: string): Promise<number | null>;
  /** A part of an object, in memory; null for a missing object. */
  read(key: string, range: ByteRange): Promise<ArrayBuffer | null>;
  /** An object, or a part of it, as it arrives; null for a missing object. The bytes have no time-out. */
  stream(key: string, range: ByteRange | null): Promise<ReadableStream | null>;
  put(key: string, bytes: Uint8Array, options: R2PutOptions): Promise<void>;
  /** Writes an object of a known length part by part; each part is made when R2 takes it. */
  putParts(key: string, length: number, parts: () => Iterable<Uint8Array>): Promise<void>;
  /** Missing objects are no failure. One call for each 1,000 keys. */
  delete(keys: readonly string[]): Promise<void>;
  /** Every key that begins with the prefix. One call for each 1,000 keys. */
  list(prefix: string): Promise<Set<string>>;
}

/**
 * A bucket whose every call is counted in `meter` and bounded in time. Reads that fail on the platform's
 * side are repeated; a write is not, since its first attempt may have taken effect.
 */
export function openBucket(r2: R2Bucket, meter: Meter): Bucket {
  const call = <T>(
    name: string,
    limits: { timeoutMs: number; attempts: number },
    work: (isLate: () => boolean) => Promise<T>,
  ): Promise<T> =>
    retryPlatformCall(async () => {
      meter.r2Calls++;
      let late = false;
      try {
        return await withTimeout(
          work(() => late),
          limits.timeoutMs,
          `R2 ${name}`,
        );
      } finally {
        late = true;
      }
    }, limits);
  const read = { timeoutMs: READ_TIMEOUT_MS, attempts: READ_ATTEMPTS };
  const write = { timeoutMs: WRITE_TIMEOUT_MS, attempts: 1 };

  /** Answers null after the time-out, too, and cancels the late body, which would stay open. */
  const open = async (key: string, range: ByteRange | null, isLate: () => boolean) => {
    const object = await r2.get(key, range === null ? {} : { range });
    if (object === null || !isLate()) return object;
    await object.body.cancel();
    return null;
  };

  return {
    size: (key) => call("head", read, async () => (await r2.head(key))?.size ?? null),
    read: (key, range) =>
      call("get", read, async (isLate) => (await open(key, range, isLate))?.arrayBuffer() ?? null),
    stream: (key, range) =>
      call("get", read, async (isLate) => (await open(key, range, isLate))?.body ?? null),
    put: (key, bytes, options) =>
      call("put", write, async () => {
        await r2.put(key, bytes, options);
      }),
    putParts: (key, length, parts) =>
      call("put", write, () => sendParts(r2, key, { length, parts })),
    async delete(keys) {
      for (let at = 0; at < keys.length; at += MAX_DELETED) {
        await call("delete", write, () => r2.delete(keys.slice(at, at + MAX_DELETED)));
      }
    },
    async list(prefix) {
      const keys = new Set<string>();
      let cursor: string | undefined;
      do {
        const start = cursor === undefined ? { prefix } : { prefix, cursor };
        const page = await call("list", read, () => r2.list(start));
        for (const { key } of page.objects) keys.add(key);
        cursor = page.truncated ? page.cursor : undefined;
      } while (cursor !== undefined);
      return keys;
    },
  };
}

async function sendParts(
  r2: R2Bucket,
  key: string,
  { length, parts }: { length: number; parts: () => Iterable<Uint8Array> },
): Promise<void> {
  const { readable, writable } = new FixedLengthStream(length);
  const writer = writable.getWriter();
  const stop = (reason: string) => writer.abort(new Error(reason)).catch(() => {});
  const timer = setTimeout(stop, WRITE_TIMEOUT_MS, "R2 took too long");
  const send = async () => {
    for (const part of parts()) await writer.write(part);
    await writer.close();
  };
  try {
    await Promise.all([r2.put(key, readable), send()]);
  } finally {
    clearTimeout(timer);
    // Ends the other half of a write that has failed: it would wait for ever, or go on beside its own repetition.
    await stop("R2 has refused the object");
  }
}
