/** Reads reports back: their text, page by page, their metadata and their structure. */
import {
  decodePDFRawStream,
  PDFArray,
  PDFDict,
  PDFDocument,
  PDFHexString,
  PDFName,
  type PDFPage,
  PDFRawStream,
} from "@cantoo/pdf-lib";

/** One text operator. */
export interface Piece {
  font: "F1" | "F2";
  size: number;
  x: number;
  y: number;
  text: string;
}

export interface ReadPdf {
  document: PDFDocument;
  /** The text operators of each page. */
  pieces: Piece[][];
  /** Text of each page, one text operator per line. */
  pages: string[];
  text: string;
  title: string | undefined;
  /** Original spelling of names that the fonts cannot show. */
  originals: string;
  /** Target URLs of links. */
  links: string[];
  /** Drawing operators of each page, with a character for each byte. */
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
  const pieces = document.getPages().map((page, at) => piecesOf(page, operators[at] ?? ""));
  const pages = pieces.map((list) => list.map(({ text }) => text).join("\n"));
  const info = document.context.lookup(document.context.trailerInfo.Info, PDFDict);
  const names = info.get(PDFName.of("OriginalNames"));
  const links = document.getPages().flatMap((page) =>
    (page.node.Annots()?.asArray() ?? []).map((ref) => {
      const action = page.node.context.lookup(ref, PDFDict).lookup(PDFName.of("A"), PDFDict);
      return String(action.get(PDFName.of("URI"))).slice(1, -1);
    }),
  );
  return {
    document,
    pieces,
    pages,
    text: pages.join("\n"),
    title: document.getTitle(),
    originals: names instanceof PDFHexString ? names.decodeText() : "",
    links,
    operators,
  };
}

const FONT = /\/(F[12]) ([\d.]+) Tf/;
const TEXT = /BT ([\d.-]+) ([\d.-]+) Td \(((?:\\[\s\S]|[^\\)])*)\) Tj ET/;
const EITHER = new RegExp(`${FONT.source}|${TEXT.source}`, "g");

function piecesOf(page: PDFPage, content: string): Piece[] {
  const codes = { F1: codesOf(page, "F1"), F2: codesOf(page, "F2") };
  let font: Piece["font"] = "F1";
  let size = 0;
  const pieces: Piece[] = [];
  for (const [, name, height, x, y, written] of content.matchAll(EITHER)) {
    if (name !== undefined) {
      font = name as Piece["font"]; // as matched
      size = Number(height);
      continue;
    }
    const text = textOf(written ?? "", codes[font]).trimEnd();
    pieces.push({ font, size, x: Number(x), y: Number(y), text });
  }
  return pieces;
}

/** The text of a literal string with two bytes a character. */
function textOf(written: string, codes: ReadonlyMap<number, string>): string {
  const bytes = written.replaceAll(/\\([\s\S])/g, (_, escaped) =>
    escaped === "r" ? "\r" : escaped,
  );
  let text = "";
  for (let at = 0; at < bytes.length; at += 2) {
    text += codes.get(bytes.charCodeAt(at) * 256 + bytes.charCodeAt(at + 1)) ?? "\ufffd";
  }
  return text;
}

/** Characters by code, as readers find them. */
function codesOf(page: PDFPage, font: string): Map<number, string> {
  const fonts = page.node.Resources()?.lookup(PDFName.of("Font"), PDFDict);
  const stream = fonts?.lookup(PDFName.of(font), PDFDict).lookup(PDFName.of("ToUnicode"));
  if (!(stream instanceof PDFRawStream)) return new Map();
  const map = latin1(decodePDFRawStream(stream).decode());
  const pairs = map.matchAll(/<([0-9A-F]{4})> <([0-9A-F]{4})>/g);
  return new Map(
    [...pairs].map(([, code = "", character = ""]) => [
      Number.parseInt(code, 16),
      String.fromCharCode(Number.parseInt(character, 16)),
    ]),
  );
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
