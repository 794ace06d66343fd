/**
 * Reports as independent tools read them: Debian's packages qpdf and poppler-utils. Without one of them its tests are
 * skipped and say so.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, test } from "vitest";
import { packData } from "../../src/reports/drawing/attachment.ts";
import { drawReport } from "../../src/reports/drawing/draw-report.ts";
import { taskDataOf } from "../../src/reports/subjects.ts";
import { A100, failedReport, findingsReport, sampleReport } from "../reports/samples.ts";

const ROOT = join(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "assay-report-tools-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const font = (name: string) => new Uint8Array(readFileSync(join(ROOT, "public/fonts", name)));
const fonts = { regular: font("DejaVuSans.ttf"), bold: font("DejaVuSans-Bold.ttf") };
const four = sampleReport({ nodes: 4, gpus: 8, model: A100, slow: [3] });
const SAMPLES = {
  four,
  letter: { ...four, paper: "letter" as const },
  node: taskDataOf(four, 3),
  failed: failedReport(),
  findings: findingsReport(),
};

const paths = new Map<string, string>();
for (const [name, data] of Object.entries(SAMPLES)) {
  const path = join(folder, `${name}.pdf`);
  const hash = "0123456789abcdef".repeat(4);
  writeFileSync(
    path,
    (await drawReport(data, { hash, fonts, data: packData(Buffer.from("{}")) })).bytes,
  );
  paths.set(name, path);
}

function run(program: string, ...args: string[]): { status: number | null; text: string } {
  const { status, stdout } = spawnSync(program, args, { encoding: "utf8" });
  return { status, text: stdout };
}

function isMissing(program: string): boolean {
  const missing = spawnSync(program, ["--version"]).error !== undefined;
  if (missing) console.log(`${program} is missing: what it says of reports is not tested`);
  return missing;
}

describe.skipIf(isMissing("qpdf"))("qpdf", () => {
  test.for([...paths])("finds no fault in the report %s", ([, path], { expect }) => {
    const { status, text } = run("qpdf", "--check", path);
    expect(text).toContain("No syntax or stream encoding errors found");
    expect(status).toBe(0);
  });
});

describe.skipIf(isMissing("pdffonts"))("pdffonts", () => {
  test("sees two fonts, embedded, subset, with the text of their codes", ({ expect }) => {
    const [, , ...rows] = run("pdffonts", paths.get("four") ?? "")
      .text.trimEnd()
      .split("\n");
    expect(rows).toHaveLength(2);
    for (const row of rows) expect(row).toMatch(/\+DejaVuSans.*CID TrueType.*yes yes yes/);
  });
});

describe.skipIf(isMissing("pdftoppm"))("pdftoppm", () => {
  test.for([...paths])(
    "draws every glyph of the report %s without complaint",
    ([, path], { expect }) => {
      const { status, stderr } = spawnSync(
        "pdftoppm",
        ["-r", "10", "-png", path, join(folder, "page")],
        {
          encoding: "utf8",
        },
      );
      expect(stderr).toBe("");
      expect(status).toBe(0);
    },
  );
});

describe.skipIf(isMissing("pdfinfo"))("pdfinfo", () => {
  test("reads the title, the paper and the tags", ({ expect }) => {
    const { text } = run("pdfinfo", paths.get("four") ?? "");
    expect(text).toMatch(/Title: +Acceptance of the new racks: hardware benchmark report/);
    expect(text).toMatch(/Tagged: +yes/);
    expect(text).toMatch(/Page size: .*\(A4\)/);
    expect(run("pdfinfo", paths.get("letter") ?? "").text).toMatch(/Page size: .*\(letter\)/);
  });

  test("reads the tagged text in order: title, verdict, reasons, nodes, baselines, figures", ({
    expect,
  }) => {
    const { text } = run("pdfinfo", "-struct-text", paths.get("four") ?? "");
    const order = [
      "H1",
      "Acceptance of the new racks",
      "Underperforming",
      "1 of 4 rated nodes is below 90 %",
      "Node 3 (8 × NVIDIA A100-SXM4-40GB): BF16 150.9 TFLOPS per GPU",
      "Example Cloud",
      '"Nodes ',
      "the dashed line 90 % of it.",
      "Table",
      "gpu-000",
      '"Baselines ',
      "Cluster network",
      "Figures by GPU",
      "How it was measured",
      "How to check this report",
    ];
    let at = -1;
    for (const piece of order) {
      const next = text.indexOf(piece, at + 1);
      expect(next, piece).toBeGreaterThan(at);
      at = next;
    }
  });
});

describe.skipIf(isMissing("pdftotext"))("pdftotext", () => {
  test("reads the findings, the verdict and its reasons in order", ({ expect }) => {
    const { text } = run("pdftotext", paths.get("findings") ?? "", "-");
    const flat = text.replaceAll(/\s+/g, " ");
    const order = [
      "Links under suspicion",
      "6 findings, independent of the verdict",
      "Node 3: all its links are slow",
      "As expected",
      "Network: 6 links are below 60 % of the job's median",
      "Provider",
      "Nodes Figures per GPU",
    ];
    let at = -1;
    for (const piece of order) {
      const next = flat.indexOf(piece, at + 1);
      expect(next, piece).toBeGreaterThan(at);
      at = next;
    }
  });
});
