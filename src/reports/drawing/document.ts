/** The PDF around the pages: fonts, bookmarks, and the tree of tagged elements. */
import type { Canvas } from "./canvas.ts";
import type { Mark } from "./flow.ts";
import { A4, type Paper } from "./paper.ts";
import { asciiString, type PdfFile, type Ref, reference, textString } from "./pdf-file.ts";
import type { ContentMark, Structure, StructureElement } from "./structure.ts";
import type { Type } from "./type.ts";
import type { FontProgram } from "./typeface.ts";

/** Glyphs that are no letters of an alphabet, upright and of different widths (PDF 32000-1, 9.8.2). */
const NONSYMBOLIC = 32;
/** An annotation that is printed with its page (PDF 32000-1, 12.5.3). */
const PRINTED = 4;

/** A page in the file. */
export interface Page {
  ref: Ref;
  height: number;
}

/** Embeds the subset that the pages have used, as a composite font with two bytes a character. */
function embedFont(file: PdfFile, program: FontProgram): Ref {
  const { name, metrics, widths } = program;
  const { box, ascent, descent, capHeight } = metrics;
  const font = file.deflated(program.file, `/Length1 ${program.length}`);
  const descriptor = file.add(
    `<</Type/FontDescriptor/FontName/${name}/Flags ${NONSYMBOLIC}/FontBBox[${box.join(" ")}]/ItalicAngle 0/Ascent ${ascent}/Descent ${descent}/CapHeight ${capHeight}/StemV 80/FontFile2 ${reference(font)}>>`,
  );
  const glyphIds = file.deflated(program.glyphIds);
  const descendant = file.add(
    `<</Type/Font/Subtype/CIDFontType2/BaseFont/${name}/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>/FontDescriptor ${reference(descriptor)}/CIDToGIDMap ${reference(glyphIds)}/W[0[${widths.join(" ")}]]>>`,
  );
  const toUnicode = file.deflated(program.toUnicode);
  return file.add(
    `<</Type/Font/Subtype/Type0/BaseFont/${name}/Encoding/Identity-H/DescendantFonts[${reference(descendant)}]/ToUnicode ${reference(toUnicode)}>>`,
  );
}

/**
 * @param breathe called after each page
 * @returns the pages, and their entry of the catalog
 */
export async function addPages(
  file: PdfFile,
  type: Type,
  canvases: Iterable<Canvas>,
  breathe: () => Promise<void>,
): Promise<{ pages: Page[]; entries: string }> {
  const [tree, resources] = [file.next(), file.next()];
  const pages: Page[] = [];
  for (const canvas of canvases) {
    const { width, height } = canvas.paper;
    const contents = canvas
      .take()
      .map(({ bytes, isDeflated }) =>
        reference(isDeflated ? file.deflated(bytes) : file.stream("", bytes).ref),
      );
    // Keys of the structure's tree are the numbers of the pages.
    const marks = canvas.marks > 0 ? `/StructParents ${pages.length}` : "";
    const links = linksOf(file, canvas);
    const annotations = links.length > 0 ? `/Annots[${links.join(" ")}]` : "";
    const ref = file.add(
      `<</Type/Page/Parent ${reference(tree)}/Resources ${reference(resources)}/MediaBox[0 0 ${width} ${height}]/Contents[${contents.join(" ")}]${marks}/Tabs/S${annotations}>>`,
    );
    pages.push({ ref, height });
    await breathe();
  }
  const kids = pages.map(({ ref }) => reference(ref)).join(" ");
  file.add(`<</Type/Pages/Kids[${kids}]/Count ${pages.length}>>`, tree);
  // The fonts' characters are known once all pages are drawn.
  const { regular, bold } = type.codes;
  const [one, other] = [embedFont(file, regular.program()), embedFont(file, bold.program())];
  file.add(`<</Font<</F1 ${reference(one)}/F2 ${reference(other)}>>>>`, resources);
  return { pages, entries: `/Pages ${reference(tree)}` };
}

function linksOf(file: PdfFile, { links, paper }: Canvas): string[] {
  const shift = shiftOf(paper);
  return links.map(({ x, y, width, height, url }) => {
    const corners = [x + shift, paper.height - y - height, x + shift + width, paper.height - y];
    const rectangle = corners.map((each) => Math.round(each * 100) / 100).join(" ");
    return reference(
      file.add(
        `<</Type/Annot/Subtype/Link/Rect[${rectangle}]/Border[0 0 0]/F ${PRINTED}/Contents${textString(url)}/A<</Type/Action/S/URI/URI${asciiString(url)}>>>>`,
      ),
    );
  });
}

function shiftOf(paper: Paper): number {
  return (paper.width - A4.width) / 2;
}

/**
 * Headings as bookmarks (PDF 32000-1, 12.3.3).
 *
 * @returns their entry of the catalog
 */
export function addOutline(file: PdfFile, pages: readonly Page[], marks: readonly Mark[]): string {
  const outline = file.next();
  const refs = marks.map(() => file.next());
  const [first, last] = [refs[0], refs.at(-1)];
  if (first === undefined || last === undefined) return "";
  const link = (name: string, ref: Ref | undefined) =>
    ref === undefined ? "" : `/${name} ${reference(ref)}`;
  for (const [index, mark] of marks.entries()) {
    const page = pages[mark.page];
    if (page === undefined) throw new Error("A heading is on a page");
    const top = Math.round((page.height - mark.y + 6) * 100) / 100;
    file.add(
      `<</Title${textString(mark.title)}/Parent ${reference(outline)}${link("Prev", refs[index - 1])}${link("Next", refs[index + 1])}/Dest[${reference(page.ref)}/XYZ 0 ${top} 0]>>`,
      refs[index],
    );
  }
  file.add(
    `<</Type/Outlines${link("First", first)}${link("Last", last)}/Count ${refs.length}>>`,
    outline,
  );
  return `/Outlines ${reference(outline)}`;
}

/**
 * The tree of tagged elements (PDF 32000-1, 14.7).
 *
 * @returns its entries of the catalog
 */
export function addStructure(
  file: PdfFile,
  pages: readonly Page[],
  { root, pages: marked }: Structure,
): string {
  const tree = file.next();
  const header = reference(file.add("[<</O/Table/Scope/Column>>]"));
  const refs = new Map<StructureElement, Ref>();
  const refOf = (element: StructureElement) => {
    const ref = refs.get(element) ?? file.next();
    refs.set(element, ref);
    return ref;
  };
  const write = (element: StructureElement, parent: Ref) => {
    const { type, kids, alt } = element;
    const ref = refOf(element);
    const first = kids.find((kid): kid is ContentMark => "page" in kid);
    const items = kids.map((kid) => {
      if (!("page" in kid)) return reference(refOf(kid));
      if (kid.page === first?.page) return String(kid.id);
      return `<</Type/MCR/Pg ${pageOf(pages, kid)}/MCID ${kid.id}>>`;
    });
    const own = first === undefined ? "" : `/Pg ${pageOf(pages, first)}`;
    const said = alt === null ? "" : `/Alt${textString(alt)}`;
    const scope = type === "TH" ? `/A ${header}` : "";
    const list = items.length === 1 ? ` ${items[0]}` : `[${items.join(" ")}]`;
    const inner = items.length === 0 ? "" : `/K${list}`;
    file.add(`<</S/${type}/P ${reference(parent)}${own}${said}${scope}${inner}>>`, ref);
    for (const kid of kids) if (!("page" in kid)) write(kid, ref);
  };
  write(root, tree);
  const numbers = marked.flatMap((elements, page) => {
    const list = elements.map((element) => reference(refOf(element))).join(" ");
    return [page, reference(file.add(`[${list}]`))];
  });
  const parents = file.add(`<</Nums[${numbers.join(" ")}]>>`);
  file.add(
    `<</Type/StructTreeRoot/K ${reference(refOf(root))}/ParentTree ${reference(parents)}/ParentTreeNextKey ${pages.length}>>`,
    tree,
  );
  return `/StructTreeRoot ${reference(tree)}/MarkInfo<</Marked true>>`;
}

function pageOf(pages: readonly Page[], { page }: ContentMark): string {
  const target = pages[page];
  if (target === undefined) throw new Error("A mark is on a page");
  return reference(target.ref);
}
