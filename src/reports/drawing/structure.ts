/**
 * The logical structure of a report (PDF 32000-1, 14.7): headings, paragraphs, tables and figures in the order in which
 * they are read, for readers that do not see the page. Bounded: beyond the bound, content has no tags.
 */

const MAX_ELEMENTS = 5_000;
/** Left by tables to the headings and paragraphs that follow. */
const RESERVED = 500;

export type ElementType =
  | "Document"
  | "H1"
  | "H2"
  | "H3"
  | "P"
  | "Figure"
  | GroupType
  | "TH"
  | "TD";
export type GroupType = "Table" | "TR";

/** Content of an element: a numbered piece of a page. */
export interface ContentMark {
  page: number;
  id: number;
}

export interface StructureElement {
  type: ElementType;
  kids: (StructureElement | ContentMark)[];
  /** What a figure shows, in words. */
  alt: string | null;
}

export class Structure {
  readonly root: StructureElement = { type: "Document", kids: [], alt: null };
  /** The elements of the numbered pieces of each page. */
  readonly pages: StructureElement[][] = [];
  #left = MAX_ELEMENTS - 1;

  /** Whether so many elements of a table still fit. */
  hasRoom(elements: number): boolean {
    return this.#left - elements >= RESERVED;
  }

  /** Null beyond the bound. */
  add(
    parent: StructureElement,
    type: ElementType,
    alt: string | null = null,
  ): StructureElement | null {
    if (this.#left <= 0) return null;
    this.#left--;
    const element = { type, kids: [], alt };
    parent.kids.push(element);
    return element;
  }

  /** Notes that a piece of a page is content of an element. */
  mark(element: StructureElement, page: number, id: number): void {
    element.kids.push({ page, id });
    this.pages[page] ??= [];
    this.pages[page].push(element);
  }
}
