/**
 * A TrueType file, as far as a report needs it: which characters it has, how wide they are, and a subset to embed
 * (OpenType 1.9; https://learn.microsoft.com/typography/opentype/spec). Nothing is parsed before it is asked for.
 */

/** A header and 12 bytes, then 16 for each table. */
const HEADER = 12;
const ENTRY = 16;
const TRUETYPE = 0x0001_0000;
/** The sum of a whole file, together with the adjustment in its `head` (OpenType, "head"). */
const CHECKSUM = 0xb1b0_afba;
const WINDOWS = 3;
const UNICODE_BMP = 1;

/** Flags of a composite glyph's part (OpenType, "glyf"). */
const HAS_WORDS = 0x0001;
const HAS_SCALE = 0x0008;
const HAS_MORE = 0x0020;
const HAS_TWO_SCALES = 0x0040;
const HAS_MATRIX = 0x0080;
const HAS_INSTRUCTIONS = 0x0100;

/** The letter H. */
const CAPITAL = 0x48;
/** The last range of characters ends here. */
const LAST = 0xffff;

interface Table {
  start: number;
  length: number;
}

export interface FontMetrics {
  /** In units of the em, as all others here. */
  unitsPerEm: number;
  box: [number, number, number, number];
  ascent: number;
  descent: number;
  capHeight: number;
}

export class TrueType {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #tables = new Map<string, Table>();
  readonly #cmap: number;
  readonly #widths: number;
  readonly #hasLongPlaces: boolean;
  readonly metrics: FontMetrics;

  /** @throws if the file lacks a table, or has no characters by Unicode */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const view = this.#view;
    const tables = view.getUint16(4);
    for (let at = HEADER; at < HEADER + tables * ENTRY; at += ENTRY) {
      const tag = String.fromCharCode(...bytes.subarray(at, at + 4));
      this.#tables.set(tag, { start: view.getUint32(at + 8), length: view.getUint32(at + 12) });
    }
    this.#cmap = this.#findCmap();
    const [head, hhea] = [this.#start("head"), this.#start("hhea")];
    this.#widths = view.getUint16(hhea + 34);
    this.#hasLongPlaces = view.getInt16(head + 50) === 1;
    this.metrics = {
      unitsPerEm: view.getUint16(head + 18),
      box: [36, 38, 40, 42].map((at) => view.getInt16(head + at)) as FontMetrics["box"], // four of them
      ascent: view.getInt16(hhea + 4),
      descent: view.getInt16(hhea + 6),
      capHeight: this.#topOf(this.glyphOf(CAPITAL)),
    };
  }

  #start(tag: string): number {
    return this.#table(tag).start;
  }

  #table(tag: string): Table {
    const table = this.#tables.get(tag);
    if (table === undefined) throw new Error(`The typeface has no table ${tag}`);
    return table;
  }

  #findCmap(): number {
    const start = this.#start("cmap");
    const view = this.#view;
    for (let at = start + 4; at < start + 4 + view.getUint16(start + 2) * 8; at += 8) {
      const found = start + view.getUint32(at + 4);
      const isUnicode = view.getUint16(at) === WINDOWS && view.getUint16(at + 2) === UNICODE_BMP;
      if (isUnicode && view.getUint16(found) === 4) return found;
    }
    throw new Error("The typeface has no characters of Unicode's basic plane");
  }

  /** The glyph of a character up to U+FFFF; 0, the glyph of missing characters, for those that the file lacks. */
  glyphOf(codePoint: number): number {
    if (codePoint >= LAST) return 0;
    const view = this.#view;
    const double = view.getUint16(this.#cmap + 6);
    const ends = this.#cmap + 14;
    let [low, high] = [0, double / 2 - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (view.getUint16(ends + middle * 2) < codePoint) low = middle + 1;
      else high = middle;
    }
    const starts = ends + double + 2;
    const start = view.getUint16(starts + low * 2);
    if (codePoint < start) return 0;
    const delta = view.getUint16(starts + double + low * 2);
    const offsetAt = starts + double * 2 + low * 2;
    const offset = view.getUint16(offsetAt);
    if (offset === 0) return (codePoint + delta) & LAST;
    const glyph = view.getUint16(offsetAt + offset + (codePoint - start) * 2);
    return glyph === 0 ? 0 : (glyph + delta) & LAST;
  }

  /** How far a glyph moves on. */
  advanceOf(glyph: number): number {
    // The last width holds for all further glyphs.
    return this.#view.getUint16(this.#start("hmtx") + Math.min(glyph, this.#widths - 1) * 4);
  }

  #bearingOf(glyph: number): number {
    const start = this.#start("hmtx");
    const widths = this.#widths;
    return this.#view.getInt16(
      glyph < widths ? start + glyph * 4 + 2 : start + widths * 4 + (glyph - widths) * 2,
    );
  }

  #topOf(glyph: number): number {
    return viewOf(this.#outlineOf(glyph)).getInt16(8);
  }

  /** A glyph's outline in the file's bytes; empty for a space. */
  #outlineOf(glyph: number): Uint8Array {
    const loca = this.#start("loca");
    const place = (at: number) =>
      this.#hasLongPlaces
        ? this.#view.getUint32(loca + at * 4)
        : this.#view.getUint16(loca + at * 2) * 2;
    const start = this.#start("glyf");
    return this.#bytes.subarray(start + place(glyph), start + place(glyph + 1));
  }

  /**
   * A file with these glyphs, in their order, then the parts of composite ones. Instructions for coarse screens are left
   * out, as are all tables that a PDF does not use (PDF 32000-1, 9.9).
   *
   * @param glyphs the first is 0
   */
  subset(glyphs: readonly number[]): Uint8Array {
    const order = [...glyphs];
    const places = new Map(order.map((glyph, at) => [glyph, at]));
    const outlines: Uint8Array[] = [];
    // Parts are added to the order while it is read.
    for (let at = 0; at < order.length; at++) {
      const outline = this.#outlineOf(order[at] ?? 0);
      outlines.push(
        withoutInstructions(outline, (part) => {
          const known = places.get(part);
          if (known !== undefined) return known;
          places.set(part, order.length);
          return order.push(part) - 1;
        }),
      );
    }
    const copy = (tag: string) => {
      const { start, length } = this.#table(tag);
      return this.#bytes.slice(start, start + length);
    };
    const [head, hhea, maxp] = [copy("head"), copy("hhea"), copy("maxp")];
    viewOf(head).setUint32(8, 0); // the sum of the whole file, set at the end
    viewOf(head).setInt16(50, 1);
    viewOf(hhea).setUint16(34, order.length);
    viewOf(maxp).setUint16(4, order.length);
    const hmtx = new Uint8Array(order.length * 4);
    for (const [at, glyph] of order.entries()) {
      viewOf(hmtx).setUint16(at * 4, this.advanceOf(glyph));
      viewOf(hmtx).setInt16(at * 4 + 2, this.#bearingOf(glyph));
    }
    const { glyf, loca } = packed(outlines);
    return fileOf({ glyf, head, hhea, hmtx, loca, maxp });
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** @param placeOf the place in the subset of a glyph that is part of this one */
function withoutInstructions(outline: Uint8Array, placeOf: (part: number) => number): Uint8Array {
  if (outline.length === 0) return outline;
  const contours = viewOf(outline).getInt16(0);
  if (contours < 0) return composite(outline.slice(), placeOf);
  const lengthAt = 10 + contours * 2;
  const instructions = viewOf(outline).getUint16(lengthAt);
  const plain = new Uint8Array(outline.length - instructions);
  plain.set(outline.subarray(0, lengthAt));
  plain.set(outline.subarray(lengthAt + 2 + instructions), lengthAt + 2);
  return plain;
}

function composite(outline: Uint8Array, placeOf: (part: number) => number): Uint8Array {
  const view = viewOf(outline);
  for (let at = 10; ; ) {
    const flags = view.getUint16(at);
    view.setUint16(at, flags & ~HAS_INSTRUCTIONS);
    view.setUint16(at + 2, placeOf(view.getUint16(at + 2)));
    at += (flags & HAS_WORDS) === 0 ? 6 : 8;
    if (flags & HAS_SCALE) at += 2;
    else if (flags & HAS_TWO_SCALES) at += 4;
    else if (flags & HAS_MATRIX) at += 8;
    if ((flags & HAS_MORE) === 0) return outline.subarray(0, at);
  }
}

/** Outlines one after the other, and their places. */
function packed(outlines: readonly Uint8Array[]): { glyf: Uint8Array; loca: Uint8Array } {
  const loca = new Uint8Array((outlines.length + 1) * 4);
  const places = viewOf(loca);
  let end = 0;
  for (const [at, outline] of outlines.entries()) {
    places.setUint32(at * 4, end);
    end += padded(outline.length);
  }
  places.setUint32(outlines.length * 4, end);
  const glyf = new Uint8Array(end);
  for (const [at, outline] of outlines.entries()) glyf.set(outline, places.getUint32(at * 4));
  return { glyf, loca };
}

function padded(length: number): number {
  return (length + 3) & ~3;
}

/** @param tables in the order of their tags */
function fileOf(tables: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const entries = Object.entries(tables);
  const start = HEADER + entries.length * ENTRY;
  const length = entries.reduce((sum, [, table]) => sum + padded(table.length), start);
  const file = new Uint8Array(length);
  const view = viewOf(file);
  const power = 2 ** Math.floor(Math.log2(entries.length));
  view.setUint32(0, TRUETYPE);
  view.setUint16(4, entries.length);
  view.setUint16(6, power * ENTRY);
  view.setUint16(8, Math.log2(power));
  view.setUint16(10, (entries.length - power) * ENTRY);
  let place = start;
  for (const [index, [tag, table]] of entries.entries()) {
    const at = HEADER + index * ENTRY;
    file.set(new TextEncoder().encode(tag), at);
    file.set(table, place);
    view.setUint32(at + 4, sumOf(view, place, padded(table.length)));
    view.setUint32(at + 8, place);
    view.setUint32(at + 12, table.length);
    if (tag === "head") view.setUint32(place + 8, 0);
    place += padded(table.length);
  }
  const head = entries.findIndex(([tag]) => tag === "head");
  const headAt = view.getUint32(HEADER + head * ENTRY + 8);
  view.setUint32(headAt + 8, (CHECKSUM - sumOf(view, 0, length)) >>> 0);
  return file;
}

function sumOf(view: DataView, start: number, length: number): number {
  let sum = 0;
  for (let at = start; at < start + length; at += 4) sum = (sum + view.getUint32(at)) >>> 0;
  return sum;
}
