/** The PDF around the pages: fonts, links and bookmarks. */
import type { Canvas } from "./canvas.ts";
import type { Flow, FlowPage } from "./flow.ts";
import { A4, type Paper } from "./paper.ts";
import { asciiString, type PdfFile, type Ref, reference, textString } from "./pdf-file.ts";
import type { Type } from "./type.ts";
import type { FontProgram } from "./typeface.ts";

/** Glyphs that are no letters of an alphabet, upright and of different widths (PDF 32000-1, 9.8.2). */
const NONSYMBOLIC = 32;
/** An annotation that is printed with its page (PDF 32000-1, 12.5.3). */
const PRINTED = 4;

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
 * @returns their entry of the catalog
 */
export async function addPages(
  file: PdfFile,
  type: Type,
  drawn: Iterable<FlowPage>,
  breathe: () => Promise<void>,
): Promise<string> {
  const [tree, resources] = [file.next(), file.next()];
  const refs: Ref[] = [];
  for (const { ref, canvas, contents } of drawn) {
    const { width, height } = canvas.paper;
    // The last page has no content yet; of others, the foot is left.
    const rest =
      contents.length === 0
        ? file.deflated(canvas.take())
        : file.stream("", canvas.takePlain()).ref;
    const streams = [...contents, rest].map(reference).join(" ");
    // Keys of the structure's tree are the numbers of the pages.
    const marks = canvas.marks > 0 ? `/StructParents ${refs.length}` : "";
    const links = linksOf(file, canvas);
    const annotations = links.length > 0 ? `/Annots[${links.join(" ")}]` : "";
    file.add(
      `<</Type/Page/Parent ${reference(tree)}/Resources ${reference(resources)}/MediaBox[0 0 ${width} ${height}]/Contents[${streams}]${marks}/Tabs/S${annotations}>>`,
      ref,
    );
    refs.push(ref);
    await breathe();
  }
  const kids = refs.map(reference).join(" ");
  file.add(`<</Type/Pages/Kids[${kids}]/Count ${refs.length}>>`, tree);
  // The fonts' characters are known once all pages are drawn.
  const { regular, bold } = type.codes;
  const [one, other] = [embedFont(file, regular.program()), embedFont(file, bold.program())];
  file.add(`<</Font<</F1 ${reference(one)}/F2 ${reference(other)}>>>>`, resources);
  return `/Pages ${reference(tree)}`;
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
export function addOutline(file: PdfFile, { pages, marks }: Flow): string {
  const outline = file.next();
  const refs = marks.map(() => file.next());
  const [first, last] = [refs[0], refs.at(-1)];
  if (first === undefined || last === undefined) return "";
  const link = (name: string, ref: Ref | undefined) =>
    ref === undefined ? "" : `/${name} ${reference(ref)}`;
  for (const [index, mark] of marks.entries()) {
    const page = pages[mark.page];
    if (page === undefined) throw new Error("A heading is on a page");
    const top = Math.round((page.canvas.paper.height - mark.y + 6) * 100) / 100;
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
