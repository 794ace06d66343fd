/** Reads reports back: their text, page by page, and their metadata. */
import {
  decodePDFRawStream,
  PDFArray,
  PDFDict,
  PDFDocument,
  PDFHexString,
  PDFName,
  PDFRawStream,
} from "@cantoo/pdf-lib";

export interface ReadPdf {
  /** Text of each page, one text operator per line. */
  pages: string[];
  text: string;
  title: string | undefined;
  /** Original spelling of names that the fonts cannot show. */
  originals: string;
  /** Target URLs of links. */
  links: string[];
  /** Drawing operators of each page. */
  operators: string[];
}

export async function readPdf(bytes: Uint8Array): Promise<ReadPdf> {
  const document = await PDFDocument.load(bytes, { updateMetadata: false });
  const operators = document.getPages().map((page) => {
    const streams = page.node.lookup(PDFName.of("Contents"), PDFArray);
    return Array.from({ length: streams.size() }, (_, at) =>
      latin1(decodePDFRawStream(streams.lookup(at, PDFRawStream)).decode()),
    ).join("");
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

/** Decodes WinAnsi: Latin-1, plus the few other characters that reports use. */
function latin1(bytes: Uint8Array): string {
  const characters: Record<number, string> = { 133: "…", 150: "–", 151: "—", 128: "€" };
  let text = "";
  for (const byte of bytes) text += characters[byte] ?? String.fromCharCode(byte);
  return text;
}
