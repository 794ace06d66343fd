/** Reports of jobs in which little was measured, or little can be true. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { hardwareName } from "../../../src/benchmarks/gpus.ts";
import { drawReport } from "../../../src/reports/drawing/draw-report.ts";
import { loadFonts } from "../../../src/reports/fonts.ts";
import { type Link, toLinkTable } from "../../../src/reports/link-table.ts";
import type { ReportData, ReportNode } from "../../../src/reports/report-data.ts";
import { readPdf } from "../../reports/read-pdf.ts";
import { failedReport, sampleReport } from "../../reports/samples.ts";

const fonts = await loadFonts(env.ASSETS);
const read = async (data: ReportData) =>
  readPdf((await drawReport(data, { hash: "0123456789abcdef".repeat(4), fonts })).bytes);

describe("maps of links", () => {
  const withLinks = (size: number, isFailed: (link: Link) => boolean): ReportData => {
    const data = sampleReport({ nodes: size, gpus: 1 });
    const links = Array.from({ length: size * size }, (_, at): Link => {
      const [source, target] = [Math.floor(at / size), at % size];
      return { source, target, gbps: 9.4, latencyMs: 0.1, error: null };
    })
      .filter(({ source, target }) => source !== target)
      .map((link) =>
        isFailed(link) ? { ...link, gbps: null, latencyMs: 0, error: "refused" } : link,
      );
    const networks = data.networks.map((step) => ({ ...step, links: toLinkTable(links) }));
    return { ...data, networks };
  };
  /** Width of the longest title. */
  const TITLE = 77;

  test.for([2, 3, 4, 10])(
    "of %d nodes have their legends beside their titles",
    async (size, { expect }) => {
      for (const isFailed of [() => false, ({ source }: Link) => source === 1]) {
        const { pieces } = await read(withLinks(size, isFailed));
        for (const [title, unit] of [
          ["Bandwidth, Gbit/s", "Gbit/s"],
          ["Latency, ms", "ms"],
        ]) {
          const page = pieces.find((list) => list.some(({ text }) => text === title)) ?? [];
          const { x = 0, y = 0 } = page.find(({ text }) => text === title) ?? {};
          const labels = page.filter(
            (piece) => piece.text.endsWith(` ${unit}`) && Math.abs(piece.y - y) < 12 && piece.x > x,
          );
          expect(labels.length, `${title} of ${size}`).toBeGreaterThanOrEqual(3);
          expect(Math.min(...labels.slice(0, 3).map((label) => label.x))).toBeGreaterThan(
            x + TITLE,
          );
        }
      }
    },
  );

  test("without a single good link have no scale", async ({ expect }) => {
    const { text } = await read(withLinks(3, () => true));
    expect(text).toContain("Latency, ms");
    expect(text).not.toMatch(/NaN|Infinity|\b0 Gbit\/s/);
  });
});

describe("machines without a GPU", () => {
  test("are called so, not by a count of nothing", ({ expect }) => {
    const none = { gpuModel: null, gpuModels: null };
    expect(hardwareName({ ...none, gpuCount: 0 })).toBe("no GPU");
    expect(hardwareName({ ...none, gpuCount: null })).toBe(null);
    expect(hardwareName({ ...none, gpuCount: 2 })).toBe("2 × GPU");
  });

  const withGpus = (counts: (number | null)[]): ReportData => {
    const data = sampleReport({ nodes: counts.length, gpus: 8, network: false });
    const nodes = data.nodes.map((node, at): ReportNode => {
      const gpuCount = counts[at] ?? null;
      if (gpuCount === 8) return node;
      const gpus = gpuCount === 0 ? "no GPU" : null;
      return { ...node, gpuModel: null, gpuCount, gpus, quickMark: null };
    });
    return { ...data, verdict: null, nodes };
  };

  test.for([
    [[0], "Job 7554621440: 1 node, no GPU"],
    [[null], "Job 7554621440: 1 node, no GPUs reported"],
    [[0, null], "Job 7554621440: 2 nodes, no GPUs reported"],
    [[0, 8], "Job 7554621440: 2 nodes, 8 GPUs, NVIDIA H100 80GB HBM3"],
  ] as const)("%j are named so below the title", async ([counts, expected], { expect }) => {
    const { pages } = await read(withGpus([...counts]));
    expect(pages[0]?.split("\n")).toContain(expected);
  });
});

test("implausible figures are marked in the table of nodes, too", async ({ expect }) => {
  const data = sampleReport({ nodes: 2, gpus: 8, network: false });
  const [first, second] = data.nodes;
  if (first?.quickMark == null || second === undefined) throw new Error("the sample has two nodes");
  const aggregate = { ...first.quickMark.aggregate, bf16_tflops: 40_000 };
  const quickMark = { ...first.quickMark, aggregate, implausible: { bf16_tflops: "too much" } };
  const { pages } = await read({
    ...data,
    verdict: null,
    nodes: [{ ...first, quickMark }, second],
  });
  const lines = pages[0]?.split("\n") ?? [];
  expect(lines).toContain("! 5,000");
  expect(pages[0]?.replaceAll("\n", " ")).toContain("! marks implausible readings.");
  const healthy = await read(data);
  expect(healthy.pages[0]).not.toContain("! marks");
});

test("the reason of a failed node has the width of the page", async ({ expect }) => {
  const data = failedReport();
  const reason = "The GPU fell off the bus while it multiplied. ".repeat(20).trim();
  const short = await read(data);
  const long = await read({
    ...data,
    nodes: data.nodes.map((node) => ({ ...node, failedMessage: reason })),
  });
  expect(long.pages).toHaveLength(short.pages.length);
  const at = long.text.indexOf("Remarks");
  expect(at).toBeGreaterThan(0);
  const after = long.text.slice(at).split("\n");
  expect(after[after.indexOf("Remark") + 1], "nodes with one reason share it").toBe("0–1");
});
