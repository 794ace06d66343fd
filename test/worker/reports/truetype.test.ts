/** Subsets of the report's typefaces, read back table by table. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { TrueType } from "../../../src/reports/drawing/truetype.ts";
import { loadFonts } from "../../../src/reports/fonts.ts";

const { regular: file } = await loadFonts(env.ASSETS);
const font = new TrueType(file);
const glyph = (character: string) => font.glyphOf(character.codePointAt(0) ?? 0);

/** The tables of a file; a composite glyph's flags are kept apart from its parts. */
function readFont(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tables = new Map<string, { start: number; length: number; sum: number }>();
  for (let at = 12; at < 12 + view.getUint16(4) * 16; at += 16) {
    const tag = String.fromCharCode(...bytes.subarray(at, at + 4));
    const [sum, start, length] = [4, 8, 12].map((more) => view.getUint32(at + more));
    tables.set(tag, { sum: sum ?? 0, start: start ?? 0, length: length ?? 0 });
  }
  const start = (tag: string) => tables.get(tag)?.start ?? Number.NaN;
  const sumOf = (from: number, length: number, skipped = -1) => {
    let sum = 0;
    for (let at = from; at < from + length; at += 4) {
      if (at !== skipped) sum = (sum + view.getUint32(at)) >>> 0;
    }
    return sum;
  };
  const outline = (at: number) => {
    const loca = start("loca") + at * 4;
    const [from, to] = [view.getUint32(loca), view.getUint32(loca + 4)];
    return bytes.slice(start("glyf") + from, start("glyf") + to);
  };
  return { view, tables, start, sumOf, outline };
}

const at16 = (bytes: Uint8Array, at: number) =>
  new DataView(bytes.buffer, bytes.byteOffset).getInt16(at);

/** A simple outline's box, ends of contours and points; its instructions stand between them. */
function shapeOf(outline: Uint8Array) {
  const lengthAt = 10 + at16(outline, 0) * 2;
  const instructions = at16(outline, lengthAt);
  const points = outline.slice(lengthAt + 2 + instructions);
  return { head: outline.slice(0, lengthAt), instructions, points };
}

describe("a typeface", () => {
  test("has the characters of its ranges, and glyph 0 for all others", ({ expect }) => {
    const inside = ["A", "z", "é", "–", "€", "µ", "Ω", "Ж", "✓", "▼"].map(glyph);
    expect(new Set(inside).size).toBe(inside.length);
    expect(inside).not.toContain(0);
    for (const outside of [0x4e00, 0x0, 0xffff, 0xfffe, 0x10fffd]) {
      expect(font.glyphOf(outside), outside.toString(16)).toBe(0);
    }
  });

  test("has widths and heights in units of the em", ({ expect }) => {
    // DejaVu Sans 2.37.
    expect(font.metrics).toMatchObject({ unitsPerEm: 2_048, ascent: 1_901, capHeight: 1_493 });
    expect(["i", "m", "0", "1", " "].map((each) => font.advanceOf(glyph(each)))).toEqual([
      569, 1_995, 1_303, 1_303, 651,
    ]);
  });

  test("without characters of Unicode, or cut off, is refused", ({ expect }) => {
    const other = file.slice();
    const { start } = readFont(other);
    new DataView(other.buffer).setUint16(start("cmap") + 2, 0);
    expect(() => new TrueType(other)).toThrow("no characters");
    expect(() => new TrueType(file.slice(0, 100))).toThrow();
  });
});

describe("a subset", () => {
  const wanted = [0, ..."Ae é".split("").map(glyph)];
  const subset = font.subset(wanted);
  const { view, tables, start, sumOf, outline } = readFont(subset);

  test("has the tables that a PDF uses, with their checksums", ({ expect }) => {
    expect([...tables.keys()]).toEqual(["glyf", "head", "hhea", "hmtx", "loca", "maxp"]);
    const adjustment = start("head") + 8;
    for (const [tag, { start, length, sum }] of tables) {
      expect(start % 4, tag).toBe(0);
      expect(sumOf(start, (length + 3) & ~3, adjustment), tag).toBe(sum);
    }
    expect(sumOf(0, subset.length)).toBe(0xb1b0afba);
    expect(subset.length).toBeLessThan(2_000);
  });

  test("has these glyphs in order with their widths, then the parts of composite ones", ({
    expect,
  }) => {
    const count = view.getUint16(start("maxp") + 4);
    expect(view.getUint16(start("hhea") + 34)).toBe(count);
    expect(count, "the accent of é").toBe(wanted.length + 1);
    expect(tables.get("loca")?.length).toBe((count + 1) * 4);
    for (const [at, each] of wanted.entries()) {
      expect(view.getUint16(start("hmtx") + at * 4)).toBe(font.advanceOf(each));
    }
    expect(outline(3), "a space has no outline").toHaveLength(0);
  });

  test("keeps outlines as they are, without instructions", ({ expect }) => {
    const original = readFont(file);
    for (const [at, character] of [
      [1, "A"],
      [2, "e"],
    ] as const) {
      const before = shapeOf(original.outline(glyph(character)));
      const after = shapeOf(outline(at));
      expect(before.instructions).toBeGreaterThan(0);
      expect(after.instructions).toBe(0);
      expect(after.head).toEqual(before.head);
      // Either may be padded with zeros.
      const length = Math.min(before.points.length, after.points.length);
      expect(after.points.slice(0, length)).toEqual(before.points.slice(0, length));
      expect(length).toBeGreaterThan(20);
    }
  });

  test("leads composite glyphs to the new places of their parts", ({ expect }) => {
    const composite = outline(4);
    expect(at16(composite, 0)).toBe(-1);
    const HAS_INSTRUCTIONS = 0x100;
    const parts: number[] = [];
    for (let at = 10; ; ) {
      const flags = at16(composite, at);
      expect(flags & HAS_INSTRUCTIONS).toBe(0);
      expect(flags & 0xc8, "DejaVu's é is not scaled").toBe(0);
      parts.push(at16(composite, at + 2));
      at += (flags & 1) === 0 ? 6 : 8;
      if ((flags & 0x20) === 0) break;
    }
    expect(parts).toEqual([2, 5]);
    expect(outline(5).length).toBeGreaterThan(10);
  });
});
