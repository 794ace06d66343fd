/** Embedded files of a PDF (PDF 32000-1, 7.11.4), wherever it runs: in the Worker, in Node 20 and in browsers. */

/** The stored bytes of an embedded file. */
export interface Extent {
  offset: number;
  length: number;
  /** Compressed in the form of zlib (RFC 1950); false for plain bytes. */
  isDeflated: boolean;
}

/** A dictionary of a stream is shorter than this, before and after the name of its type. */
const DICTIONARY_BYTES = 2_048;
const LATIN = new TextDecoder("latin1");

/** Streams of embedded files, in the order of the file. Others than those that Assay writes are passed over. */
export function embeddedFiles(pdf: Uint8Array): Extent[] {
  const found: Extent[] = [];
  for (let at = indexOf(pdf, "/EmbeddedFile", 0); at >= 0; ) {
    const extent = extentAt(pdf, at);
    if (extent !== null) found.push(extent);
    at = indexOf(pdf, "/EmbeddedFile", extent === null ? at + 1 : extent.offset + extent.length);
  }
  return found;
}

/** The stream whose dictionary has the name of its type at this place; null for another use of the name. */
function extentAt(pdf: Uint8Array, at: number): Extent | null {
  const from = Math.max(0, at - DICTIONARY_BYTES);
  const text = LATIN.decode(pdf.subarray(from, at + DICTIONARY_BYTES));
  const after = /^\/EmbeddedFile(?=[\s/>])[\s\S]*?\bstream\r?\n/.exec(text.slice(at - from))?.[0];
  if (after === undefined || after.includes("endobj")) return null;
  const before = text.slice(Math.max(0, text.lastIndexOf(" obj", at - from)), at - from);
  const dictionary = before + after;
  const length = Number(/\/Length\s+(\d+)(?!\d|\s+\d+\s+R)/.exec(dictionary)?.[1] ?? NaN);
  const filter = /\/Filter\s*\[?\s*\/(\w+)\s*(.)/.exec(dictionary);
  const isDeflated = filter?.[1] === "FlateDecode" && !dictionary.includes("/DecodeParms");
  const offset = at + after.length;
  const isWhole = Number.isSafeInteger(length) && offset + length <= pdf.length;
  if (!isWhole || (filter !== null && !isDeflated)) return null;
  return { offset, length, isDeflated };
}

function indexOf(bytes: Uint8Array, name: string, from: number): number {
  const codes = Array.from(name, (character) => character.charCodeAt(0));
  const [first = 0] = codes;
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    if (codes.every((code, index) => bytes[at + index] === code)) return at;
  }
  return -1;
}

/**
 * The bytes of an embedded file.
 *
 * @returns null where it is damaged, or larger than the bound once it is decompressed
 */
export async function readEmbedded(
  pdf: Uint8Array<ArrayBuffer>,
  { offset, length, isDeflated }: Extent,
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer> | null> {
  const stored = pdf.subarray(offset, offset + length);
  if (!isDeflated) return length <= maxBytes ? stored : null;
  const reader = new Blob([stored])
    .stream()
    .pipeThrough(new DecompressionStream("deflate"))
    .getReader();
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value as Uint8Array<ArrayBuffer>); // never shared memory
      bytes += value.length;
      if (bytes > maxBytes) {
        await reader.cancel();
        return null;
      }
    }
  } catch {
    return null;
  }
  const whole = new Uint8Array(bytes);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
