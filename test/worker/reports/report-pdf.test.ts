/** What the file of a report is, besides its pages: PDF/A-3b, fonts, structure, bookmarks, paper. */
import { env } from "cloudflare:workers";
import {
  decodePDFRawStream,
  PDFArray,
  PDFDict,
  PDFHexString,
  PDFName,
  PDFNumber,
  PDFRawStream,
  PDFRef,
  PDFString,
} from "@cantoo/pdf-lib";
import { describe, test } from "vitest";
import { describedMethods } from "../../../src/benchmarks/method-texts.ts";
import { METHODS } from "../../../src/benchmarks/methods.ts";
import { preferredPaper } from "../../../src/http/accept-language.ts";
import { packData } from "../../../src/reports/drawing/attachment.ts";
import { drawReport } from "../../../src/reports/drawing/draw-report.ts";
import { machineNames } from "../../../src/reports/drawing/machine-names.ts";
import { connection, label, sentence } from "../../../src/reports/drawing/writing.ts";
import { loadFonts } from "../../../src/reports/fonts.ts";
import type { ReportData } from "../../../src/reports/report-data.ts";
import { jobDataOf, taskDataOf } from "../../../src/reports/subjects.ts";
import { readPdf } from "../../reports/read-pdf.ts";
import {
  A100,
  failedReport,
  findingsReport,
  mismatchReport,
  sampleReport,
} from "../../reports/samples.ts";

const HASH = "0123456789abcdef".repeat(4);
const JSON_BYTES = new TextEncoder().encode('{"data":1}');
const draw = async (data: ReportData) =>
  drawReport(data, { hash: HASH, fonts: await loadFonts(env.ASSETS), data: packData(JSON_BYTES) });
const read = async (data: ReportData) => readPdf((await draw(data)).bytes);
const name = PDFName.of;

const four = sampleReport({ nodes: 4, gpus: 8, model: A100, slow: [3] });

describe("a report's file", async () => {
  const { document, operators, pieces } = await read(four);
  const { catalog, context } = document;

  test("states PDF/A-3b in its metadata, with the same title and times", ({ expect }) => {
    const stream = catalog.lookup(name("Metadata"));
    if (!(stream instanceof PDFRawStream)) throw new Error("there is no metadata");
    expect(stream.dict.get(name("Filter")), "readable as it is").toBeUndefined();
    const xmp = new TextDecoder().decode(stream.contents);
    expect(xmp).toMatch(/pdfaid:part(?:>|=")3/);
    expect(xmp).toMatch(/pdfaid:conformance(?:>|=")B/);
    expect(xmp).not.toContain("pdfuaid");
    expect(xmp).toContain(`${four.job.name}: hardware benchmark report`);
    expect(xmp).toContain("2026-01-15T11:45:00");
  });

  test("has an output intent with a profile, and an identifier", ({ expect }) => {
    const [intent] = catalog.lookup(name("OutputIntents"), PDFArray).asArray();
    const dict = context.lookup(intent, PDFDict);
    expect(dict.get(name("S"))).toBe(name("GTS_PDFA1"));
    expect(dict.lookup(name("DestOutputProfile"))).toBeInstanceOf(PDFRawStream);
    expect(context.trailerInfo.ID?.toString()).toContain(HASH.slice(0, 32));
    expect(context.trailerInfo.Encrypt).toBeUndefined();
  });

  test("embeds its data, and says how the data relates to the pages", ({ expect }) => {
    const files = catalog.lookup(name("AF"), PDFArray);
    expect(files.size()).toBe(1);
    const file = files.lookup(0, PDFDict);
    expect(file.get(name("AFRelationship"))).toBe(name("Data"));
    expect(file.lookup(name("F"), PDFString).decodeText()).toBe("report.json");
    const stream = file.lookup(name("EF"), PDFDict).lookup(name("F"));
    if (!(stream instanceof PDFRawStream)) throw new Error("the file has no contents");
    expect(stream.dict.get(name("Subtype"))).toBe(name("application/json"));
    expect(decodePDFRawStream(stream).decode()).toEqual(JSON_BYTES);
  });

  test("is small, since a job stores one for each node", async ({ expect }) => {
    const { bytes } = await draw(taskDataOf(four, 2));
    expect(bytes.length).toBeLessThan(80_000);
  });

  test("embeds subsets of its fonts, with the text of each code", ({ expect }) => {
    const [page] = document.getPages();
    const fonts = page?.node.Resources()?.lookup(name("Font"), PDFDict);
    for (const key of ["F1", "F2"]) {
      const font = fonts?.lookup(name(key), PDFDict);
      expect(String(font?.get(name("BaseFont")))).toMatch(/^\/[A-Z]{6}\+DejaVuSans/);
      const descendant = font?.lookup(name("DescendantFonts"), PDFArray).lookup(0, PDFDict);
      const descriptor = descendant?.lookup(name("FontDescriptor"), PDFDict);
      expect(descriptor?.lookup(name("FontFile2"))).toBeInstanceOf(PDFRawStream);
    }
    for (const { text } of pieces.flat()) expect(text).not.toContain("\ufffd");
  });

  test("prints its links, and opens nothing else", ({ expect }) => {
    const annotations = document.getPages().flatMap(({ node }) => node.Annots()?.asArray() ?? []);
    expect(annotations.length).toBeGreaterThan(0);
    for (const each of annotations) {
      expect(context.lookup(each, PDFDict).lookup(name("F"), PDFNumber).asNumber()).toBe(4);
    }
    expect(catalog.has(name("OpenAction"))).toBe(false);
  });

  test("opens and closes its marks in turn, on every page", ({ expect }) => {
    for (const content of operators) {
      let open = 0;
      for (const [mark] of content.matchAll(/^(?:.* BDC|\/Artifact BMC|EMC)$/gm)) {
        open += mark === "EMC" ? -1 : 1;
        expect(open).toBeGreaterThanOrEqual(0);
        expect(open).toBeLessThanOrEqual(1);
      }
      expect(open).toBe(0);
    }
  });
});

interface Element {
  type: string;
  kids: Element[];
  parent: boolean;
}

/** The tree of tagged elements, and the number of marks that belong to them. */
async function structureOf(data: ReportData) {
  const { document } = await read(data);
  const { catalog, context } = document;
  const root = catalog.lookup(name("StructTreeRoot"), PDFDict);
  let elements = 0;
  let marks = 0;
  const read_ = (ref: unknown): Element => {
    elements++;
    const dict = context.lookup(ref as PDFRef, PDFDict);
    const kids = dict.lookup(name("K"));
    const list =
      kids instanceof PDFArray ? kids.asArray() : kids === undefined ? [] : [dict.get(name("K"))];
    const inner = list.filter((kid): kid is PDFRef => kid instanceof PDFRef);
    marks += list.length - inner.length;
    return {
      type: String(dict.get(name("S"))).slice(1),
      kids: inner.map(read_),
      parent: dict.get(name("P")) instanceof PDFRef,
    };
  };
  const tree = read_(root.get(name("K")));
  return { tree, elements, marks, document, root };
}

describe("the structure of a report", () => {
  test("has headings, paragraphs, tables and figures in the order of reading", async ({
    expect,
  }) => {
    const { tree, marks, document, root } = await structureOf(four);
    expect(tree.type).toBe("Document");
    const types = tree.kids.map(({ type }) => type);
    expect(types.slice(0, 3)).toEqual(["P", "H1", "P"]);
    for (const type of ["H2", "H3", "Table", "Figure"]) expect(types).toContain(type);
    for (const table of tree.kids.filter(({ type }) => type === "Table")) {
      expect(new Set(table.kids.map(({ type }) => type))).toEqual(new Set(["TR"]));
      const [head, ...rows] = table.kids;
      expect(head?.kids.every(({ type }) => type === "TH")).toBe(true);
      expect(rows.length).toBeGreaterThan(0);
    }
    expect(String(document.catalog.lookup(name("MarkInfo"), PDFDict).get(name("Marked")))).toBe(
      "true",
    );
    const numbers = root.lookup(name("ParentTree"), PDFDict).lookup(name("Nums"), PDFArray);
    let listed = 0;
    for (let at = 1; at < numbers.size(); at += 2) listed += numbers.lookup(at, PDFArray).size();
    expect(listed, "each mark has its element").toBe(marks);
  });

  test("is bounded, and what is beyond it is drawn all the same", async ({ expect }) => {
    const data = jobDataOf(sampleReport({ nodes: 256, gpus: 8, slow: [17] }));
    const { tree, elements } = await structureOf(data);
    expect(elements).toBeLessThanOrEqual(5_000);
    expect(elements).toBeGreaterThan(4_000);
    const nodes = tree.kids.find(({ type, kids }) => type === "Table" && kids.length > 200);
    expect(nodes?.kids, "every node's row").toHaveLength(257);
    expect(tree.kids.at(-1)?.type, "the last paragraphs have their room").toBe("P");
  });
});

test("headings are bookmarks, in their order", async ({ expect }) => {
  const { document } = await read(four);
  const outlines = document.catalog.lookup(name("Outlines"), PDFDict);
  const titles: string[] = [];
  for (
    let item = outlines.lookupMaybe(name("First"), PDFDict);
    item !== undefined;
    item = item.lookupMaybe(name("Next"), PDFDict)
  ) {
    titles.push(item.lookup(name("Title"), PDFHexString).decodeText());
  }
  expect(titles.slice(0, 3)).toEqual(["Nodes", "Baselines", "Distribution over nodes"]);
  expect(titles).toContain("How it was measured");
  expect(titles.at(-1)).toBe("How to check this report");
});

test("paper is A4, or Letter with the same lines and wider margins", async ({ expect }) => {
  const a4 = await read(four);
  const letter = await read({ ...four, paper: "letter" });
  expect(a4.document.getPage(0).getSize()).toEqual({ width: 595.28, height: 841.89 });
  expect(letter.document.getPage(0).getSize()).toEqual({ width: 612, height: 792 });
  expect(letter.operators[0]).toMatch(/^1 0 0 1 8\.36 0 cm\n/);
  for (const { y } of letter.pieces.flat()) {
    expect(y).toBeGreaterThan(20);
    expect(y).toBeLessThan(792);
  }
});

test("paper follows the language that a client prefers", ({ expect }) => {
  const papers = { "en-US,en;q=0.9": "letter", "en-CA": "letter", "es-MX;q=1": "letter" };
  for (const [header, paper] of Object.entries(papers)) expect(preferredPaper(header)).toBe(paper);
  for (const header of [
    undefined,
    "",
    "*",
    "en",
    "en-GB, en-US;q=0.9",
    "de;q=0.8,fr",
    "en-US;q=0",
    ";;,",
  ]) {
    expect(preferredPaper(header), header).toBe("a4");
  }
});

test("machines behind one address are told apart", ({ expect }) => {
  const nodes = sampleReport({ nodes: 4, gpus: 1 }).nodes.map((node) => ({
    ...node,
    machineIp: "203.0.113.7",
  }));
  const names = (list: typeof nodes) => [...machineNames(list).values()];
  expect(names(nodes)).toEqual(["gpu-000", "gpu-001", "gpu-002", "gpu-003"]);
  const alike = nodes.map((node) => ({
    ...node,
    machine: { ...node.machine, hostName: "localhost", instanceId: null },
  }));
  expect(names(alike).at(-1)).toBe("…000000000004");
  expect(new Set(names(alike)).size).toBe(4);
  const others = alike.map((node, at) => ({ ...node, machineUuid: `${at}${node.machineUuid}` }));
  expect(names(others)[1]).toBe("1550e840");
});

describe("a report says", () => {
  test("who ran it, where and under which order; which machine and GPU; how, and how steadily", async ({
    expect,
  }) => {
    const { text } = await read(four);
    for (const fact of [
      ...["Ada Example", "Example Cloud", "eu-west-2", "PO-2026-0117"],
      ...["gpu-002", "i-0f3a1002", "BIOS 2.1", "docker"],
      ...["00000000:1F:00.0", "1320922018193", "▼ 300 / 400", "▼ power cap", "1095 / 1410"],
      ...["gemm.cublaslt.4096.nn.normal/1", "library-gemm", "▼ no"],
    ]) {
      expect(text.split("\n"), fact).toContain(fact);
    }
    expect(text).toContain("GPU-00000000-0000-4000-8000-0000000000c1");
    expect(text).toContain("7 since 2025-12-04");
    const ids = new Set(METHODS.keys());
    expect(describedMethods(ids).map(({ id }) => id)).toEqual([...ids]);
  });

  test("what its network is worth, and marks copies that are slow one way", async ({ expect }) => {
    const { pages, text } = await read(findingsReport());
    const first = pages[0]?.replaceAll("\n", " ");
    expect(first).toContain("all links of node 3 are slow");
    expect(first).toMatch(/Node 3: all its links are slow: the fastest has 0\.25 Gbit\/s, 14\.1 %/);
    expect(text.split("\n").filter((line) => line === "▼ 7.49")).toHaveLength(8);
    expect(text).not.toMatch(/[a-z]_[a-z]+_(?:tflops|gbs)|nvlink_/);
  });

  test("two links are shown and not judged, but not passed in silence", async ({ expect }) => {
    const data = sampleReport({ nodes: 2, gpus: 1 });
    expect((await read(data)).pages[0]?.replaceAll("\n", " ")).toMatch(
      /Network: too few links to judge \(2 measured, 6 needed\); the slowest has .* of the fastest/,
    );
  });

  test("what falls short of the spec", async ({ expect }) => {
    const [first = ""] = (await read(mismatchReport())).pages;
    expect(first).toContain(
      "Node 0: the number of CPUs differs from the spec: 48 usable logical CPUs found, 64 promised.",
    );
  });

  test("no number of GPUs where none was sent", async ({ expect }) => {
    const data = failedReport();
    const nodes = data.nodes.map((node) => ({
      ...node,
      gpus: null,
      gpuModel: null,
      gpuCount: null,
    }));
    const { text } = await read({ ...data, nodes });
    expect(text).toContain("2 nodes, no GPUs reported");
    expect(text).not.toContain("0 GPUs");
  });

  test("names as people write them, with one full stop", ({ expect }) => {
    expect(connection("nvlink_v4_12x")).toBe("NVLink 4, 12 links");
    expect(connection("PCIe")).toBe("PCIe");
    expect(label("gpu.network_type")).toBe("GPU, network type");
    expect(label("memory.total_gb")).toBe("Memory, total GB");
    expect([sentence("It failed."), sentence("it failed"), sentence("why?")]).toEqual([
      ...["It failed.", "it failed.", "why?"],
    ]);
  });

  test("in a node's report, its GPUs, its machine and its history", async ({ expect }) => {
    const { text } = await read(taskDataOf(four, 2));
    for (const fact of ["1320922018135", "gpu-002"]) expect(text.split("\n")).toContain(fact);
    expect(text).not.toContain("gpu-001");
  });
});
