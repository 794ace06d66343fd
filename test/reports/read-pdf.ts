/** Reads reports back: their text, page by page, and their metadata. */
import {
  decodePDFRawStream,
  PDFDict,
  PDFDocument,
  PDFHexString,
  PDFName,
  PDFRawStream,
} from "@cantoo/pdf-lib";

export interface ReadPdf {
  /** What stands on each page, one piece of text after the other. */
  pages: string[];
  text: string;
  title: string | undefined;
  /** Names as they were, where the fonts could not show them. */
  originals: string;
  /** Addresses that links lead to. */
  links: string[];
  /** Drawing operators of each page. */
  operators: string[];
}

export async function readPdf(bytes: Uint8Array): Promise<ReadPdf> {
  const document = await PDFDocument.load(bytes, { updateMetadata: false });
  const operators = document.getPages().map((page) => {
    const contents = page.node.context.lookup(page.node.get(PDFName.of("Contents")));
    if (!(contents instanceof PDFRawStream)) throw new Error("a page has one stream of content");
    return latin1(decodePDFRawStream(contents).decode());
  });
  const pages = operators.map((content) =>
    [...content.matchAll(/\(((?:\\.|[^\\)])*)\) Tj/g)]
      .map(([, text = ""]) => text.replaceAll(/\\(.)/g, "$1"))
      .join("\n"),
  );
  const info = document.context.lookup(document.context.trailerInfo.Info, PDFDict);
  const names = info.get(PDFName.of("OriginalNames"));
  const links = document.getPages().flatMap((page) =>
    (page.node.Annots()?.asArray() ?? []).map((ref) => {
      const action = page.node.context.lookup(ref, PDFDict).lookup(PDFName.of("A"), PDFDict);
      return String(action.get(PDFName.of("URI"))).slice(1, -1);
    }),
  );
  return {
    pages,
    text: pages.join("\n"),
    title: document.getTitle(),
    originals: names instanceof PDFHexString ? names.decodeText() : "",
    links,
    operators,
  };
}

/** WinAnsi is Latin-1 but for a few signs; those that reports use are read as what they are. */
function latin1(bytes: Uint8Array): string {
  const signs: Record<number, string> = { 133: "…", 150: "–", 151: "—", 128: "€" };
  let text = "";
  for (const byte of bytes) text += signs[byte] ?? String.fromCharCode(byte);
  return text;
}
