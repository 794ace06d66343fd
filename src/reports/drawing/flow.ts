/** Pages filled from top to bottom: a cursor, headings, paragraphs, and the head and foot of every page. */
import { Canvas } from "./canvas.ts";
import { A4, type Paper } from "./paper.ts";
import type { PdfFile, Ref } from "./pdf-file.ts";
import { type ElementType, type GroupType, Structure, type StructureElement } from "./structure.ts";
import { INK, PALE_WARNING, RULE, SIZE, SOFT, WARNING } from "./theme.ts";
import type { Type } from "./type.ts";

export const LEFT = 45;
export const RIGHT = A4.width - LEFT;
export const WIDTH = RIGHT - LEFT;
const TOP = 40;
/** The running head, from the second page on. */
const HEAD = 20;
const FOOT = 52;
/** Distance of lines, in sizes of their type. */
const LEADING = 1.38;

/** A bookmark of the document's outline. */
export interface Mark {
  title: string;
  page: number;
  y: number;
}

export interface FlowPage {
  ref: Ref;
  /** What is drawn since the last of its contents. */
  canvas: Canvas;
  /** Streams in the file, to be read one after the other. */
  contents: Ref[];
}

export class Flow {
  readonly type: Type;
  readonly pages: FlowPage[] = [];
  readonly marks: Mark[] = [];
  /** The top of the next element. */
  y = 0;
  readonly structure: Structure;
  readonly #file: PdfFile;
  readonly #paper: Paper;
  readonly #notices: readonly string[];
  readonly #running: string;
  /** The element that new elements belong to; null for none beyond the bound of elements. */
  #parent: StructureElement | null;
  /** The element whose content is being drawn; `plain` beyond the bound of elements, null for none. */
  #element: StructureElement | "plain" | null = null;

  /**
   * @param file gets each page's content as soon as the next one begins
   * @param notices printed on top of every page, for readers of a single page
   * @param running the running head, from the second page on
   */
  constructor(
    file: PdfFile,
    type: Type,
    { paper, notices, running }: { paper: Paper; notices: readonly string[]; running: string },
  ) {
    this.#file = file;
    this.structure = new Structure(file);
    this.#parent = this.structure.root;
    this.type = type;
    this.#paper = paper;
    this.#notices = notices;
    this.#running = running;
    this.newPage();
  }

  get #page(): FlowPage {
    const page = this.pages.at(-1);
    if (page === undefined) throw new Error("A flow has at least one page");
    return page;
  }

  get canvas(): Canvas {
    return this.#page.canvas;
  }

  newPage(): void {
    const last = this.pages.at(-1);
    last?.contents.push(this.#file.deflated(last.canvas.take()));
    const canvas = new Canvas(this.type, this.#paper);
    this.pages.push({ ref: this.#file.next(), canvas, contents: [] });
    this.y = TOP;
    if (this.pages.length > 1) {
      const style = { size: SIZE.small, colour: SOFT, maxWidth: WIDTH - 90 };
      canvas.text(this.#running, LEFT, this.y, style);
      canvas.text("Assay", RIGHT, this.y, { size: SIZE.small, face: "bold", align: "right" });
      canvas.line([LEFT, this.y + 6], [RIGHT, this.y + 6], { colour: RULE });
      this.y += HEAD;
    }
    this.#writeNotices(canvas);
    this.#resume();
  }

  /** Draws content of an element of its own, which may continue on other pages. */
  content(type: Exclude<ElementType, GroupType>, draw: () => void, alt?: string): void {
    const element = this.#parent && this.structure.add(this.#parent, type, alt);
    this.#element = element ?? "plain";
    this.#resume();
    draw();
    this.#element = null;
    this.canvas.endContent();
    if (element !== null) this.structure.close(element);
  }

  /** Draws elements that belong together. */
  group(type: GroupType, draw: () => void, isTagged = true): void {
    const parent = this.#parent;
    const group = parent && isTagged ? this.structure.add(parent, type) : null;
    this.#parent = group;
    draw();
    this.#parent = parent;
    if (group !== null) this.structure.close(group);
  }

  /** Content of the open element that follows on this page. */
  #resume(): void {
    const element = this.#element;
    if (element === null) return;
    if (element === "plain") this.canvas.beginPlain();
    else {
      const page = { index: this.pages.length - 1, ref: this.#page.ref };
      this.structure.mark(element, page, this.canvas.beginContent(element.type));
    }
  }

  /** Begins a new page unless this much room is left. */
  need(height: number): void {
    if (height > this.room) this.newPage();
  }

  /** The room of a page without notices. */
  get pageHeight(): number {
    return this.#paper.height - FOOT - TOP - HEAD;
  }

  get room(): number {
    return this.#paper.height - FOOT - this.y;
  }

  skip(height: number): void {
    this.y += height;
  }

  /** @param needed height of the following content that must be on the same page */
  heading(title: string, needed: number, note?: string): void {
    const before = this.y > TOP + 60 ? 16 : 4;
    const noteStyle = { colour: SOFT, size: SIZE.small };
    const below = note === undefined ? 0 : this.heightOf(note, noteStyle.size);
    this.need(before + 25 + below + needed);
    this.y += before;
    this.marks.push({ title, page: this.pages.length - 1, y: this.y });
    const { canvas } = this;
    canvas.line([LEFT, this.y], [RIGHT, this.y], { colour: INK, line: 0.8 });
    this.content("H2", () => {
      canvas.text(title, LEFT, this.y + 15, { size: SIZE.heading, face: "bold" });
    });
    this.y += 22;
    if (note !== undefined) this.paragraph(note, noteStyle);
    this.y += 3;
  }

  /** Of a paragraph. */
  heightOf(text: string, size: number = SIZE.text): number {
    return this.type.wrap(text, WIDTH, size).length * size * LEADING;
  }

  subheading(title: string, needed: number): void {
    this.need(20 + needed);
    const style = { size: SIZE.text, face: "bold" as const, maxWidth: WIDTH };
    this.content("H3", () => this.canvas.text(title, LEFT, this.y + 10, style));
    this.y += 15;
  }

  paragraph(
    text: string,
    style: { size?: number; colour?: number; face?: "regular" | "bold"; indent?: number } = {},
  ): void {
    const { size = SIZE.text, indent = 0, face = "regular", colour = INK } = style;
    const leading = size * LEADING;
    this.need(leading);
    this.content("P", () => {
      for (const line of this.type.wrap(text, WIDTH - indent, size, face)) {
        this.need(leading);
        this.canvas.text(line, LEFT + indent, this.y + size, { size, face, colour });
        this.y += leading;
      }
    });
  }

  /** Writes the foot of each page and answers it, once the number of pages is final. */
  *finish(left: string, middle: string): Generator<FlowPage> {
    for (const [index, page] of this.pages.entries()) {
      const { canvas } = page;
      const y = this.#paper.height - 30;
      const style = { size: SIZE.tiny, colour: SOFT };
      canvas.line([LEFT, y - 10], [RIGHT, y - 10], { colour: RULE });
      canvas.text(left, LEFT, y, style);
      canvas.text(middle, A4.width / 2 + 20, y, { ...style, align: "centre" });
      canvas.text(`Page ${index + 1} of ${this.pages.length}`, RIGHT, y, {
        ...style,
        align: "right",
      });
      yield page;
    }
  }

  #writeNotices(canvas: Canvas): void {
    if (this.#notices.length === 0) return;
    const size = SIZE.small;
    const lines = this.#notices.flatMap((notice) =>
      this.type.wrap(notice, WIDTH - 20, size, "bold"),
    );
    const height = lines.length * 10 + 7;
    canvas.rectangle(LEFT, this.y - 8, WIDTH, height, PALE_WARNING);
    canvas.rectangle(LEFT, this.y - 8, 3, height, WARNING);
    for (const [index, line] of lines.entries()) {
      canvas.text(line, LEFT + 10, this.y + 2 + index * 10, {
        size,
        face: "bold",
        colour: WARNING,
      });
    }
    this.y += height + 4;
  }
}
