/** What reports of every kind have in common: how they put shares, names and units, and how full their pages are. */
import { env } from "cloudflare:workers";
import { PDFDict, type PDFDocument, PDFHexString, PDFName, PDFString } from "@cantoo/pdf-lib";
import { describe, test } from "vitest";
import { columnPercent, percent } from "../../../src/lib/percent.ts";
import { drawReport } from "../../../src/reports/drawing/draw-report.ts";
import { withMetricNames } from "../../../src/reports/drawing/sections/metrics.ts";
import { stepName, withStepNames } from "../../../src/reports/drawing/step-names.ts";
import { Type } from "../../../src/reports/drawing/type.ts";
import { typefacesOf } from "../../../src/reports/drawing/typeface.ts";
import { signed } from "../../../src/reports/drawing/writing.ts";
import { loadFonts } from "../../../src/reports/fonts.ts";
import type { ReportData } from "../../../src/reports/report-data.ts";
import { taskDataOf } from "../../../src/reports/subjects.ts";
import { readPdf } from "../../reports/read-pdf.ts";
import {
  A100,
  failedReport,
  findingsReport,
  mismatchReport,
  sampleReport,
} from "../../reports/samples.ts";

const fonts = await loadFonts(env.ASSETS);
const read = async (data: ReportData, kid: string | null = null) =>
  readPdf((await drawReport(data, { hash: "0123456789abcdef".repeat(4), fonts, kid })).bytes);

/** The words for pictures. */
function altsOf(document: PDFDocument): string[] {
  return document.context.enumerateIndirectObjects().flatMap(([, object]) => {
    const alt = object instanceof PDFDict ? object.get(PDFName.of("Alt")) : undefined;
    return alt instanceof PDFHexString || alt instanceof PDFString ? [alt.decodeText()] : [];
  });
}

const four = sampleReport({ nodes: 4, gpus: 8, model: A100, slow: [3] });
const SAMPLES: Readonly<Record<string, ReportData>> = {
  "one node": sampleReport({ nodes: 1, gpus: 8 }),
  "four nodes": four,
  "four nodes on Letter": { ...four, paper: "letter" },
  "one of four nodes": taskDataOf(four, 3),
  "a failed job": failedReport(),
  "a spec mismatch": mismatchReport(),
  findings: findingsReport(),
  "replayed figures": sampleReport({ nodes: 2, gpus: 2, replayed: true }),
};

describe.for(Object.entries(SAMPLES))("the report of %s", ([, data]) => {
  test("puts all shares alike, and names nothing by its key", async ({ expect }) => {
    const { text } = await read(data);
    expect(text).toMatch(/\d %/);
    expect(text).not.toMatch(/\d%/);
    expect(text).not.toMatch(/(?:quick_mark|host_mark|cluster_network|completed_with)/);
    expect(text).not.toMatch(/[a-z]_(?:tflops|gbs|us|watts|centigrade)\b/);
    expect(text).not.toMatch(/\.\.(?!\.)/);
    expect(text).not.toMatch(/undefined|null|NaN|\[object/);
  });
});

describe("pages", () => {
  /** The share of each page that is used, running head and foot apart. */
  async function usedBy(data: ReportData, kid: string | null): Promise<number[]> {
    const { document, pieces } = await read(data, kid);
    const { height } = document.getPage(0).getSize();
    return pieces.map((page) => {
      const body = page.filter(({ y }) => y > 45 && y < height - 60);
      return (height - Math.min(...body.map(({ y }) => y))) / height;
    });
  }

  test("are never nearly empty, the last one neither, whatever stands before it", async ({
    expect,
  }) => {
    const of = (nodes: number, gpus: number, paper: "a4" | "letter"): ReportData => ({
      ...sampleReport({ nodes, gpus, model: A100, slow: nodes > 2 ? [1] : [] }),
      paper,
    });
    const jobs = [1, 2, 3, 4, 5, 6, 8].flatMap((nodes) =>
      [1, 3, 8].flatMap((gpus) => [of(nodes, gpus, "a4"), of(nodes, gpus, "letter")]),
    );
    for (const data of [...Object.values(SAMPLES), ...jobs]) {
      const what = `${data.job.name}, ${data.nodes.length} nodes, ${data.nodes[0]?.gpus}, ${data.paper}`;
      for (const kid of [null, "nDp_Hz-l-iPzMjLCGsUcycdLHPcbA42LkfbhI0Ck1D4"]) {
        const used = await usedBy(data, kid);
        const [last = 0, ...others] = used.toReversed();
        expect(last, `last page: ${what}: ${used.join(" ")}`).toBeGreaterThan(0.3);
        for (const share of others) {
          expect(share, `${what}: ${used.join(" ")}`).toBeGreaterThan(0.4);
        }
      }
    }
  });

  test("have the headings of pictures where the pictures are", async ({ expect }) => {
    const pictures = {
      "Bandwidth between GPUs": /^Node \d+, NVLink/m,
      "Cluster network": /^Bandwidth, Gbit\/s$/m,
    };
    let seen = 0;
    for (const data of [four, mismatchReport(), findingsReport()]) {
      for (const page of (await read(data)).pages) {
        for (const [heading, picture] of Object.entries(pictures)) {
          if (!page.split("\n").includes(heading)) continue;
          seen++;
          expect(page, heading).toMatch(picture);
        }
      }
    }
    expect(seen).toBe(5);
  });
});

describe("baselines", () => {
  test("of recordings say that their quartiles are not recorded, where the box would be", async ({
    expect,
  }) => {
    const { text } = await read(four);
    expect(text.split("\n").filter((line) => line === "quartiles not recorded")).toHaveLength(2);
    expect(text.replaceAll("\n", " ")).toContain(
      "minimum, median and maximum only: quartiles are not recorded, so these spreads have no box.",
    );
    expect(text).not.toContain("the box spans");
  });

  test("of fleets have a box, its quartiles in words, machines, customers and age", async ({
    expect,
  }) => {
    const { verdict } = four;
    if (verdict === null) throw new Error("the sample is rated");
    const spread = {
      low: 240,
      high: 262,
      quartiles: [250, 258] as [number, number],
      customers: 4,
      at: Date.UTC(2026, 0, 10),
    };
    const nodes = verdict.nodes.map((node) => ({
      ...node,
      metrics: node.metrics.map((metric) => ({
        ...metric,
        source: "fleet" as const,
        sampleSize: 41,
        spread,
      })),
    }));
    const { text, pieces, operators, document } = await read({
      ...four,
      verdict: { ...verdict, nodes },
    });
    const lines = text.split("\n");
    for (const piece of ["41 machines", "4 customers", "2026-01-10"]) {
      expect(lines, piece).toContain(piece);
    }
    expect(text).toContain("the box spans");
    expect(text).not.toContain("quartiles not recorded");
    // The box is drawn in its colour in each of the two rows.
    const at = pieces.findIndex((page) => page.some((piece) => piece.text === "41 machines"));
    expect(operators[at]?.match(/0\.66 0\.74 0\.84 rg/g)?.length).toBeGreaterThan(0);
    expect(altsOf(document)).toContain("from 240 to 262, middle half from 250 to 258");
  });
});

test("history marks a drop with a sign, in its column and in the words of its line", async ({
  expect,
}) => {
  const points = (...values: number[]) =>
    values.map((value, at): [number, number] => [Date.UTC(2026, 0, 1 + at), value]);
  const nodes = four.nodes.map((node) => ({
    ...node,
    history: [
      { metric: "bf16_tflops" as const, points: points(250, 200, 250, 200) },
      { metric: "memory_bandwidth_gbs" as const, points: points(1_371, 1_370) },
    ],
  }));
  const { text, document } = await read({ ...four, nodes });
  const lines = text.split("\n");
  expect(lines.filter((line) => line === "▼ −20.0 %")).toHaveLength(4);
  expect(lines.filter((line) => line === "−0.1 %").length).toBeGreaterThanOrEqual(4);
  expect(lines).toContain("4 since 2026-01-01");
  expect(altsOf(document)).toContain("250, 200, 250, 200; 2 drops");
});

test("without a known address the hash stands alone", async ({ expect }) => {
  const report = await read({ ...four, origin: null });
  expect(report.links).toEqual([]);
  expect(report.text).not.toContain("Check it at");
  expect(report.text.split("\n")).toContain("0123456789abcdef".repeat(4));
});

test("shares have one digit at most in sentences, and one in columns", ({ expect }) => {
  expect([0.9, 0.141, 0.5829, 1].map(percent)).toEqual(["90 %", "14.1 %", "58.3 %", "100 %"]);
  expect([0.9, 0.141].map(columnPercent)).toEqual(["90.0 %", "14.1 %"]);
  expect([0.012, -0.0271, 0.0001, -0.0001].map(signed)).toEqual([
    "+1.2 %",
    "−2.7 %",
    "0.0 %",
    "0.0 %",
  ]);
});

test("findings name metrics as people write them, with their units", ({ expect }) => {
  const texts = {
    "bf16_tflops per GPU 94, 94 % of the median": "BF16 per GPU 94 TFLOPS, 94 % of the median",
    "bf16_tflops per GPU: 100 before, 80 now": "BF16 per GPU: 100 TFLOPS before, 80 now",
    "GPU 2: memory_bandwidth_gbs 80.5, 80.4 % of it":
      "GPU 2: memory bandwidth 80.5 GB/s, 80.4 % of it",
    "device_to_host_bandwidth_gbs 7.49, 36 % of host_to_device_bandwidth_gbs (20.8)":
      "device to host 7.49 GB/s, 36 % of host to device (20.8)",
    "2 memory errors could not be corrected": "2 memory errors could not be corrected",
  };
  for (const [sent, shown] of Object.entries(texts)) expect(withMetricNames(sent)).toBe(shown);
});

test("messages name steps and states, not their keys", ({ expect }) => {
  const steps = [
    { key: "quick_mark", name: "QuickMark" },
    { key: "cluster_network", name: "Cluster Network" },
    { key: "cluster_network:2", name: "Cluster Network" },
  ];
  expect(steps.map(stepName).at(-1)).toBe("Cluster Network (run 2)");
  const texts = {
    "node 0 ended quick_mark: completed": "node 0 ended QuickMark: completed",
    "all 4 nodes started cluster_network:2": "all 4 nodes started Cluster Network (run 2)",
    "cluster_network failed: no contact": "Cluster Network failed: no contact",
    "job completed_with_warnings": "job completed with warnings",
  };
  for (const [sent, shown] of Object.entries(texts)) expect(withStepNames(sent, steps)).toBe(shown);
});

test("a step shows its options in words", async ({ expect }) => {
  const sample = sampleReport({ nodes: 1, gpus: 1 });
  const steps = sample.job.steps.map((step) => ({
    ...step,
    config: JSON.stringify({ duration_seconds: 5, is_quick: true }),
  }));
  const { text } = await read({ ...sample, job: { ...sample.job, steps } });
  expect(text.replaceAll("\n", " ")).toContain("QuickMark (duration seconds: 5, is quick: yes)");
});

test("a number and its unit stay on one line", ({ expect }) => {
  const type = new Type(typefacesOf(fonts), 1_000);
  const text = "no contact for 150 s, at 60 % of 300 GB then lost";
  for (let width = 40; width < 200; width++) {
    const lines = type.wrap(text, width, 6.5);
    expect(lines.join(" ")).toBe(text);
    for (const line of lines) expect(line, `${width}: ${lines}`).not.toMatch(/^(?:s,|%|GB)/);
  }
});
