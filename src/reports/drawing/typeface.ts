/**
 * The report's two typefaces, and their subsets. Most reports need the same characters, so their subset is made once
 * per isolate.
 */
import { deflateSync } from "node:zlib";
import { TrueType } from "./truetype.ts";

export type Face = "regular" | "bold";

/** The files of the typefaces (`public/fonts`). */
export type FontFiles = Readonly<Record<Face, Uint8Array>>;

/** In every subset: ASCII and what the reports' own texts use, in this order. */
const COMMON = [
  ...Array.from({ length: 95 }, (_, at) => String.fromCharCode(0x20 + at)),
  ..."×–—…µ°·−≥≤≈→↔‘’“”•²éöüäß✓✗▲▼■□",
].join("");

const PROGRAMS = 4;
/** Widths in the PDF are in thousandths of the size. */
const UNITS = 1_000;
/** Six letters mark a subset (PDF 32000-1, 9.6.4). */
const SUBSET_NAMES: Record<Face, string> = {
  regular: "ASSAYR+DejaVuSans",
  bold: "ASSAYB+DejaVuSans-Bold",
};
const CMAP_BLOCK = 100;

/** Scripts that are drawn character by character from left to right; others need shaping, and are transliterated. */
const PLAIN_SCRIPT =
  /^[\p{Script=Latin}\p{Script=Greek}\p{Script=Cyrillic}\p{Script=Armenian}\p{Script=Georgian}\p{Script=Common}]$/u;
/** Marks are drawn over other characters; separators and controls not at all. */
const NOT_DRAWN = /^[\p{M}\p{C}\p{Z}]$/u;

/** A subset of a typeface as a PDF embeds it. */
export interface FontProgram {
  name: string;
  /** The TrueType file, deflated, and its length before. */
  file: Uint8Array;
  length: number;
  /** Code points by code, deflated. */
  toUnicode: Uint8Array;
  /** Glyphs by code, two bytes each, deflated. */
  glyphIds: Uint8Array;
  /** By code. */
  widths: number[];
  metrics: {
    box: [number, number, number, number];
    ascent: number;
    descent: number;
    capHeight: number;
  };
}

/** The codes of a report's characters in one face: those of `COMMON`, then others as they come. */
export class Codes {
  readonly #typeface: Typeface;
  readonly #codes: Map<number, number>;
  #extra = "";

  constructor(typeface: Typeface, common: ReadonlyMap<number, number>) {
    this.#typeface = typeface;
    this.#codes = new Map(common);
  }

  /** @param unit a character of the typeface */
  of(unit: number): number {
    let code = this.#codes.get(unit);
    if (code === undefined) {
      code = this.#codes.size + 1;
      this.#codes.set(unit, code);
      this.#extra += String.fromCharCode(unit);
    }
    return code;
  }

  program(): FontProgram {
    return this.#typeface.program(this.#extra);
  }
}

export class Typeface {
  readonly #font: TrueType;
  readonly #face: Face;
  readonly #programs = new Map<string, FontProgram>();
  readonly #common: ReadonlyMap<number, number>;

  constructor(face: Face, file: Uint8Array) {
    this.#font = new TrueType(file);
    this.#face = face;
    this.#common = new Map([...COMMON].map((character, at) => [character.charCodeAt(0), at + 1]));
  }

  has(codePoint: number): boolean {
    return this.#font.glyphOf(codePoint) !== 0;
  }

  /** In thousandths of the size. */
  widthOf(unit: number): number {
    return this.#scaled(this.#font.advanceOf(this.#font.glyphOf(unit)));
  }

  codes(): Codes {
    return new Codes(this, this.#common);
  }

  /** @param extra characters besides `COMMON` */
  program(extra: string): FontProgram {
    const known = this.#programs.get(extra);
    if (known !== undefined) return known;
    const program = this.#subset([...COMMON, ...extra]);
    const [oldest] = this.#programs.keys();
    if (this.#programs.size >= PROGRAMS && oldest !== undefined) this.#programs.delete(oldest);
    this.#programs.set(extra, program);
    return program;
  }

  #subset(characters: readonly string[]): FontProgram {
    const font = this.#font;
    const glyphs = [0, ...characters.map((character) => font.glyphOf(character.charCodeAt(0)))];
    // Characters that look the same share a glyph, though each has a code.
    const order = [...new Set(glyphs)];
    const places = new Map(order.map((glyph, at) => [glyph, at]));
    const ids = glyphs.map((glyph) => places.get(glyph) ?? 0);
    const file = font.subset(order);
    const { box, ascent, descent, capHeight } = font.metrics;
    const rounded = (units: number) => Math.round(this.#scaled(units));
    return {
      name: SUBSET_NAMES[this.#face],
      file: deflateSync(file),
      length: file.length,
      toUnicode: deflateSync(cmapOf(characters)),
      glyphIds: deflateSync(Buffer.from(ids.flatMap((id) => [id >> 8, id & 255]))),
      widths: glyphs.map((glyph) => this.#scaled(font.advanceOf(glyph))),
      metrics: {
        box: box.map(rounded) as FontProgram["metrics"]["box"], // four of them
        ascent: rounded(ascent),
        descent: rounded(descent),
        capHeight: rounded(capHeight),
      },
    };
  }

  #scaled(units: number): number {
    return Math.round(((units * UNITS) / this.#font.metrics.unitsPerEm) * 100) / 100;
  }
}

export type Typefaces = Readonly<Record<Face, Typeface>>;

let parsed: { files: FontFiles; typefaces: Typefaces } | null = null;

/** Parsed once for the same files. */
export function typefacesOf(files: FontFiles): Typefaces {
  if (parsed?.files !== files) {
    const typefaces = {
      regular: new Typeface("regular", files.regular),
      bold: new Typeface("bold", files.bold),
    };
    parsed = { files, typefaces };
  }
  return parsed.typefaces;
}

/** Whether both faces have a character, and draw it as it is. */
export function isDrawn({ regular, bold }: Typefaces, codePoint: number): boolean {
  if (codePoint > 0xffff) return false;
  const character = String.fromCodePoint(codePoint);
  if (NOT_DRAWN.test(character)) return codePoint === 0x20;
  return PLAIN_SCRIPT.test(character) && regular.has(codePoint) && bold.has(codePoint);
}

/** The text of codes, for readers that search and copy (PDF 32000-1, 9.10.3). */
function cmapOf(characters: readonly string[]): string {
  const hex = (value: number) => value.toString(16).toUpperCase().padStart(4, "0");
  const lines = characters.map(
    (character, at) => `<${hex(at + 1)}> <${hex(character.charCodeAt(0))}>`,
  );
  const blocks: string[] = [];
  for (let at = 0; at < lines.length; at += CMAP_BLOCK) {
    const block = lines.slice(at, at + CMAP_BLOCK);
    blocks.push(`${block.length} beginbfchar\n${block.join("\n")}\nendbfchar`);
  }
  return [
    "/CIDInit /ProcSet findresource begin",
    "12 dict begin",
    "begincmap",
    "/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def",
    "/CMapName /Adobe-Identity-UCS def",
    "/CMapType 2 def",
    "1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange",
    ...blocks,
    "endcmap",
    "CMapName currentdict /CMap defineresource pop",
    "end",
    "end",
  ].join("\n");
}
