/**
 * One page as content operators (PDF 32000-1, annex A). Coordinates are points from the top left corner. Text is
 * written directly rather than through the library's objects, because a large report has 60,000 pieces.
 */
import { deflateSync } from "node:zlib";
import { Operators } from "./operators.ts";
import { A4, type Paper } from "./paper.ts";
import type { Type } from "./type.ts";
import type { Face } from "./typeface.ts";

/** Grey, or red, green and blue; 0 to 1. */
export type Colour = number | readonly [red: number, green: number, blue: number];
export type Align = "left" | "right" | "centre";

export interface TextStyle {
  size: number;
  face?: Face;
  colour?: Colour;
  align?: Align;
  /** Wider text is cut and ends in an ellipsis; only for text that stands complete elsewhere. */
  maxWidth?: number;
}

const FONT_NAMES: Record<Face, string> = { regular: "F1", bold: "F2" };

/** Buffers that no page uses any more: new ones for each page would be garbage at once. */
const spare: Operators[] = [];
/** Larger ones are given up. */
const MAX_SPARE_BYTES = 262_144;

export interface Link {
  x: number;
  y: number;
  width: number;
  height: number;
  url: string;
}

/** `artifact`: what is drawn belongs to the page, not to the document (PDF 32000-1, 14.8.2.2); `plain`: it has no tag. */
type Open = "nothing" | "artifact" | "content" | "plain";

export class Canvas {
  readonly type: Type;
  readonly paper: Paper;
  readonly links: Link[] = [];
  /** Pieces of tagged content so far. */
  marks = 0;
  #open: Open = "nothing";
  /** What has been drawn since it was taken. */
  #operators: Operators | null = null;
  #fill: Colour | null = null;
  #stroke: Colour | null = null;
  #line = 0;
  #font = "";
  #fontSize = 0;

  constructor(type: Type, paper: Paper) {
    this.type = type;
    this.paper = paper;
    // All pages are laid out on the width of A4; others have wider margins.
    const shift = (paper.width - A4.width) / 2;
    if (shift !== 0) this.#raw.name("1 0 0 1 ").number(shift).name("0 cm").end();
  }

  /** Begins content of an element of the document's structure; answers its number on this page. */
  beginContent(tag: string): number {
    this.endContent();
    const id = this.marks++;
    this.#raw.name(`/${tag} <</MCID ${id}>> BDC`).end();
    this.#open = "content";
    return id;
  }

  /** Begins content that no element has. */
  beginPlain(): void {
    this.endContent();
    this.#open = "plain";
  }

  /** What follows is decoration, until other content begins. */
  endContent(): void {
    if (this.#open === "artifact" || this.#open === "content") this.#raw.name("EMC").end();
    this.#open = "nothing";
  }

  /** What has been drawn, compressed; the page keeps nothing of it. */
  take(): Uint8Array {
    this.endContent();
    const bytes = deflateSync(this.#raw.bytes);
    this.#release();
    return bytes;
  }

  /** The same, as it is: to compress some hundred bytes of a foot takes as long as to compress a page. */
  takePlain(): Uint8Array {
    this.endContent();
    const bytes = this.#raw.bytes.slice();
    this.#release();
    return bytes;
  }

  #release(): void {
    if (this.#operators !== null && this.#operators.size <= MAX_SPARE_BYTES) {
      this.#operators.clear();
      spare.push(this.#operators);
    }
    this.#operators = null;
  }

  get #raw(): Operators {
    this.#operators ??= spare.pop() ?? new Operators();
    return this.#operators;
  }

  /** For what is drawn. */
  get #to(): Operators {
    if (this.#open === "nothing") {
      this.#raw.name("/Artifact BMC").end();
      this.#open = "artifact";
    }
    return this.#raw;
  }

  /** One line; `y` is its baseline, `x` its left end, right end or middle. Answers its width. */
  text(text: string, x: number, y: number, style: TextStyle): number {
    const { size, face = "regular", colour = 0.1, align = "left", maxWidth } = style;
    const printable =
      maxWidth === undefined ? this.type.show(text) : this.type.fit(text, maxWidth, size, face);
    const width = this.type.width(printable, size, face);
    const left = align === "left" ? x : align === "right" ? x - width : x - width / 2;
    this.#setFill(colour);
    this.#setFont(FONT_NAMES[face], size);
    this.#to
      .name("BT ")
      .number(left)
      .number(this.paper.height - y)
      .name("Td ");
    // Readers of tagged content join its lines.
    const written = this.#open === "content" ? `${printable} ` : printable;
    this.#to.literal(written, this.type.codes[face]).name(" Tj ET").end();
    return width;
  }

  rectangle(x: number, y: number, width: number, height: number, colour: Colour): void {
    this.#setFill(colour);
    const to = this.#to.number(x).number(this.paper.height - y - height);
    to.number(width).number(height).name("re f").end();
  }

  /** An outline, drawn inside its rectangle. */
  frame(
    x: number,
    y: number,
    width: number,
    height: number,
    style: { colour: Colour; line?: number },
  ): void {
    const { line = 0.5 } = style;
    this.#setStroke(style.colour, line);
    const to = this.#to.number(x + line / 2).number(this.paper.height - y - height + line / 2);
    to.number(width - line)
      .number(height - line)
      .name("re S")
      .end();
  }

  line(
    from: [x: number, y: number],
    to: [x: number, y: number],
    style: { colour?: Colour; line?: number; dash?: readonly number[] } = {},
  ): void {
    const { colour = 0.8, line = 0.5, dash } = style;
    this.#setStroke(colour, line);
    if (dash !== undefined) {
      this.#to.name("[");
      for (const length of dash) this.#to.number(length);
      this.#to.name("] 0 d").end();
    }
    this.#to
      .number(from[0])
      .number(this.paper.height - from[1])
      .name("m ");
    this.#to
      .number(to[0])
      .number(this.paper.height - to[1])
      .name("l S")
      .end();
    if (dash !== undefined) this.#to.name("[] 0 d").end();
  }

  /** A filled polygon. */
  polygon(points: readonly (readonly [x: number, y: number])[], colour: Colour): void {
    this.#setFill(colour);
    for (const [at, [x, y]] of points.entries()) {
      this.#to
        .number(x)
        .number(this.paper.height - y)
        .name(at === 0 ? "m " : "l ");
    }
    this.#to.name("h f").end();
  }

  /**
   * Cells of a grid in one colour, as runs `[row, first column, columns]`. Coordinates are in cells, which keeps
   * thousands of numbers short.
   */
  cells(
    grid: { x: number; y: number; cell: number },
    runs: readonly (readonly [row: number, column: number, columns: number])[],
    colour: Colour,
  ): void {
    if (runs.length === 0) return;
    this.#setFill(colour);
    const { x, y, cell } = grid;
    const to = this.#to;
    to.name("q ")
      .number(cell)
      .name("0 0 ")
      .number(-cell)
      .number(x)
      .number(this.paper.height - y);
    to.name("cm ");
    for (const [row, column, columns] of runs) {
      to.number(column).number(row).number(columns).name("1 re ");
    }
    to.name("f Q").end();
  }

  link(link: Link): void {
    this.links.push(link);
  }

  #setFill(colour: Colour): void {
    if (this.#fill !== null && isSame(this.#fill, colour)) return;
    this.#fill = colour;
    this.#setColour(colour, "g", "rg").end();
  }

  #setStroke(colour: Colour, line: number): void {
    if (this.#stroke !== null && isSame(this.#stroke, colour) && this.#line === line) return;
    this.#stroke = colour;
    this.#line = line;
    this.#setColour(colour, "G ", "RG ").number(line).name("w").end();
  }

  #setColour(colour: Colour, grey: string, rgb: string): Operators {
    if (typeof colour === "number") return this.#to.number(colour).name(grey);
    for (const part of colour) this.#to.name(`${Math.round(part * 1_000) / 1_000} `);
    return this.#to.name(rgb);
  }

  /** The font is part of the graphics state, as colours are. */
  #setFont(name: string, size: number): void {
    if (this.#font === name && this.#fontSize === size) return;
    this.#font = name;
    this.#fontSize = size;
    this.#to.name("/").name(name).name(" ").number(size).name("Tf").end();
  }
}

function isSame(a: Colour, b: Colour): boolean {
  if (typeof a === "number" || typeof b === "number") return a === b;
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2];
}
