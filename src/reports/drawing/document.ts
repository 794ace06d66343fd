/** The PDF around the pages: fonts, structure, bookmarks, metadata, and what PDF/A-3b asks for. */
import {
  PDFDict,
  type PDFDocument,
  PDFHexString,
  PDFName,
  type PDFObject,
  type PDFPage,
  type PDFRef,
  PDFString,
} from "@cantoo/pdf-lib";
import type { Canvas } from "./canvas.ts";
import type { Mark } from "./flow.ts";
import { A4, type Paper } from "./paper.ts";
import type { ContentMark, Structure, StructureElement } from "./structure.ts";
import type { Type } from "./type.ts";
import type { FontProgram } from "./typeface.ts";

/** Bound of the metadata that keeps the originals of transliterated texts. */
const MAX_ORIGINALS_LENGTH = 10_000;
/** Glyphs that are no letters of an alphabet, upright and of different widths (PDF 32000-1, 9.8.2). */
const NONSYMBOLIC = 32;
/** An annotation that is printed with its page (PDF 32000-1, 12.5.3). */
const PRINTED = 4;

export interface Described {
  title: string;
  subject: string;
  /** Of the content: 64 hexadecimal digits. */
  hash: string;
  release: string;
  /** ms */
  at: number;
}

/** Embeds the subset that the pages have used, as a composite font with two bytes a character. */
function embedFont({ context }: PDFDocument, program: FontProgram): PDFRef {
  const { name, metrics, widths } = program;
  const deflated = { Filter: "FlateDecode" };
  const descriptor = context.obj({
    Type: "FontDescriptor",
    FontName: name,
    Flags: NONSYMBOLIC,
    FontBBox: metrics.box,
    ItalicAngle: 0,
    Ascent: metrics.ascent,
    Descent: metrics.descent,
    CapHeight: metrics.capHeight,
    StemV: 80,
    FontFile2: context.register(
      context.stream(program.file, { ...deflated, Length1: program.length }),
    ),
  });
  const descendant = context.obj({
    Type: "Font",
    Subtype: "CIDFontType2",
    BaseFont: name,
    CIDSystemInfo: {
      Registry: PDFString.of("Adobe"),
      Ordering: PDFString.of("Identity"),
      Supplement: 0,
    },
    FontDescriptor: context.register(descriptor),
    CIDToGIDMap: context.register(context.stream(program.glyphIds, deflated)),
    W: [0, widths],
  });
  return context.register(
    context.obj({
      Type: "Font",
      Subtype: "Type0",
      BaseFont: name,
      Encoding: "Identity-H",
      DescendantFonts: [context.register(descendant)],
      ToUnicode: context.register(context.stream(program.toUnicode, deflated)),
    }),
  );
}

/** @param breathe called after each page */
export async function addPages(
  document: PDFDocument,
  type: Type,
  canvases: Iterable<Canvas>,
  breathe: () => Promise<void>,
): Promise<PDFPage[]> {
  const { context } = document;
  const resources = context.nextRef();
  const pages: PDFPage[] = [];
  for (const canvas of canvases) {
    const { width, height } = canvas.paper;
    const page = document.addPage([width, height]);
    const contents = canvas
      .take()
      .map((bytes) => context.register(context.stream(bytes, { Filter: "FlateDecode" })));
    page.node.set(PDFName.of("Contents"), context.obj(contents));
    page.node.set(PDFName.of("Resources"), resources);
    // Keys of the structure's tree are the numbers of the pages.
    if (canvas.marks > 0) page.node.set(PDFName.of("StructParents"), context.obj(pages.length));
    page.node.set(PDFName.of("Tabs"), PDFName.of("S"));
    const links = linksOf(document, canvas);
    if (links.length > 0) page.node.set(PDFName.of("Annots"), context.obj(links));
    pages.push(page);
    await breathe();
  }
  // The fonts' characters are known once all pages are drawn.
  const { regular, bold } = type.codes;
  const fonts = {
    F1: embedFont(document, regular.program()),
    F2: embedFont(document, bold.program()),
  };
  context.assign(resources, context.obj({ Font: fonts }));
  return pages;
}

function linksOf({ context }: PDFDocument, { links, paper }: Canvas): PDFRef[] {
  const shift = shiftOf(paper);
  return links.map(({ x, y, width, height, url }) =>
    context.register(
      context.obj({
        Type: "Annot",
        Subtype: "Link",
        Rect: [x + shift, paper.height - y - height, x + shift + width, paper.height - y],
        Border: [0, 0, 0],
        F: PRINTED,
        Contents: PDFHexString.fromText(url),
        A: { Type: "Action", S: "URI", URI: PDFString.of(url) },
      }),
    ),
  );
}

function shiftOf(paper: Paper): number {
  return (paper.width - A4.width) / 2;
}

/** Headings as bookmarks (PDF 32000-1, 12.3.3). */
export function addOutline(
  document: PDFDocument,
  pages: readonly PDFPage[],
  marks: readonly Mark[],
): void {
  const { context, catalog } = document;
  const outline = context.nextRef();
  const refs = marks.map(() => context.nextRef());
  const at = (index: number): { [key: string]: PDFRef } => {
    const previous = refs[index - 1];
    const next = refs[index + 1];
    return { ...(previous && { Prev: previous }), ...(next && { Next: next }) };
  };
  for (const [index, mark] of marks.entries()) {
    const page = pages[mark.page];
    const ref = refs[index];
    if (page === undefined || ref === undefined) continue;
    const top = page.getHeight() - mark.y + 6;
    context.assign(
      ref,
      context.obj({
        Title: PDFHexString.fromText(mark.title),
        Parent: outline,
        ...at(index),
        Dest: [page.ref, "XYZ", 0, top, 0],
      }),
    );
  }
  const [first, last] = [refs[0], refs.at(-1)];
  if (first === undefined || last === undefined) return;
  context.assign(
    outline,
    context.obj({ Type: "Outlines", First: first, Last: last, Count: refs.length }),
  );
  catalog.set(PDFName.of("Outlines"), outline);
}

/** The tree of tagged elements (PDF 32000-1, 14.7). */
export function addStructure(
  document: PDFDocument,
  pages: readonly PDFPage[],
  { root, pages: marked }: Structure,
): void {
  const { context, catalog } = document;
  const tree = context.nextRef();
  const header = context.register(context.obj([{ O: "Table", Scope: "Column" }]));
  const refs = new Map<StructureElement, PDFRef>();
  const refOf = (element: StructureElement) => {
    const ref = refs.get(element) ?? context.nextRef();
    refs.set(element, ref);
    return ref;
  };
  const write = (element: StructureElement, parent: PDFRef) => {
    const { type, kids, alt } = element;
    const ref = refOf(element);
    const first = kids.find((kid): kid is ContentMark => "page" in kid);
    const own = first && pages[first.page];
    const items = kids.flatMap((kid): (PDFObject | number)[] => {
      if (!("page" in kid)) return [refOf(kid)];
      if (kid.page === first?.page) return [kid.id];
      const other = pages[kid.page];
      if (other === undefined) return [];
      return [context.obj({ Type: "MCR", Pg: other.ref, MCID: kid.id })];
    });
    const [only] = items;
    context.assign(
      ref,
      context.obj({
        S: type,
        P: parent,
        ...(own && { Pg: own.ref }),
        ...(alt !== null && { Alt: PDFHexString.fromText(alt) }),
        ...(type === "TH" && { A: header }),
        ...(items.length > 0 && {
          K: items.length === 1 && only !== undefined ? only : items,
        }),
      }),
    );
    for (const kid of kids) if (!("page" in kid)) write(kid, ref);
  };
  write(root, tree);
  const numbers = marked.flatMap((elements, page) => [
    page,
    context.register(context.obj(elements.map(refOf))),
  ]);
  const parents = context.register(context.obj({ Nums: numbers }));
  context.assign(
    tree,
    context.obj({
      Type: "StructTreeRoot",
      K: refOf(root),
      ParentTree: parents,
      ParentTreeNextKey: pages.length,
    }),
  );
  catalog.set(PDFName.of("StructTreeRoot"), tree);
  catalog.set(PDFName.of("MarkInfo"), context.obj({ Marked: true }));
}

/** Writes the metadata, with the times of the data, so that the same data makes the same bytes; then those of PDF/A-3b. */
export function describe(
  document: PDFDocument,
  { title, subject, hash, release, at }: Described,
  originals: ReadonlyMap<string, string>,
): void {
  const { context } = document;
  document.setTitle(title, { showInWindowTitleBar: true });
  document.setAuthor("Assay");
  document.setSubject(subject);
  document.setCreator(`Assay ${release}`);
  document.setProducer("Assay, pdf-lib");
  document.setLanguage("en");
  document.setCreationDate(new Date(at));
  document.setModificationDate(new Date(at));
  const id = PDFHexString.of(hash.slice(0, 32));
  context.trailerInfo.ID = context.obj([id, id]);
  if (originals.size > 0) {
    const names = [...originals].map(([original, text]) => `${text} = ${original}`).join("\n");
    const info = context.lookup(context.trailerInfo.Info, PDFDict);
    info.set(
      PDFName.of("OriginalNames"),
      PDFHexString.of(utf16Hex(names.slice(0, MAX_ORIGINALS_LENGTH))),
    );
  }
  document.convertToPDFA({ conformance: "3B" });
}

/** UTF-16 with its mark (PDF 32000-1, 7.9.2.2). The library's own conversion takes 60 bytes of memory a character. */
function utf16Hex(text: string): string {
  return Buffer.from(`\ufeff${text}`, "utf16le").swap16().toString("hex").toUpperCase();
}
