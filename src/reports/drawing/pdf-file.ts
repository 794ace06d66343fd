/**
 * Writes a PDF 1.7 file object by object (PDF 32000-1, 7.5). A library that keeps each object until the file is saved took
 * half of a report's CPU and memory; here an object is bytes as soon as it is known, and those without a stream are
 * compressed together (7.5.7), as a report has thousands of small ones.
 */
import { deflateSync } from "node:zlib";
import { free, MIB } from "../../lib/bytes.ts";

/** The number of an object. */
export type Ref = number;

const FIRST_BYTES = 64 * 1_024;
/** Objects are compressed in parts of about this many bytes. */
const PART_BYTES = 128 * 1_024;
/** The second line tells programs that the file is no text (7.5.2). */
const HEADER = Buffer.from("%PDF-1.7\n%\u00e2\u00e3\u00cf\u00d3\n", "latin1");
/** Widths of the fields of a place: its kind, an offset or a stream's number, an index (7.5.8.3). */
const FIELDS = [1, 4, 2] as const;
const PLACE_BYTES = FIELDS[0] + FIELDS[1] + FIELDS[2];
const FIRST_OBJECTS = 1_024;
const IN_FILE = 1;
const IN_STREAM = 2;

/** Memory of files that are finished. */
const spare: Buffer[] = [];

/** What the file says of itself, besides its objects. */
export interface Trailer {
  root: Ref;
  info: Ref;
  /** 32 hexadecimal digits. */
  id: string;
}

export class PdfFile {
  #bytes = new Uint8Array(FIRST_BYTES);
  #used = 0;
  /** By number, as the file has them (7.5.8.2). */
  #places = new DataView(new ArrayBuffer(PLACE_BYTES * FIRST_OBJECTS));
  #count = 1;
  /** Objects that wait for the next stream of them: their bodies; their numbers, each with its offset. */
  #part = spare.pop() ?? Buffer.alloc(PART_BYTES);
  #partUsed = 0;
  #waiting: number[] = [];

  constructor() {
    this.#place(0, 0, 0, 0xffff);
    this.#put(HEADER);
  }

  /** A number for an object that is written later. */
  next(): Ref {
    const ref = this.#count++;
    const { byteLength, buffer } = this.#places;
    if (this.#count * PLACE_BYTES > byteLength) {
      this.#places = new DataView((buffer as ArrayBuffer).transfer(2 * byteLength)); // as made above
    }
    return ref;
  }

  /** @param body in PDF's syntax, in characters of one byte */
  add(body: string, ref = this.next()): Ref {
    if (this.#partUsed + body.length >= this.#part.length) {
      this.#flush();
      if (body.length >= this.#part.length) this.#part = Buffer.alloc(2 * body.length);
    }
    this.#waiting.push(ref, this.#partUsed);
    this.#partUsed += this.#part.write(`${body}\n`, this.#partUsed, "latin1");
    return ref;
  }

  /**
   * @param entries of the stream's dictionary, without its length
   * @returns the stream's number, and the place of its bytes in the file
   */
  stream(entries: string, bytes: Uint8Array): { ref: Ref; offset: number } {
    const ref = this.next();
    return { ref, offset: this.#stream(ref, entries, bytes) };
  }

  /** A stream of bytes that are deflated already. */
  deflated(bytes: Uint8Array, entries = ""): Ref {
    return this.stream(`/Filter/FlateDecode${entries}`, bytes).ref;
  }

  /** The whole file; nothing can be added any more. */
  end({ root, info, id }: Trailer): Uint8Array {
    this.#flush();
    if (this.#part.length === PART_BYTES) spare.push(this.#part);
    const ref = this.next();
    const start = this.#used;
    this.#place(ref, IN_FILE, start);
    const entries = `/Type/XRef/Filter/FlateDecode/Size ${this.#count}/W[${FIELDS.join(" ")}]/Root ${root} 0 R/Info ${info} 0 R/ID[<${id}><${id}>]`;
    this.#stream(
      ref,
      entries,
      deflateSync(new Uint8Array(this.#places.buffer, 0, this.#count * PLACE_BYTES)),
    );
    this.#put(Buffer.from(`startxref\n${start}\n%%EOF\n`, "latin1"));
    const whole = new Uint8Array(this.#bytes.buffer.transfer(this.#used));
    this.#bytes = new Uint8Array(0);
    return whole;
  }

  /**
   * @param at an offset, or the number of a stream of objects
   * @param index within that stream
   */
  #place(ref: Ref, kind: number, at: number, index = 0): void {
    const from = ref * PLACE_BYTES;
    this.#places.setUint8(from, kind);
    this.#places.setUint32(from + FIELDS[0], at);
    this.#places.setUint16(from + FIELDS[0] + FIELDS[1], index);
  }

  #flush(): void {
    if (this.#waiting.length === 0) return;
    const stream = this.next();
    const count = this.#waiting.length / 2;
    for (let index = 0; index < count; index++) {
      this.#place(this.#waiting[2 * index] ?? 0, IN_STREAM, stream, index);
    }
    const head = Buffer.from(`${this.#waiting.join(" ")}\n`, "latin1");
    const text = Buffer.concat([head, this.#part.subarray(0, this.#partUsed)]);
    const entries = `/Type/ObjStm/Filter/FlateDecode/N ${count}/First ${head.length}`;
    this.#stream(stream, entries, deflateSync(text));
    this.#waiting = [];
    this.#partUsed = 0;
  }

  #stream(ref: Ref, entries: string, bytes: Uint8Array): number {
    this.#place(ref, IN_FILE, this.#used);
    const head = `${ref} 0 obj\n<<${entries}/Length ${bytes.length}>>\nstream\n`;
    this.#put(Buffer.from(head, "latin1"));
    const offset = this.#used;
    this.#put(bytes);
    this.#put(Buffer.from("\nendstream\nendobj\n", "latin1"));
    return offset;
  }

  #put(bytes: Uint8Array): void {
    const needed = this.#used + bytes.length;
    if (needed > this.#bytes.length) {
      const length = Math.max(needed, this.#used + Math.min(this.#used, MIB));
      const larger = new Uint8Array(length);
      larger.set(this.#bytes.subarray(0, this.#used));
      free(this.#bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.#used);
    this.#used = needed;
  }
}

/** A text string in UTF-16 with its mark (7.9.2.2). */
export function textString(text: string): string {
  return `<${Buffer.from(`\ufeff${text.toWellFormed()}`, "utf16le").swap16().toString("hex")}>`;
}

/** A string of ASCII characters (7.3.4.2). */
export function asciiString(text: string): string {
  return `(${text.replaceAll(/[()\\]/g, (character) => `\\${character}`)})`;
}

/** A date, to the second (7.9.4). */
export function dateString(ms: number): string {
  return `(D:${new Date(ms).toISOString().slice(0, 19).replaceAll(/[-:T]/g, "")}Z)`;
}

export function reference(ref: Ref): string {
  return `${ref} 0 R`;
}
