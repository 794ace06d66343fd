/**
 * The logical structure of a report (PDF 32000-1, 14.7): headings, paragraphs, tables and figures in the order in which
 * they are read, for readers that do not see the page. Bounded: beyond the bound, content has no tags. An element is
 * written as soon as it is whole, so that thousands of them are never in memory.
 */
import { type PdfFile, type Ref, reference, textString } from "./pdf-file.ts";

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

/** An element that is not whole yet. */
export interface StructureElement {
  readonly type: ElementType;
  readonly ref: Ref;
  readonly parent: Ref;
  /** What a figure shows, in words. */
  readonly alt: string | null;
  /** Its elements and pieces of content, in PDF's syntax. */
  readonly kids: string[];
  /** The page of its first piece; null without any. */
  page: Ref | null;
}

/** A page, by its index and its number in the file. */
export interface PagePlace {
  index: number;
  ref: Ref;
}

export class Structure {
  readonly root: StructureElement;
  readonly #file: PdfFile;
  readonly #tree: Ref;
  /** Attributes of a heading cell. */
  readonly #header: string;
  /** The elements of the numbered pieces of each page. */
  readonly #pages: Ref[][] = [];
  #left = MAX_ELEMENTS - 1;

  constructor(file: PdfFile) {
    this.#file = file;
    this.#tree = file.next();
    this.#header = reference(file.add("[<</O/Table/Scope/Column>>]"));
    this.root = this.#open("Document", this.#tree, null);
  }

  /** Whether so many elements of a table still fit. */
  hasRoom(elements: number): boolean {
    return this.#left - elements >= RESERVED;
  }

  /** Begins an element; null beyond the bound. */
  add(
    parent: StructureElement,
    type: ElementType,
    alt: string | null = null,
  ): StructureElement | null {
    if (this.#left <= 0) return null;
    this.#left--;
    const element = this.#open(type, parent.ref, alt);
    parent.kids.push(reference(element.ref));
    return element;
  }

  /** Notes that a piece of a page is content of an element. */
  mark(element: StructureElement, page: PagePlace, id: number): void {
    element.page ??= page.ref;
    element.kids.push(
      element.page === page.ref ? String(id) : `<</Type/MCR/Pg ${reference(page.ref)}/MCID ${id}>>`,
    );
    this.#pages[page.index] ??= [];
    this.#pages[page.index]?.push(element.ref);
  }

  /** Writes an element that is whole. */
  close({ type, ref, parent, alt, kids, page }: StructureElement): void {
    const on = page === null ? "" : `/Pg ${reference(page)}`;
    const said = alt === null ? "" : `/Alt${textString(alt)}`;
    const scope = type === "TH" ? `/A ${this.#header}` : "";
    const list = kids.length === 1 ? ` ${kids[0]}` : `[${kids.join(" ")}]`;
    const inner = kids.length === 0 ? "" : `/K${list}`;
    this.#file.add(`<</S/${type}/P ${reference(parent)}${on}${said}${scope}${inner}>>`, ref);
  }

  /**
   * Writes the rest of the tree.
   *
   * @returns its entries of the catalog
   */
  end(): string {
    this.close(this.root);
    const file = this.#file;
    // Keys are the numbers of the pages.
    const numbers = this.#pages.flatMap((refs, page) => [
      page,
      reference(file.add(`[${refs.map(reference).join(" ")}]`)),
    ]);
    const parents = file.add(`<</Nums[${numbers.join(" ")}]>>`);
    file.add(
      `<</Type/StructTreeRoot/K ${reference(this.root.ref)}/ParentTree ${reference(parents)}/ParentTreeNextKey ${this.#pages.length}>>`,
      this.#tree,
    );
    return `/StructTreeRoot ${reference(this.#tree)}/MarkInfo<</Marked true>>`;
  }

  #open(type: ElementType, parent: Ref, alt: string | null): StructureElement {
    return { type, ref: this.#file.next(), parent, alt, kids: [], page: null };
  }
}
