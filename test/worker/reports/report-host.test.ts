/** The report shows what HostMark measured, for each machine. */
import { env } from "cloudflare:workers";
import { test } from "vitest";
import { drawReport } from "../../../src/reports/drawing/draw-report.ts";
import { loadFonts } from "../../../src/reports/fonts.ts";
import { readNodeResults } from "../../../src/reports/node-results.ts";
import type { HostFigures, ReportData } from "../../../src/reports/report-data.ts";
import { readPdf } from "../../reports/read-pdf.ts";
import { sampleReport } from "../../reports/samples.ts";

const fonts = await loadFonts(env.ASSETS);

const FIGURES = {
  cpu_single_gbs: 1.993,
  cpu_all_gbs: 3.2,
  effective_cores: 1.6,
  memory_triad_gbs: 34.13,
  memory_copy_gbs: 34.77,
  disk_sequential_write_mbs: 1_913.1,
  disk_random_read_p50_us: 47.2,
};
const RESULT = {
  ...FIGURES,
  cpu: { available: 2 },
  disk_reason: null,
  extra: 5,
  measurement: { settled: false, conditions: { busy: true } },
};
const NONE = { gpuModel: null, gpuCount: 0, gpuModels: null };

function read(result: object) {
  const sequence = [
    { benchmark_id: "quick_mark", config: null },
    { benchmark_id: "host_mark", config: null },
  ];
  const text = JSON.stringify(result);
  const figures = readNodeResults(sequence, NONE, [{ position: 1, text }]).hosts.get(1);
  if (figures === undefined) throw new Error("the result was not read");
  return figures;
}

async function reportOf(runs: readonly (readonly HostFigures[])[]) {
  const data = sampleReport({ nodes: runs.length, gpus: 1, network: false });
  const [first] = data.job.steps;
  if (first === undefined) throw new Error("the sample has a step");
  const keys = [...new Set(runs.flat().map(({ key }) => key))];
  const steps = [first, ...keys.map((key) => ({ ...first, key, name: "HostMark" }))];
  const nodes = data.nodes.map((node, at) => ({ ...node, hosts: [...(runs[at] ?? [])] }));
  const changed: ReportData = { ...data, job: { ...data.job, steps }, nodes };
  return readPdf((await drawReport(changed, { hash: "0123456789abcdef".repeat(4), fonts })).bytes);
}

test("its figures, what cannot be true and how it was measured are read from the result", ({
  expect,
}) => {
  expect(read(RESULT)).toEqual({
    figures: FIGURES,
    implausible: {},
    diskReason: null,
    isBusy: true,
    isSettled: false,
  });
  const odd = read({ ...RESULT, effective_cores: 64, memory_copy_gbs: "NaN", disk_reason: "full" });
  expect(odd.implausible).toMatchObject({
    effective_cores: expect.stringContaining("cannot be true"),
    memory_copy_gbs: expect.stringContaining("cannot be true"),
  });
  expect(odd.figures).not.toHaveProperty("memory_copy_gbs");
  expect(odd.diskReason).toBe("full");
});

test("each machine has a row, each run a table; implausible figures are marked", async ({
  expect,
}) => {
  const calm = { ...RESULT, measurement: { settled: true, conditions: { busy: false } } };
  const odd = { ...RESULT, effective_cores: 64, disk_reason: "no space left on the device" };
  const { text } = await reportOf([
    [
      { key: "host_mark", ...read(RESULT) },
      { key: "host_mark:2", ...read(calm) },
    ],
    [{ key: "host_mark", ...read(odd) }],
  ]);
  const [, first = "", second = ""] = text.split(/^Host(?: \(run 2\))?$/m);
  expect(second, "a table for the second run").not.toBe("");
  const lines = first.split("\n");
  expect(text.match(/no baseline rates them/g), "one explanation").toHaveLength(1);
  expect(lines).toContain("1,913.1");
  expect(lines).toContain("! 64");
  expect(lines).toContain("MB/s");
  expect(lines).toContain("Nodes 0–1: measured while others used the machine.");
  expect(lines).toContain("Nodes 0–1: some figures had not settled.");
  expect(lines).toContain("Node 1: disk not measured: no space left on the device.");
  expect(text.slice(text.indexOf("Implausible readings")).split("\n").slice(5, 8)).toEqual([
    "1",
    "Effective cores",
    expect.stringMatching(/^64 cannot be true/),
  ]);
  expect(second.slice(0, second.indexOf("Figures by GPU"))).not.toMatch(/others used|settled/);
});

test("of many different reasons a report quotes the first ones", async ({ expect }) => {
  const runs = Array.from({ length: 20 }, (_, rank): HostFigures[] => [
    { key: "host_mark", ...read({ ...RESULT, disk_reason: `reason no. ${rank}` }) },
  ]);
  const { text } = await reportOf(runs);
  expect(text.match(/disk not measured: reason no\. \d+\./g)).toHaveLength(8);
  expect(text).toContain("Nodes 8–19: disk not measured, for other reasons.");
});

test("a job without it has no such section", async ({ expect }) => {
  const { text } = await reportOf([[], []]);
  expect(text.split("\n")).not.toContain("Host");
  expect(text).not.toContain("HostMark");
});
