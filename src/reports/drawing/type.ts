/** The type of a report: which characters there are, and how wide text is. */
import { type Codes, type Face, isDrawn, type Typefaces } from "./typeface.ts";
import { toPrintable } from "./writing.ts";

/** A digit, and a short word behind it, such as "%", "GB" or "ms". */
const UNIT = /^\d (?:[%a-zA-Zµ°]{1,3})(?![a-zA-Z])/;
const MAX_UNIT = 5;

/** Measures text, and caches the widths of characters. */
export class Type {
  readonly #typefaces: Typefaces;
  /** The characters used so far. */
  readonly codes: Record<Face, Codes>;
  /** By code: a character of the fonts is one code unit. */
  readonly #widths: Record<Face, Map<number, number>> = { regular: new Map(), bold: new Map() };
  /** Texts with characters missing from the fonts: original → transliteration, which several may share. */
  readonly originals = new Map<string, string>();
  /** Characters that the report's tables may still show. */
  charactersLeft: number;

  constructor(typefaces: Typefaces, maxCharacters: number) {
    this.#typefaces = typefaces;
    this.codes = { regular: typefaces.regular.codes(), bold: typefaces.bold.codes() };
    this.charactersLeft = maxCharacters;
  }

  readonly #isDrawn = (codePoint: number) => isDrawn(this.#typefaces, codePoint);

  /** A text in the fonts' characters; the document's metadata keeps the original. */
  show(text: string): string {
    const printable = toPrintable(text, this.#isDrawn);
    if (printable !== text) this.originals.set(text, printable);
    return printable;
  }

  /** @param text an answer of `show` */
  width(text: string, size: number, face: Face = "regular"): number {
    let sum = 0;
    for (let at = 0; at < text.length; at++) sum += this.#widthAt(text, at, face);
    return (sum * size) / 1_000;
  }

  /** In thousandths of the size. */
  #widthAt(text: string, at: number, face: Face): number {
    const widths = this.#widths[face];
    const code = text.charCodeAt(at);
    let width = widths.get(code);
    if (width === undefined) {
      width = this.#typefaces[face].widthOf(code);
      widths.set(code, width);
    }
    return width;
  }

  /** The beginning of a text that fits this width. */
  fit(text: string, maxWidth: number, size: number, face: Face = "regular"): string {
    const printable = this.show(text);
    if (this.width(printable, size, face) <= maxWidth) return printable;
    const end = this.#reach(printable, 0, maxWidth - this.width("…", size, face), size, face);
    return `${printable.slice(0, end).trimEnd()}…`;
  }

  /** The end of the part from `start` that is at most this wide. */
  #reach(text: string, start: number, maxWidth: number, size: number, face: Face): number {
    const most = (maxWidth * 1_000) / size;
    let sum = 0;
    for (let at = start; at < text.length; at++) {
      sum += this.#widthAt(text, at, face);
      if (sum > most) return at;
    }
    return text.length;
  }

  /** Lines of at most this width, broken between words, or within a word that is longer than a line. */
  wrap(text: string, maxWidth: number, size: number, face: Face = "regular"): string[] {
    if (!text.includes("\n")) return this.#wrapParagraph(this.show(text), maxWidth, size, face);
    return text
      .split(/\r?\n/)
      .flatMap((paragraph) => this.#wrapParagraph(this.show(paragraph), maxWidth, size, face));
  }

  #wrapParagraph(text: string, maxWidth: number, size: number, face: Face): string[] {
    const lines: string[] = [];
    let start = 0;
    for (;;) {
      const end = this.#reach(text, start, maxWidth, size, face);
      if (end === text.length) break;
      // The space after a full line is not shown.
      let space = text.lastIndexOf(" ", end);
      // A number and its unit stay together.
      if (UNIT.test(text.slice(space - 1, space + MAX_UNIT))) {
        const before = text.lastIndexOf(" ", space - 1);
        if (before > start) space = before;
      }
      const isLongWord = space <= start;
      const next = isLongWord ? Math.max(end, start + 1) : space + 1;
      lines.push(text.slice(start, isLongWord ? next : space));
      start = next;
    }
    lines.push(text.slice(start));
    return lines;
  }
}
