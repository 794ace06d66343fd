import { free } from "../lib/bytes.ts";
import { SECOND_MS } from "../lib/clock.ts";
import { logEvent } from "../lib/log.ts";
import { withTimeout } from "../lib/retry.ts";
import type { Hole, Piece } from "./raw-json.ts";

/** Bytes that are given to the client at once. */
const CHUNK_BYTES = 64 * 1_024;
/**
 * A reply that the client does not read for this long is cut off, since it holds its source open; so is one whose
 * source sends nothing.
 */
const STALLED_MS = 60 * SECOND_MS;

/**
 * The bytes of a reply: its pieces, with the holes filled from the source. Nothing is read before the client wants
 * it. If the source fails, the reply is cut off, so that the client sees that it is incomplete.
 *
 * @param source the bytes from offset `from` on; null if there are no holes
 */
export function fillHoles(
  pieces: readonly Piece[],
  source: ReadableStream<Uint8Array> | null,
  { from = 0, stalledMs = STALLED_MS } = {},
): ReadableStream<Uint8Array> {
  const reader = source === null ? null : new SourceReader(source, { from, stalledMs });
  const chunks = chunksOf(pieces, reader);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;
  /** Lets go of the source, and of what makes text. */
  const end = async () => {
    isOver = true;
    clearTimeout(timer);
    await reader?.cancel();
    void chunks.return().catch(() => {}); // it has failed, or nobody hears of it any more
  };
  const cut = (controller: ReadableStreamDefaultController, error: Error) => {
    if (isOver) return;
    logEvent("warn", "reply_cut", { cause: error.message, bytes_read: reader?.taken ?? 0 });
    controller.error(error);
    void end();
  };
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        clearTimeout(timer);
        try {
          const { done, value } = await chunks.next();
          if (isOver) return;
          if (done) return controller.close();
          controller.enqueue(value);
        } catch (error) {
          return cut(controller, error instanceof Error ? error : new Error(String(error)));
        }
        timer = setTimeout(cut, stalledMs, controller, new Error("The client stopped reading"));
      },
      cancel: end,
    },
    // Nothing is made ahead of the client.
    { highWaterMark: 0 },
  );
}

/** Replies whose pieces take more UTF-16 units and bytes than this are streamed. */
const SMALL = 64 * 1_024;

/** True for pieces that may be held in memory. Text that is made later counts by what it is made of. */
export function areSmall(pieces: readonly Piece[]): boolean {
  let size = 0;
  for (const piece of pieces) {
    if (typeof piece === "string" || piece instanceof Uint8Array) size += piece.length;
    else if ("bytes" in piece) size += piece.bytes;
    else if (piece.madeOf === undefined) return false;
    else for (const text of piece.madeOf) size += text.length;
  }
  return size <= SMALL;
}

/** As `fillHoles`, in memory, since a small reply costs less than its stream. Throws if the source fails. */
export async function fillInMemory(
  pieces: readonly Piece[],
  source: ReadableStream<Uint8Array> | null,
  { from = 0, stalledMs = STALLED_MS } = {},
): Promise<string> {
  const reader = source === null ? null : new SourceReader(source, { from, stalledMs });
  const decoder = new TextDecoder();
  let filled = "";
  try {
    for (const piece of pieces) {
      if (typeof piece === "string") filled += piece;
      else if (piece instanceof Uint8Array) filled += decoder.decode(piece);
      else if ("later" in piece) for await (const text of piece.later()) filled += text;
      else {
        const stored = decoder.decode(await neededSource(reader).bytes(piece));
        filled += piece.show?.(stored) ?? stored;
      }
    }
    return filled;
  } finally {
    void reader?.cancel();
  }
}

function neededSource(source: SourceReader | null): SourceReader {
  if (source === null) throw new Error("A reply with holes needs a source");
  return source;
}

/** A stored file as a reply's body: bounded as `fillHoles` is, and of a known length for `Content-Length`. */
export function streamFile(
  file: ReadableStream<Uint8Array>,
  length: number,
): ReadableStream<Uint8Array> {
  const { readable, writable } = new FixedLengthStream(length);
  const body = fillHoles([{ at: 0, bytes: length }], file);
  body.pipeTo(writable).catch(() => {}); // the reply is cut
  return readable;
}

async function* chunksOf(
  pieces: readonly Piece[],
  source: SourceReader | null,
): AsyncGenerator<Uint8Array, void> {
  const encoder = new TextEncoder();
  let buffer = new Uint8Array(CHUNK_BYTES);
  let used = 0;
  /** The buffer's bytes, as a chunk that the stream may keep. */
  const take = () => {
    const chunk = buffer.subarray(0, used);
    buffer = new Uint8Array(CHUNK_BYTES);
    used = 0;
    return chunk;
  };
  async function* put(bytes: Uint8Array) {
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + CHUNK_BYTES - used);
      buffer.set(part, used);
      used += part.length;
      at += part.length;
      if (used === CHUNK_BYTES) yield take();
    }
  }
  async function* write(text: string) {
    for (let at = 0; at < text.length; ) {
      const { read, written } = encoder.encodeInto(
        text.slice(at, at + CHUNK_BYTES),
        buffer.subarray(used),
      );
      at += read;
      used += written;
      // A character may not fit into the rest of the buffer.
      if (used + 4 > CHUNK_BYTES) yield take();
    }
  }
  for (const piece of pieces) {
    if (typeof piece === "string") yield* write(piece);
    else if (piece instanceof Uint8Array) yield* put(piece);
    else if ("later" in piece) for await (const text of piece.later()) yield* write(text);
    else if (piece.show !== undefined) {
      yield* write(piece.show(new TextDecoder().decode(await neededSource(source).bytes(piece))));
    } else for await (const bytes of neededSource(source).read(piece)) yield* put(bytes);
  }
  if (used > 0) yield take();
}

/** Reads a whole stream of known length into memory; fails as `fillHoles` does. */
export async function readAll(
  source: ReadableStream<Uint8Array> | null,
  bytes: number,
  stalledMs = STALLED_MS,
): Promise<Uint8Array> {
  if (source === null) return new Uint8Array(0);
  const reader = new SourceReader(source, { from: 0, stalledMs });
  try {
    return await reader.bytes({ at: 0, bytes });
  } finally {
    void reader.cancel();
  }
}

/** Reads parts of a stream, in rising order. */
class SourceReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  /** Offset of `#rest`, bytes. */
  #at: number;
  readonly #stalledMs: number;
  /** Bytes that have arrived, used or not. */
  taken = 0;
  /** The latest of them, as they came. */
  #chunk = new Uint8Array(0);
  /** Those that are not used yet. */
  #rest = this.#chunk;

  constructor(source: ReadableStream<Uint8Array>, options: { from: number; stalledMs: number }) {
    this.#reader = source.getReader();
    this.#at = options.from;
    this.#stalledMs = options.stalledMs;
  }

  /** The bytes of a hole as they arrive, each to be copied before the next; those before it are passed over. */
  async *read({ at, bytes }: Hole): AsyncGenerator<Uint8Array> {
    if (at < this.#at) throw new Error("Holes are filled in rising order");
    const end = at + bytes;
    while (this.#at < end) {
      if (this.#rest.length === 0) {
        const read = this.#reader.read();
        const { done, value } = await withTimeout(read, this.#stalledMs, "the next stored bytes");
        if (done) throw new Error(`The source ended ${end - this.#at} bytes too early`);
        if (this.#chunk.length === this.#chunk.buffer.byteLength) free(this.#chunk);
        this.#chunk = value as Uint8Array<ArrayBuffer>; // never shared memory
        this.#rest = this.#chunk;
        this.taken += value.length;
      }
      const wanted = this.#at < at ? at - this.#at : end - this.#at;
      const part = this.#rest.subarray(0, wanted);
      const isInside = this.#at >= at;
      this.#rest = this.#rest.subarray(part.length);
      this.#at += part.length;
      if (isInside && part.length > 0) yield part;
    }
  }

  /** A hole's bytes, in memory. */
  async bytes(hole: Hole): Promise<Uint8Array> {
    const whole = new Uint8Array(hole.bytes);
    let used = 0;
    for await (const part of this.read(hole)) {
      whole.set(part, used);
      used += part.length;
    }
    return whole;
  }

  async cancel(): Promise<void> {
    await this.#reader.cancel().catch(() => {}); // a source that has failed cannot be cancelled
  }
}
