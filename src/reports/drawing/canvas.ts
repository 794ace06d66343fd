/**
 * One page as content operators (PDF 32000-1, annex A). Points from the top left corner, as one reads.
 * Text is written directly rather than through the library's objects: a large report has 60,000 pieces.
 */
import { showable, winAnsiCode } from "./writing.ts";

export const PAGE_WIDTH = 595.28;
export const PAGE_HEIGHT = 841.89;

/** Grey, or red, green and blue; 0 to 1. */
export type Colour = number | readonly [red: number, green: number, blue: number];
export type Face = "regular" | "bold";
export type Align = "left" | "right" | "centre";

export interface TextStyle {
  size: number;
  face?: Face;
  colour?: Colour;
  align?: Align;
  /** What is wider is cut, and ends in an ellipsis; for texts that stand in full elsewhere. */
  maxWidth?: number;
}

/** Widths of the standard fonts' characters, in thousandths of the size. */
export type Metrics = Record<Face, (sign: string) => number>;

const FONT_NAMES: Record<Face, string> = { regular: "F1", bold: "F2" };

/** Measures text, and remembers what it has measured. */
export class Type {
  readonly #metrics: Metrics;
  readonly #widths: Record<Face, Map<string, number>> = { regular: new Map(), bold: new Map() };
  /** Names that could not be shown as they are: as they are → as shown, which others may share. */
  readonly originals = new Map<string, string>();

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
  }

  /** What the fonts can show of a text; what it was is kept for the document's metadata. */
  show(text: string): string {
    const shown = showable(text);
    if (shown !== text) this.originals.set(text, shown);
    return shown;
  }

  /** @param text as `show` answers it */
  width(text: string, size: number, face: Face = "regular"): number {
    const widths = this.#widths[face];
    let sum = 0;
    for (const sign of text) {
      let width = widths.get(sign);
      if (width === undefined) {
        width = this.#metrics[face](sign);
        widths.set(sign, width);
      }
      sum += width;
    }
    return (sum * size) / 1_000;
  }

  /** As much of a text as this width holds. */
  fit(text: string, maxWidth: number, size: number, face: Face = "regular"): string {
    const shown = this.show(text);
    if (this.width(shown, size, face) <= maxWidth) return shown;
    let fitting = "";
    for (const sign of shown) {
      if (this.width(`${fitting}${sign}…`, size, face) > maxWidth) break;
      fitting += sign;
    }
    return `${fitting.trimEnd()}…`;
  }

  /** Lines of at most this width, broken between words, or within one that is too long alone. */
  wrap(text: string, maxWidth: number, size: number, face: Face = "regular"): string[] {
    const lines: string[] = [];
    for (const paragraph of text.split(/\r?\n/)) {
      const shown = this.show(paragraph);
      if (this.width(shown, size, face) <= maxWidth) {
        lines.push(shown);
        continue;
      }
      let line = "";
      for (const word of shown.split(" ")) {
        const longer = line === "" ? word : `${line} ${word}`;
        if (this.width(longer, size, face) <= maxWidth) {
          line = longer;
          continue;
        }
        if (line !== "") lines.push(line);
        line = this.#breakWord(word, maxWidth, size, face, lines);
      }
      lines.push(line);
    }
    return lines;
  }

  /** Puts full lines of a long word into `lines`; answers what is left of it. */
  #breakWord(word: string, maxWidth: number, size: number, face: Face, lines: string[]): string {
    let line = "";
    for (const sign of word) {
      if (line !== "" && this.width(line + sign, size, face) > maxWidth) {
        lines.push(line);
        line = "";
      }
      line += sign;
    }
    return line;
  }
}

export interface Link {
  x: number;
  y: number;
  width: number;
  height: number;
  url: string;
}

export class Canvas {
  readonly type: Type;
  readonly links: Link[] = [];
  readonly #operators: string[] = [];
  #fill = "";
  #stroke = "";

  constructor(type: Type) {
    this.type = type;
  }

  /** The page's content: one byte per character. */
  content(): Uint8Array {
    const text = this.#operators.join("\n");
    const bytes = new Uint8Array(text.length);
    for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
    return bytes;
  }

  /** One line; `y` is its baseline, `x` its left end, right end or middle. Answers its width. */
  text(text: string, x: number, y: number, style: TextStyle): number {
    const { size, face = "regular", colour = 0.1, align = "left", maxWidth } = style;
    const shown =
      maxWidth === undefined ? this.type.show(text) : this.type.fit(text, maxWidth, size, face);
    const width = this.type.width(shown, size, face);
    const left = align === "left" ? x : align === "right" ? x - width : x - width / 2;
    this.#setFill(colour);
    this.#operators.push(
      `BT /${FONT_NAMES[face]} ${number(size)} Tf ${number(left)} ${number(PAGE_HEIGHT - y)} Td (${encoded(shown)}) Tj ET`,
    );
    return width;
  }

  rectangle(x: number, y: number, width: number, height: number, colour: Colour): void {
    this.#setFill(colour);
    this.#operators.push(
      `${number(x)} ${number(PAGE_HEIGHT - y - height)} ${number(width)} ${number(height)} re f`,
    );
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
    this.#operators.push(
      `${number(x + line / 2)} ${number(PAGE_HEIGHT - y - height + line / 2)} ${number(width - line)} ${number(height - line)} re S`,
    );
  }

  line(
    from: [x: number, y: number],
    to: [x: number, y: number],
    style: { colour?: Colour; line?: number; dash?: readonly number[] } = {},
  ): void {
    const { colour = 0.8, line = 0.5, dash } = style;
    this.#setStroke(colour, line);
    if (dash !== undefined) this.#operators.push(`[${dash.map(number).join(" ")}] 0 d`);
    this.#operators.push(
      `${number(from[0])} ${number(PAGE_HEIGHT - from[1])} m ${number(to[0])} ${number(PAGE_HEIGHT - to[1])} l S`,
    );
    if (dash !== undefined) this.#operators.push("[] 0 d");
  }

  /** A filled polygon. */
  polygon(points: readonly (readonly [x: number, y: number])[], colour: Colour): void {
    this.#setFill(colour);
    const path = points.map(
      ([x, y], at) => `${number(x)} ${number(PAGE_HEIGHT - y)} ${at === 0 ? "m" : "l"}`,
    );
    this.#operators.push(`${path.join(" ")} h f`);
  }

  /**
   * Cells of a grid in one colour, given as runs `[row, first column, columns]`: the grid's own unit is a
   * cell, which keeps the thousands of numbers short.
   */
  cells(
    grid: { x: number; y: number; cell: number },
    runs: readonly (readonly [row: number, column: number, columns: number])[],
    colour: Colour,
  ): void {
    if (runs.length === 0) return;
    this.#setFill(colour);
    const { x, y, cell } = grid;
    const path = runs.map(([row, column, columns]) => `${column} ${row} ${columns} 1 re`);
    this.#operators.push(
      `q ${number(cell)} 0 0 ${number(-cell)} ${number(x)} ${number(PAGE_HEIGHT - y)} cm ${path.join(" ")} f Q`,
    );
  }

  link(link: Link): void {
    this.links.push(link);
  }

  #setFill(colour: Colour): void {
    const operator = typeof colour === "number" ? `${number(colour)} g` : `${rgb(colour)} rg`;
    if (operator !== this.#fill) this.#operators.push(operator);
    this.#fill = operator;
  }

  #setStroke(colour: Colour, line: number): void {
    const set = typeof colour === "number" ? `${number(colour)} G` : `${rgb(colour)} RG`;
    const operator = `${set} ${number(line)} w`;
    if (operator !== this.#stroke) this.#operators.push(operator);
    this.#stroke = operator;
  }
}

/** Hundredths of a point are finer than any printer. */
function number(value: number): string {
  return String(Math.round(value * 100) / 100);
}

function rgb(colour: readonly number[]): string {
  return colour.map((part) => String(Math.round(part * 1_000) / 1_000)).join(" ");
}

/** A literal string, one character for each byte of WinAnsi. */
function encoded(text: string): string {
  let bytes = "";
  for (const sign of text) {
    const code = winAnsiCode(sign) ?? 0x3f;
    bytes +=
      code === 0x28 || code === 0x29 || code === 0x5c ? `\\${sign}` : String.fromCharCode(code);
  }
  return bytes;
}
