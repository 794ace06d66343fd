/** A report's text and size, drawn from made-up data in the runtime that draws them. */
import { env } from "cloudflare:workers";
import { describe, test } from "vitest";
import { withoutRepeats } from "../../../src/reports/assemble.ts";
import { drawReport } from "../../../src/reports/drawing/draw-report.ts";
import { LEFT, RIGHT } from "../../../src/reports/drawing/flow.ts";
import { isDrawn, typefacesOf } from "../../../src/reports/drawing/typeface.ts";
import { figure, ranks, toPrintable } from "../../../src/reports/drawing/writing.ts";
import { loadFonts } from "../../../src/reports/fonts.ts";
import { readInventory } from "../../../src/reports/inventory.ts";
import { eachLink } from "../../../src/reports/link-table.ts";
import type { ReportData } from "../../../src/reports/report-data.ts";
import { jobDataOf, taskDataOf } from "../../../src/reports/subjects.ts";
import { readPdf } from "../../reports/read-pdf.ts";
import { A100, failedReport, sampleReport } from "../../reports/samples.ts";

const HASH = "0123456789abcdef".repeat(4);
const draw = async (data: ReportData) =>
  (await drawReport(data, { hash: HASH, fonts: await loadFonts(env.ASSETS) })).bytes;
const read = async (data: ReportData) => readPdf(await draw(data));

const slow = sampleReport({ nodes: 4, gpus: 8, model: A100, slow: [3] });

describe("a report of four nodes", async () => {
  const bytes = await draw(slow);
  const report = await readPdf(bytes);

  test("begins with the verdict and why", ({ expect }) => {
    const [first = ""] = report.pages;
    expect(first).toContain("Underperforming");
    expect(first).toContain("1 of 4 rated nodes is below 90 % of the baseline for the GPU model.");
    expect(first).toMatch(
      /Node 3 \(8 × NVIDIA A100-SXM4-40GB\): BF16 150\.9 TFLOPS per GPU, 59\.1 % of the baseline of 255\.5\./,
    );
    expect(first.indexOf("Underperforming")).toBeLessThan(first.indexOf("Nodes"));
  });

  test("says whose it is, when it ran, and by what software", ({ expect }) => {
    const [first = ""] = report.pages;
    for (const fact of [
      "7554621440",
      "Example Labs",
      "2026-01-15 10:30:00 UTC",
      "2026-01-15 11:45:00 UTC",
      "1 h 10 min",
      "QuickMark, Cluster Network",
      "Assay 0.1.0",
      "production, provider: aws",
    ]) {
      expect(first.split("\n"), fact).toContain(fact);
    }
  });

  test("shows figures with units, baselines with source and sample", ({ expect }) => {
    const lines = report.text.split("\n");
    for (const piece of ["255.5 TFLOPS", "1,371 GB/s", "shipped median", "12 runs", "312 TFLOPS"]) {
      expect(lines, piece).toContain(piece);
    }
    for (const unit of ["TFLOPS", "GB/s", "µs", "W", "°C", "TFLOPS/W"]) {
      expect(lines, unit).toContain(unit);
    }
    expect(lines, "a collective").toContain(
      figure(slow.nodes[1]?.quickMark?.aggregate.allreduce_bandwidth_gbs ?? 0),
    );
    const gpu = slow.nodes[0]?.quickMark?.gpus[0]?.figures ?? {};
    for (const [metric, value] of Object.entries(gpu)) {
      expect(lines, metric).toContain(figure(value));
    }
  });

  test("marks readings that cannot be true, and leaves out what follows from them", ({
    expect,
  }) => {
    const lines = report.text.split("\n");
    expect(lines).toContain("! 41.70");
    expect(report.text.replaceAll("\n", " ")).toContain("All GPUs: Power It cannot be true");
    expect(lines.filter((line) => line === "left out")).toHaveLength(2);
    const perWatt = slow.nodes[3]?.quickMark?.aggregate.bf16_tflops_per_peak_watt ?? 0;
    expect(lines).not.toContain(figure(perWatt));
  });

  test("shows every link, and every pair of GPUs", ({ expect }) => {
    const lines = report.text.split("\n");
    const { links } = slow.networks[0] ?? {};
    expect(links?.numbers).toHaveLength(12 * 4);
    for (const { gbps } of links === undefined ? [] : eachLink(links)) {
      expect(lines).toContain(figure(gbps ?? 0));
    }
    for (const pair of slow.nodes[2]?.quickMark?.pairs ?? []) {
      expect(lines).toContain((pair.duplex ?? 0).toFixed(0));
    }
  });

  test("ends with method, hash and a link to where it is checked", ({ expect }) => {
    expect(report.text.replaceAll("\n", " ")).toMatch(
      /medians of at least three customers \(fleet\), both of at least 30 machines/,
    );
    expect(report.text.split("\n")).toContain(HASH);
    expect(report.links).toEqual(["https://assay.example/verify"]);
    for (const [index, page] of report.pages.entries()) {
      expect(page).toContain(`Page ${index + 1} of ${report.pages.length}`);
      expect(page).toContain(HASH.slice(0, 32));
    }
  });

  test("is the same byte for byte, and below 300 KB", async ({ expect }) => {
    expect(await draw(structuredClone(slow))).toEqual(bytes);
    expect(bytes.length).toBeLessThan(300_000);
    const other = structuredClone(slow);
    other.job.name = "Another";
    expect(await draw(other)).not.toEqual(bytes);
  });

  test("has no notice when all was measured here", ({ expect }) => {
    expect(report.text).not.toMatch(/REPLAYED|PARTIAL/);
  });
});

test("a node with two models is named by both, and each lost GPU is a finding on the cover", async ({
  expect,
}) => {
  const data = sampleReport({ nodes: 2, gpus: 8, slow: [] });
  const gpuModels = [
    { model: "NVIDIA H100 NVL", count: 4 },
    { model: "NVIDIA L40S", count: 4 },
  ];
  const gpus = "4 × NVIDIA H100 NVL, 4 × NVIDIA L40S";
  data.nodes = data.nodes.map((node, rank) =>
    rank === 0 ? { ...node, gpuModel: null, gpus } : node,
  );
  const drop = { metric: "gpu_count", gpuModel: null, previousValue: 9, ratio: 0.888889 };
  const [first, second] = data.verdict?.nodes ?? [];
  if (first === undefined || second === undefined) throw new Error("the sample has no verdict");
  const metrics = first.metrics.map((metric) => ({ ...metric, gpuModel: "NVIDIA L40S" }));
  const below = {
    ...first,
    gpuModel: null,
    gpuModels,
    metrics,
    status: "underperforming" as const,
  };
  const [bf16, ...rest] = below.metrics;
  if (bf16 === undefined) throw new Error("the sample has no metric");
  below.metrics = [{ ...bf16, status: "underperforming" }, ...rest];
  below.drops = [{ ...drop, value: 8, previousAt: Date.UTC(2026, 0, 8) }];
  second.drops = [{ ...drop, value: 8, previousAt: null }];
  const lost = (rank: number) => ({
    kind: "gpu_count" as const,
    metric: "gpu_count",
    rank,
    gpu: null,
    value: 8,
    expected: 9,
    ratio: 0.888889,
    message: "9 GPUs before, 8 now",
  });
  if (data.verdict !== null) {
    data.verdict.nodes = [below, second];
    data.verdict.findings = [lost(0), lost(1)];
  }
  const { text } = await readPdf(await draw(data));
  const words = text.replaceAll("\n", " ");
  expect(words).toMatch(
    /Node 0: 9 GPUs before, 8 now, compared with this machine's previous job \(/,
  );
  expect(words).toMatch(/Node 1: 9 GPUs before, 8 now, compared with its runner's previous job\./);
  expect(words).toContain("Node 0 (4 × NVIDIA H100 NVL, 4 × NVIDIA L40S): NVIDIA L40S: BF16");
  expect(words.match(/4 × NVIDIA H100 NVL/g)?.length).toBeGreaterThan(2);
});

test("256 nodes of 8 GPUs fit: every GPU has its row, pages repeat their headings, below 5 MB", async ({
  expect,
}) => {
  const data = sampleReport({ nodes: 256, gpus: 8, slow: [17] });
  const bytes = await draw(data);
  expect(bytes.length).toBeLessThan(5_000_000);
  const report = await readPdf(bytes);
  const lines = report.text.split("\n");
  expect(lines.filter((line) => /^GPU [0-7]$/.test(line)).length).toBeGreaterThanOrEqual(2_048);
  expect(lines.filter((line) => line === "all at once")).toHaveLength(256);
  const pages = report.pages.filter((page) => /^GPU 3$/m.test(page) && !page.includes("Telemetry"));
  expect(pages.length).toBeGreaterThan(20);
  for (const page of pages) expect(page).toContain("To host");
  // The heat map is drawn cell by cell: one run for each stretch of equal ones, 65,280 cells in all.
  const map = report.operators.find(
    (content) => content.includes("1 re 2") || content.includes(" 1 re f Q"),
  );
  const cells = [...(map ?? "").matchAll(/(\d+) (\d+) (\d+) 1 re/g)];
  expect(cells.reduce((sum, [, , , columns]) => sum + Number(columns), 0)).toBe(256 * 255);
});

test("a node's report is about that node alone", async ({ expect }) => {
  const report = await read(taskDataOf(slow, 3));
  expect(report.pages[0]).toContain("Acceptance of the new racks: node 3");
  expect(report.pages[0]).toContain("7554621444");
  expect(report.text).toContain("GPU-00000000-0000-4000-8000-0000000000c7");
  expect(report.text).not.toContain("10.0.0.1");
  const healthy = await read(taskDataOf(slow, 0));
  expect(healthy.pages[0]).toContain("As expected");
  expect(healthy.text).not.toContain("Underperforming");
});

test("replayed figures are called so on every page", async ({ expect }) => {
  const { pages } = await read(sampleReport({ nodes: 3, gpus: 8, replayed: true }));
  expect(pages.length).toBeGreaterThan(2);
  for (const page of pages)
    expect(page).toContain("REPLAYED: the QuickMark figures are recordings");
});

test("a verdict on recordings says REPLAYED with its own word", async ({ expect }) => {
  const data = sampleReport({ nodes: 1, gpus: 8, model: A100, replayed: true });
  const { verdict } = data;
  if (verdict === null) throw new Error("the sample is rated");
  const { pages } = await read({ ...data, verdict: { ...verdict, isReplayed: true } });
  expect(pages[0]).toContain("As expected (REPLAYED)");
});

describe("findings", () => {
  const finding = (rank: number, message: string, value: number | null = null) => ({
    kind: "health" as const,
    metric: "bf16_tflops",
    rank,
    gpu: null,
    value,
    expected: value === null ? null : 100,
    ratio: null,
    message,
  });
  const { verdict } = slow;
  if (verdict === null) throw new Error("the sample is rated");

  test("come before the verdict, with the job that a drop is compared with", async ({ expect }) => {
    const fallen = {
      metric: "bf16_tflops",
      gpuModel: null,
      value: 80,
      previousValue: 100,
      ratio: 0.8,
      previousAt: Date.UTC(2026, 0, 2, 3, 4, 5),
    };
    const nodes = verdict.nodes.map((node) => ({
      ...node,
      drops: node.rank === 1 ? [fallen] : [],
    }));
    const findings = [
      finding(2, "GPU 3: its power limit is 300 W, below its default of 400 W"),
      { ...finding(1, "bf16_tflops per GPU: 100 before, 80 now", 80), kind: "drop" as const },
    ];
    const [page = ""] = (await read({ ...slow, verdict: { ...verdict, nodes, findings } })).pages;
    const first = page.replaceAll("\n", " ");
    expect(first).toContain("2 findings, independent of the verdict");
    expect(first).toContain("Node 2: GPU 3: its power limit is 300 W, below its default of 400 W.");
    expect(first).toContain(
      "Node 1: BF16 per GPU: 100 TFLOPS before, 80 now, compared with this machine's previous job (2026-01-02 03:04:05 UTC).",
    );
    expect(first.indexOf("2 findings")).toBeLessThan(first.indexOf("Underperforming"));
  });

  test("are as many as fit, and the others are counted; a node's report has its own", async ({
    expect,
  }) => {
    const findings = Array.from({ length: 20 }, (_, at) => finding(at % 4, `warning ${at}`));
    const nodes = verdict.nodes.map((node) => ({
      ...node,
      findings: findings.filter(({ rank }) => rank === node.rank),
    }));
    const data = { ...slow, verdict: { ...verdict, nodes, findings, moreFindings: 3 } };
    const [first = ""] = (await read(data)).pages;
    expect(first).toContain("23 findings, independent");
    expect(first).toContain("warning 11");
    expect(first).not.toContain("warning 12");
    expect(first).toContain("and 11 more, in the reports of the nodes");
    const [own = ""] = (await read(taskDataOf(data, 3))).pages;
    expect(own).toContain("5 findings, independent");
    expect(own).not.toContain("Node 2:");
  });

  test("none are not mentioned", async ({ expect }) => {
    expect((await read(slow)).text).not.toContain("finding");
  });
});

test("a figure of another method has the other figure beside it", async ({ expect }) => {
  const data = sampleReport({ nodes: 1, gpus: 8, model: A100 });
  const { verdict } = data;
  if (verdict === null) throw new Error("the sample is rated");
  const reason = "measured with library-gemm, but the baseline is for quickmark";
  const nodes = verdict.nodes.map((node) => ({
    ...node,
    status: "unrated" as const,
    metrics: node.metrics.map((metric) => ({
      ...metric,
      status: "unrated" as const,
      reason,
      baseline: null,
      ratio: null,
      methodClass: "library-gemm",
      reference: { value: 255.5, ratio: 0.97, of: "shipped" as const },
    })),
  }));
  const { pages } = await read({ ...data, verdict: { ...verdict, status: "unrated", nodes } });
  expect(pages[0]?.replaceAll("\n", " ")).toContain(
    `${reason}; not a verdict, since measured by another method: BF16 97 % of the shipped median`,
  );
});

test("a failed job's report says on every page what is missing, and why", async ({ expect }) => {
  const { pages } = await read(failedReport());
  for (const page of pages) {
    expect(page).toContain(
      "PARTIAL: 2 nodes of 4 never joined; QuickMark was not completed on nodes 0–1.",
    );
  }
  const [first = ""] = pages;
  expect(first).toContain("Not rated");
  expect(first).toContain("No QuickMark result was received, so there is nothing to compare.");
  expect(first).toContain("Node 1: no contact for 150 s.");
});

test("of a benchmark that ran twice, the notice says which was not completed", async ({
  expect,
}) => {
  const data = sampleReport({ nodes: 2, gpus: 1 });
  const again = { key: "cluster_network:2", state: "failed", errorMessage: "no contact" };
  const times = { startedAt: null, endedAt: null, clockSkewMs: null };
  const { pages } = await read({
    ...data,
    job: {
      ...data.job,
      steps: [
        ...data.job.steps,
        { ...again, ...times, name: "Cluster Network", isCluster: true, config: null },
      ],
    },
    nodes: data.nodes.map((node) => ({ ...node, steps: [...node.steps, { ...again, ...times }] })),
  });
  for (const page of pages) {
    expect(page).toContain("PARTIAL: Cluster Network (run 2) was not completed on nodes 0–1.");
  }
});

test("a job that nobody joined has a report, too", async ({ expect }) => {
  const data = failedReport();
  const empty = { ...data, nodes: [], job: { ...data.job, currentNodes: 0, state: "aborted" } };
  const { pages } = await read(empty);
  expect(pages[0]).toContain("No machine joined, so nothing was measured.");
});

test("names that the fonts do not have are transliterated, and kept in the metadata", async ({
  expect,
}) => {
  const name = "北京集群 – Prüfstand Ω (№ 3) 🚀";
  const report = await read(sampleReport({ nodes: 2, gpus: 1, name, customer: "Лаборатория" }));
  expect(report.pages[0]).toContain("BeiJingJiQun – Prüfstand Ω (№ 3) :rocket:");
  expect(report.pages[0]).toContain("Лаборатория");
  expect(report.title).toBe(`${name}: hardware benchmark report`);
  expect(report.originals).toContain(name);
  expect(report.originals).not.toContain("Лаборатория");
});

test("two names that look alike once transliterated are both kept", async ({ expect }) => {
  const report = await read(sampleReport({ nodes: 1, gpus: 1, name: "北京", customer: "背景" }));
  expect(report.originals.split("\n").sort()).toEqual(
    expect.arrayContaining(["BeiJing = 北京", "BeiJing = 背景"]),
  );
});

test("whatever people and machines send stays on the page", async ({ expect }) => {
  const data = sampleReport({ nodes: 8, gpus: 8, name: "🏴‍☠️👩‍👩‍👧‍👦".repeat(6).slice(0, 60) });
  const hostile: ReportData = {
    ...data,
    job: {
      ...data.job,
      description: "a\n".repeat(256),
      tags: Array.from({ length: 10 }, (_, at) => `${at}${"東".repeat(49)}`),
    },
    nodes: data.nodes.map((node, at) => ({
      ...node,
      gpuModel: `NVIDIA ${"W".repeat(120)}${at % 2}`,
      state: "failed",
      failedMessage: `${at} ${"CUDA error ".repeat(90)}the end of ${at}`,
      quickMark: node.quickMark && {
        ...node.quickMark,
        pairs: node.quickMark.pairs.map((pair) => ({
          ...pair,
          from: `GPU-00000000-0000-4000-8000-${pair.from}`,
          type: "x".repeat(120),
        })),
      },
    })),
  };
  const { regular, bold } = typefacesOf(await loadFonts(env.ASSETS));
  const faces = { F1: regular, F2: bold };
  for (const report of [await read(hostile), await read(taskDataOf(hostile, 0))]) {
    for (const { font, size, x, y, text } of report.pieces.flat()) {
      const face = faces[font];
      const units = [...text].reduce((sum, each) => sum + face.widthOf(each.charCodeAt(0)), 0);
      expect(y, text).toBeGreaterThanOrEqual(30);
      expect(x, text).toBeGreaterThanOrEqual(LEFT - 0.1);
      expect(x + (units * size) / 1_000, text).toBeLessThanOrEqual(RIGHT + 0.1);
    }
    expect(report.text.replaceAll(/\s+/g, " "), "cut on top, whole below").toContain(
      "the end of 0",
    );
    expect(report.text.match(/^a$/gm)).toHaveLength(256);
  }
});

test("a matrix of more GPUs than there are is drawn in part, and says so", async ({ expect }) => {
  const data = sampleReport({ nodes: 1, gpus: 2 });
  const [node] = data.nodes;
  const pairs = Array.from({ length: 20_000 }, (_, at) => ({
    from: `gpu${2 * at}`,
    to: `gpu${2 * at + 1}`,
    type: null,
    duplex: 100,
    simplex: null,
  }));
  const quickMark = node?.quickMark ? { ...node.quickMark, pairs } : null;
  const report = await read({ ...data, nodes: node ? [{ ...node, quickMark }] : [] });
  expect(report.text).toContain("Node 0, 64 of 40000 GPUs");
});

test("text of any characters is drawn without failing, and two names never look alike", async ({
  expect,
}) => {
  const typefaces = typefacesOf(await loadFonts(env.ASSETS));
  const show = (text: string) => toPrintable(text, (codePoint) => isDrawn(typefaces, codePoint));
  expect(show("plain (text)")).toBe("plain (text)");
  expect(show("Zu\u0308rich €")).toBe("Zürich €");
  expect(show("Δοκιμή, Проба ≥ 3")).toBe("Δοκιμή, Проба ≥ 3");
  expect(show("a\u0007b\u{E0001}")).toBe("a<U+0007>b<U+E0001>");
  expect(show("\u00a0\u3000|")).toBe("  |");
  expect(ranks([0, 1, 2, 5, 7, 8])).toBe("0–2, 5, 7–8");
});

test("figures keep what they say", ({ expect }) => {
  expect([13_902.4, 530.1, 9.87, 0.615, 0, 65, 1_234_567].map(figure)).toEqual([
    ...["13,902.4", "530.1", "9.87", "0.615", "0", "65", "1,234,567"],
  ]);
});

describe("what is sent without bound", () => {
  const chinese = (length: number) =>
    Array.from({ length }, (_, at) => String.fromCodePoint(0x4e00 + (at % 9_000))).join("");

  test("an inventory is bounded in the data, and in print", async ({ expect }) => {
    const sent = Object.fromEntries(
      Array.from({ length: 180 }, (_, at) => [`part_${at}`, chinese(390)]),
    );
    const { values, omitted } = readInventory(JSON.stringify(sent));
    const characters = values.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    expect(characters).toBeGreaterThan(9_500);
    expect(characters).toBeLessThanOrEqual(10_000);
    expect(values.length + omitted).toBe(180);
    const sample = sampleReport({ nodes: 1, gpus: 1 });
    const without = await draw(sample);
    const nodes = sample.nodes.map((node) => ({ ...node, inventory: values }));
    const bytes = await draw({ ...sample, nodes });
    expect(bytes.length - without.length).toBeLessThan(200_000);
    const { text } = await readPdf(bytes);
    expect(text.length).toBeLessThan(25_000);
    expect(text).toMatch(/and \d+ more rows, not shown/);
  });

  test("tables end where the report has no characters left, and say so; the rest follows", async ({
    expect,
  }) => {
    const sample = sampleReport({ nodes: 1, gpus: 1 });
    const event = { at: 1, kind: "failed", rank: null, message: "long ".repeat(200) };
    const { text } = await read({ ...sample, events: Array(1_000).fill(event) });
    expect(text).toMatch(/and 7\d\d more rows, not shown/);
    const task = taskDataOf({ ...sample, events: Array(1_000).fill({ ...event, rank: 0 }) }, 0);
    expect((await read(task)).text).toMatch(/and 9\d\d more rows, not shown/);
    expect(text).toContain("How to check this report");
  });

  test("a long event of the whole job is whole in its report, and cut in those of its nodes", async ({
    expect,
  }) => {
    const sample = sampleReport({ nodes: 2, gpus: 1 });
    const message = `${"long ".repeat(100)}end`;
    const data = { ...sample, events: [{ at: 1, kind: "failed", rank: null, message }] };
    expect((await read(jobDataOf(data))).text.replaceAll(/\s+/g, " ")).toContain("long long end");
    const task = taskDataOf(data, 1);
    expect(task.events[0]?.message).toBe(`${"long ".repeat(100).slice(0, 199)}…`);
    expect((await read(task)).text).not.toContain("long end");
  });

  test("a long reason that steps share is printed once", ({ expect }) => {
    const long = "it gave up ".repeat(10);
    const steps = [null, long, long, "short", "short", long].map((errorMessage) => ({
      errorMessage,
    }));
    expect(withoutRepeats(steps).map(({ errorMessage }) => errorMessage)).toEqual([
      null,
      long,
      "for the same reason as the step before",
      "short",
      "short",
      long,
    ]);
  });

  test("a job of more than eight nodes leaves inventories to the reports of its nodes", async ({
    expect,
  }) => {
    const few = sampleReport({ nodes: 8, gpus: 1 });
    expect((await read(jobDataOf(few))).text).toContain("AMD EPYC 7513");
    const many = sampleReport({ nodes: 9, gpus: 1 });
    const { text } = await read(jobDataOf(many));
    expect(text).not.toContain("AMD EPYC 7513");
    expect(text).toContain("The inventory of each node is in the node's own report.");
    expect((await read(taskDataOf(many, 4))).text).toContain("AMD EPYC 7513");
  });
});

test("an inventory shows a list of nothing as nothing", ({ expect }) => {
  expect(readInventory('{"disks":[],"tags":["a","b"]}').values).toEqual([
    ["disks", "–"],
    ["tags", "a, b"],
  ]);
});
