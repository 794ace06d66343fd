/**
 * Draws a report. Imported only dynamically, so that no other request loads the PDF library and the tables of
 * transliteration.
 */
import {
  PDFDict,
  PDFDocument,
  type PDFFont,
  PDFHexString,
  PDFName,
  type PDFPage,
  type PDFRef,
  PDFString,
  StandardFonts,
} from "@cantoo/pdf-lib";
import type { ReportData } from "../report-data.ts";
import { attachData } from "./attachment.ts";
import { type Canvas, PAGE_HEIGHT, PAGE_WIDTH } from "./canvas.ts";
import { Flow, type Mark } from "./flow.ts";
import { noticesOf } from "./notices.ts";
import { checking } from "./sections/checking.ts";
import { identity, title, verdictPanel } from "./sections/cover.ts";
import { findings } from "./sections/findings.ts";
import { gpuPairs } from "./sections/gpu-pairs.ts";
import { gpuTable, implausibleReadings, telemetry } from "./sections/gpus.ts";
import { networks } from "./sections/network.ts";
import { baselines, distributions, isLong, nodeTable } from "./sections/nodes.ts";
import { events, machines, method, steps } from "./sections/record.ts";
import { type Metrics, Type } from "./type.ts";

/** Bounds of the characters in a report's tables. A job of 256 nodes with 8 GPUs each has about 250,000. */
const MAX_CHARACTERS = { job: 500_000, task: 100_000 };
/** Bound of the metadata that keeps the originals of transliterated texts. */
const MAX_ORIGINALS_LENGTH = 10_000;

export interface DrawOptions {
  /** The content hash printed in the report. */
  hash: string;
  /** The key that signed the data; null or absent for an unsigned report. */
  kid?: string | null;
  /** The data of the report, to be embedded (`signing.ts`). */
  data?: Uint8Array;
  /** Called between sections, to let other requests run. */
  breathe?: () => Promise<void>;
}

/** The report as a PDF: the same bytes for the same data and hash. */
export async function drawReport(data: ReportData, options: DrawOptions): Promise<Uint8Array> {
  const { hash, breathe = () => Promise.resolve() } = options;
  const document = await PDFDocument.create({ updateMetadata: false });
  const fonts = {
    regular: document.embedStandardFont(StandardFonts.Helvetica),
    bold: document.embedStandardFont(StandardFonts.HelveticaBold),
  };
  const { job, subject } = data;
  const type = new Type(metricsOf(fonts), MAX_CHARACTERS[subject.kind]);
  const what = subject.kind === "job" ? `Job ${subject.id}` : `Job ${job.id}, node ${subject.rank}`;
  const flow = new Flow(type, noticesOf(data), `${what}: ${job.name}`);
  const sections = [
    () => title(flow, data),
    () => findings(flow, data),
    () => verdictPanel(flow, data),
    () => identity(flow, data),
    ...(isLong(data) ? [] : [() => nodeTable(flow, data)]),
    () => baselines(flow, data),
    () => distributions(flow, data),
    ...(isLong(data) ? [() => nodeTable(flow, data)] : []),
    () => networks(flow, data),
    () => gpuTable(flow, data),
    () => gpuPairs(flow, data),
    () => telemetry(flow, data),
    () => implausibleReadings(flow, data),
    () => steps(flow, data),
    () => machines(flow, data),
    () => events(flow, data),
    () => method(flow, data),
    () => checking(flow, data, { hash, kid: options.kid ?? null }),
  ];
  for (const section of sections) {
    section();
    await breathe();
  }
  const finished = flow.finish(
    `${what}   Assay ${data.release}`,
    `Content hash ${hash.slice(0, 32)}…`,
  );
  const pages = await addPages(document, fonts, finished, breathe);
  addOutline(document, pages, flow.marks);
  describe(document, data, hash, type.originals);
  if (options.data) attachData(document, options.data, new Date(job.endedAt ?? job.createdAt));
  return document.save({
    addDefaultPage: false,
    updateFieldAppearances: false,
    // Compressing a stream takes a quarter of a megabyte, whatever its size; those of objects save few bytes.
    useObjectStreams: false,
  });
}

function metricsOf(fonts: Record<"regular" | "bold", PDFFont>): Metrics {
  return {
    regular: (character) => fonts.regular.widthOfTextAtSize(character, 1_000),
    bold: (character) => fonts.bold.widthOfTextAtSize(character, 1_000),
  };
}

async function addPages(
  document: PDFDocument,
  fonts: Record<"regular" | "bold", PDFFont>,
  canvases: Iterable<Canvas>,
  breathe: () => Promise<void>,
): Promise<PDFPage[]> {
  const { context } = document;
  const resources = context.register(
    context.obj({ Font: { F1: fonts.regular.ref, F2: fonts.bold.ref } }),
  );
  const pages: PDFPage[] = [];
  for (const canvas of canvases) {
    const page = document.addPage([PAGE_WIDTH, PAGE_HEIGHT]);
    const contents = canvas
      .take()
      .map((bytes) => context.register(context.stream(bytes, { Filter: "FlateDecode" })));
    page.node.set(PDFName.of("Contents"), context.obj(contents));
    page.node.set(PDFName.of("Resources"), resources);
    const links = canvas.links.map(({ x, y, width, height, url }) =>
      context.register(
        context.obj({
          Type: "Annot",
          Subtype: "Link",
          Rect: [x, PAGE_HEIGHT - y - height, x + width, PAGE_HEIGHT - y],
          Border: [0, 0, 0],
          A: { Type: "Action", S: "URI", URI: PDFString.of(url) },
        }),
      ),
    );
    if (links.length > 0) page.node.set(PDFName.of("Annots"), context.obj(links));
    pages.push(page);
    await breathe();
  }
  return pages;
}

/** Headings as bookmarks (PDF 32000-1, 12.3.3). */
function addOutline(
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
    const top = PAGE_HEIGHT - mark.y + 6;
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

/** Writes the metadata, with the times of the data, so that the same data makes the same bytes. */
function describe(
  document: PDFDocument,
  { job, subject, release }: ReportData,
  hash: string,
  originals: ReadonlyMap<string, string>,
): void {
  const node = subject.kind === "job" ? "" : `, node ${subject.rank}`;
  document.setTitle(`${job.name}${node}: hardware benchmark report`, {
    showInWindowTitleBar: true,
  });
  document.setAuthor("Assay");
  document.setSubject(`Job ${job.id}${node}, content hash ${hash}`);
  document.setCreator(`Assay ${release}`);
  document.setProducer("Assay, pdf-lib");
  document.setLanguage("en");
  const at = new Date(job.endedAt ?? job.createdAt);
  document.setCreationDate(at);
  document.setModificationDate(at);
  if (originals.size === 0) return;
  const names = [...originals].map(([original, text]) => `${text} = ${original}`).join("\n");
  const info = document.context.lookup(document.context.trailerInfo.Info, PDFDict);
  info.set(
    PDFName.of("OriginalNames"),
    PDFHexString.of(utf16Hex(names.slice(0, MAX_ORIGINALS_LENGTH))),
  );
}

/** UTF-16 with its mark (PDF 32000-1, 7.9.2.2). The library's own conversion takes 60 bytes of memory a character. */
function utf16Hex(text: string): string {
  return Buffer.from(`\ufeff${text}`, "utf16le").swap16().toString("hex").toUpperCase();
}
