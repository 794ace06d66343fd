/** The API, an export and a report agree about implausible figures. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { boundFault } from "../../../src/benchmarks/bounds.ts";
import { DATA_SHEETS } from "../../../src/benchmarks/data-sheets.ts";
import {
  findImplausible,
  implausibleFields,
  limitsBy,
  limitsOf,
} from "../../../src/benchmarks/plausibility.ts";
import { quickMark } from "../../../src/benchmarks/quick-mark.ts";
import { QUICK_MARK_METRICS } from "../../../src/benchmarks/quick-mark-metrics.ts";
import { SHIPPED } from "../../../src/benchmarks/shipped-baselines.ts";
import { readNodeResults } from "../../../src/reports/node-results.ts";
import { patient } from "../../patience.ts";
import { call, detail, join, putResult, resultBody } from "../harness/client.ts";
import { createJob, createPerson, measureJob } from "../harness/factories.ts";
import { rated } from "../harness/instruments.ts";
import { storedTexts, taskRows } from "../harness/rows.ts";

const MODEL = "NVIDIA A100-SXM4-80GB";
/** Plausible figures of two GPUs. */
const SOUND = {
  bf16_tflops: 530,
  memory_bandwidth_gbs: 3_480,
  fp16_tflops: 540,
  power_consumption_watts: 800,
  temperature_centigrade: 60,
  bf16_tflops_per_peak_watt: 0.66,
  fp16_tflops_per_peak_watt: 0.67,
};
const PER_WATT = ["bf16_tflops_per_peak_watt", "fp16_tflops_per_peak_watt"];
const ALL_POWER = ["power_consumption_watts", ...PER_WATT];

interface Odd {
  figures: object;
  gpuCount?: number | null;
  /** Length of the list of GPUs; the list is absent when this is. */
  measured?: number;
  implausible: string[];
}

const ODD: Record<string, Odd> = {
  nothing: { figures: {}, implausible: [] },
  "power below idle": { figures: { power_consumption_watts: 30 }, implausible: ALL_POWER },
  "power of no GPU": { figures: { power_consumption_watts: 20_000 }, implausible: ALL_POWER },
  "power against physics": { figures: { power_consumption_watts: 50 }, implausible: ALL_POWER },
  "no power reading, but a figure per watt": {
    figures: { power_consumption_watts: null, fp16_tflops_per_peak_watt: 28 },
    implausible: ["fp16_tflops_per_peak_watt"],
  },
  "zero per watt": {
    figures: { bf16_tflops_per_peak_watt: 0 },
    implausible: ["bf16_tflops_per_peak_watt"],
  },
  "no throughput, and what was computed from it": {
    figures: { bf16_tflops: 0 },
    implausible: ["bf16_tflops", "bf16_tflops_per_peak_watt"],
  },
  "throughput above the data sheet of an A100: the power is not blamed": {
    figures: { bf16_tflops: 20_440 },
    implausible: ["bf16_tflops", "bf16_tflops_per_peak_watt"],
  },
  "FP16 above the data sheet": {
    figures: { fp16_tflops: 660 },
    implausible: ["fp16_tflops", "fp16_tflops_per_peak_watt"],
  },
  "bandwidth above the data sheet": {
    figures: { memory_bandwidth_gbs: 4_290 },
    implausible: ["memory_bandwidth_gbs"],
  },
  "at 105 % of the data sheet": {
    figures: { bf16_tflops: 655.2, memory_bandwidth_gbs: 4_281.9 },
    implausible: [],
  },
  "negative bandwidth": {
    figures: { memory_bandwidth_gbs: -5 },
    implausible: ["memory_bandwidth_gbs"],
  },
  "bandwidth beyond all measure": {
    figures: { memory_bandwidth_gbs: 3e6 },
    implausible: ["memory_bandwidth_gbs"],
  },
  "colder than a cold room": {
    figures: { temperature_centigrade: -40 },
    implausible: ["temperature_centigrade"],
  },
  "a counter that ran over": {
    figures: { temperature_centigrade: 2_147_483_632 },
    implausible: ["temperature_centigrade"],
  },
  "a counter that is not there": {
    figures: { temperature_centigrade: 4_294_967_295, power_consumption_watts: 4_294_967_295 },
    implausible: ["temperature_centigrade", ...ALL_POWER],
  },
  "host bandwidth of another world": {
    figures: { host_to_device_bandwidth_gbs: 1.4e14, device_to_host_bandwidth_gbs: -3 },
    implausible: ["device_to_host_bandwidth_gbs", "host_to_device_bandwidth_gbs"],
  },
  "words in place of numbers": {
    figures: { temperature_centigrade: "NaN", l2_bandwidth_gbs: "-inf", fp16_tflops: "[N/A]" },
    implausible: ["fp16_tflops", "l2_bandwidth_gbs", "temperature_centigrade"],
  },
  "links, caches and launches beyond all measure": {
    figures: {
      l2_bandwidth_gbs: 0,
      kernel_launch_overhead_us: 2_147_483_632,
      allreduce_bandwidth_gbs: 4_294_967_295,
      broadcast_bandwidth_gbs: -1,
    },
    implausible: [
      "allreduce_bandwidth_gbs",
      "broadcast_bandwidth_gbs",
      "kernel_launch_overhead_us",
      "l2_bandwidth_gbs",
    ],
  },
  "what real links, caches and launches have": {
    figures: {
      l2_bandwidth_gbs: 1_418,
      kernel_launch_overhead_us: 2.99,
      host_to_device_bandwidth_gbs: 91,
      device_to_host_bandwidth_gbs: 79,
      allreduce_bandwidth_gbs: 182.36,
      broadcast_bandwidth_gbs: 267.43,
    },
    implausible: [],
  },
  "hotter than any GPU": {
    figures: { temperature_centigrade: 255 },
    implausible: ["temperature_centigrade"],
  },
  "power for one of eight GPUs, counted by their list": {
    figures: { power_consumption_watts: 130 },
    gpuCount: null,
    measured: 8,
    implausible: ALL_POWER,
  },
  "the same power, of a machine that states neither": {
    figures: { power_consumption_watts: 130 },
    gpuCount: null,
    implausible: [],
  },
  "more than any number of GPUs reaches, of a machine that states neither": {
    figures: { bf16_tflops: 21_000 },
    gpuCount: null,
    implausible: ["bf16_tflops", "bf16_tflops_per_peak_watt"],
  },
  "more GPUs stated than measured: the machine's own count decides": {
    figures: { power_consumption_watts: 130 },
    gpuCount: 8,
    measured: 4,
    implausible: ALL_POWER,
  },
};

describe("API, export and report leave out the same figures", () => {
  test.for(Object.entries(ODD))("%s", async ([, odd], { expect }) => {
    const { gpuCount = 2, measured } = odd;
    const aggregate = { ...SOUND, ...odd.figures };
    const sent = Object.entries(aggregate).flatMap(([name, figure]) =>
      figure === null ? [] : [name],
    );
    const results = {
      aggregate_results: aggregate,
      ...(measured === undefined ? {} : { test_results: Array(measured).fill({}) }),
    };
    const person = await createPerson();
    const job = await measureJob([{ gpu_model: MODEL, gpu_count: gpuCount, results }], person);
    const { token } = person;
    const leftOut = (kept: (name: string) => boolean) =>
      sent.filter((name) => !kept(name)).toSorted();

    const { metrics } = (await detail(job)).body.quickmark_aggregate_results;
    const inSummary = leftOut((name) => name in metrics);
    const csv = await call("GET", `/tasks?job_id=${job.id}`, {
      token,
      headers: { accept: "text/csv" },
    });
    // A comma within quotes, as findings have it, is none between cells.
    const [names = [], cells = []] = csv.text
      .split("\r\n")
      .map((line) => line.replaceAll(/"[^"]*"/g, "quoted").split(","));
    const inExport = leftOut((name) => cells[names.indexOf(name)] !== "");
    const report = await reportFigures(Number(job.id), gpuCount);
    const isPlausible = (name: string) =>
      !report.faults.some(({ field }) => field === `aggregate_results.${name}`);
    const inReport = leftOut(isPlausible);

    const expected = odd.implausible.toSorted();
    expect({ inSummary, inExport, inReport }).toEqual({
      inSummary: expected,
      inExport: expected,
      inReport: expected,
    });
    // What the API shows beside the results, with the same words everywhere.
    const { body: shown } = await call("GET", `/tasks/${Number(job.id) + 1}/results`, { token });
    const { implausible } = shown.benchmark_results.quick_mark;
    expect(implausible).toEqual(report.faults);
    const fields = implausible.map(({ field }: { field: string }) => field).toSorted();
    expect(fields).toEqual(expected.map((name) => `aggregate_results.${name}`));
    for (const { reason } of implausible) expect(reason).toContain("cannot be true");
    expect((await detail(job)).body.tasks[0].benchmark_results.quick_mark.implausible).toEqual(
      implausible,
    );
    const lines = await call("GET", `/tasks?job_id=${job.id}`, {
      token,
      headers: { accept: "application/x-ndjson" },
    });
    const withPosition = implausible.map((each: object) => ({ position: 0, ...each }));
    expect(JSON.parse(lines.text).implausible).toEqual(withPosition);
    for (const { field, reason } of implausible) {
      expect(csv.text.replaceAll('""', '"')).toContain(`0 ${field} ${reason}`);
    }
    // A verdict may lack more figures, such as per-GPU ones when the GPU count is unknown, but never fewer.
    const task = await call("GET", `/tasks/${Number(job.id) + 1}/results`, { token });
    for (const { metric, value, reason } of task.body.performance.metrics) {
      if (expected.includes(metric)) expect(value, metric).toBeNull();
      else expect(reason ?? "", metric).not.toContain("cannot be true");
    }
  });

  async function reportFigures(jobId: number, gpuCount: number | null) {
    const bodies = await storedTexts({ id: jobId });
    const sequence = [{ benchmark_id: "quick_mark", config: null }];
    const { quickMark } = readNodeResults(
      sequence,
      { gpuModel: MODEL, gpuCount, gpuModels: null },
      bodies,
    );
    if (quickMark === null) throw new Error("the report has no figures");
    return quickMark;
  }
});

describe("every field of a result has its bounds", () => {
  const hardware = { gpuModel: MODEL, gpuCount: 2, gpuModels: null };
  const faultsIn = (fields: object, place: "node" | "gpu" | "pair" = "gpu") => {
    const sound = { bf16_tflops: 265, memory_bandwidth_gbs: 1_740 };
    const result = quickMark.result.parse({
      aggregate_results: {
        bf16_tflops: 530,
        memory_bandwidth_gbs: 3_480,
        ...(place === "node" ? fields : {}),
        ...(place === "pair" ? { gpu_bandwidth_matrix: { gpu0_to_gpu1: fields } } : {}),
      },
      test_results: [sound, place === "gpu" ? { ...sound, ...fields } : sound],
    });
    return implausibleFields(result, hardware, new Map());
  };

  test.for([
    ["memory_temperature", 255],
    ["hotspot_celsius", -40],
    ["power_limit_watts", 2_147_483_632],
    ["power_limit_watts", -1],
    ["sm_clock_mhz", 0],
    ["memory_clock_mhz", 4_294_967_295],
    ["gpu_utilization", 101],
    ["memory_utilisation_percent", -1],
    ["memory_used_mib", 4_294_967_295],
    ["memory_total_mib", 0],
    ["memory_used_bytes", -1],
    ["fp8_tflops", -1],
    ["nvlink_bandwidth_gbs", 1.4e14],
    ["sync_overhead_us", 2_147_483_632],
    ["memory_temperature", "NaN"],
    ["sm_clock_mhz", "-1"],
    ["gpu_utilization", "[Unknown Error]"],
  ] as const)("%s cannot be %s", ([name, value], { expect }) => {
    for (const [place, path] of [
      ["gpu", `test_results.1.${name}`],
      ["node", `aggregate_results.${name}`],
    ] as const) {
      expect(faultsIn({ [name]: value }, place), place).toEqual([
        { field: path, reason: expect.stringContaining("cannot be true") },
      ]);
      const [fault] = faultsIn({ [name]: value }, place);
      expect(fault?.reason).toContain(String(value));
    }
  });

  test.for([
    { memory_temperature: 95, power_limit_watts: 700, sm_clock_mhz: 1_980 },
    { memory_clock_mhz: 14_001, gpu_utilization: 0, memory_used_mib: 0, memory_total_mib: 81_559 },
    { memory_used_gib: 1, memory_total_gib: 80, gpu_utilization: 100 },
    { clock_policy: "auto", temperature_unit: "C", gpu_status: "unknown", memory_used: null },
    { anything_else: 4_294_967_295, started_us_ago: "yes" },
  ])("nothing is wrong with %j", (fields, { expect }) => {
    expect(faultsIn(fields)).toEqual([]);
  });

  test("used memory is no more than all of it", ({ expect }) => {
    expect(faultsIn({ memory_used_mib: 90_000, memory_total_mib: 81_559 })).toEqual([
      {
        field: "test_results.1.memory_used_mib",
        reason: "90000 cannot be true: it is more than the total of 81559",
      },
    ]);
  });

  test.for([0, -1, 1.4e14, "NaN"])("a link between GPUs cannot have %s", (value, { expect }) => {
    for (const name of ["simplex_gbs", "duplex_gbs"]) {
      expect(faultsIn({ [name]: value }, "pair")).toEqual([
        {
          field: `aggregate_results.gpu_bandwidth_matrix.gpu0_to_gpu1.${name}`,
          reason: expect.stringContaining("cannot be true"),
        },
      ]);
    }
    expect(faultsIn({ simplex_gbs: 273.95, duplex_gbs: 276.72 }, "pair")).toEqual([]);
  });

  test("whatever is sent, the list is bounded, and each entry is short", ({ expect }) => {
    const value = fc.oneof(fc.double(), fc.string({ maxLength: 64 }), fc.constant(null));
    const names = fc.constantFrom("temperature_centigrade", "x_mhz", "memory_used_mib", "y_us");
    fc.assert(
      fc.property(fc.array(fc.dictionary(names, value), { maxLength: 64 }), (test_results) => {
        const aggregate_results = { bf16_tflops: 1, memory_bandwidth_gbs: 1 };
        const result = { aggregate_results, test_results };
        const faults = implausibleFields(result, hardware, new Map());
        expect(faults.length).toBeLessThanOrEqual(64);
        for (const { field, reason } of faults) {
          expect(field.length).toBeLessThanOrEqual(200);
          expect(reason.length).toBeLessThanOrEqual(1_024);
        }
      }),
    );
  });
});

describe("links between nodes", () => {
  const link = (figures: object) => ({ source_rank: 0, target_rank: 1, ...figures });
  const sound = { bandwidth_gbps: 45.2, latency_ms: 0.8 };

  test.for([
    { bandwidth_gbps: 1.4e14 },
    { bandwidth_gbps: -1 },
    { bandwidth_gbps: "NaN" },
    { latency_ms: 4_294_967_295 },
    { latency_ms: 0 },
  ])(
    "%j counts as tested, in no average, and is marked in the API, export and report",
    async (odd, { expect }) => {
      const owner = await createPerson();
      const job = await createJob({ node_count: 2, benchmarks: ["cluster_network"] }, owner);
      const tasks = [await join(job), await join(job)].map(({ body }) => body.id);
      for (const id of tasks) await putResult(job, id, 0);
      const sent = [{ ...sound, ...odd }, sound].map((figures, rank) => ({
        ...link(figures),
        source_rank: rank,
        target_rank: 1 - rank,
      }));
      for (const [rank, id] of tasks.entries()) {
        const reply = await putResult(job, id, 1, resultBody({ measurements: [sent[rank]] }));
        expect(reply.status, reply.text).toBe(200);
      }
      await rated(job);
      const { body } = await detail(job);
      const { results, implausible } = body.benchmark_results.cluster_network;
      expect(results).toMatchObject({
        avg_bandwidth_gbps: 45.2,
        avg_latency: 0.8,
        total_links_tested: 2,
      });
      const [field = ""] = Object.keys(odd);
      const reason = expect.stringContaining("cannot be true");
      expect(implausible).toEqual([{ field: `nodes.0.measurements.0.${field}`, reason }]);
      expect(body.tasks[0].benchmark_results.cluster_network.implausible).toEqual([
        { field: `measurements.0.${field}`, reason },
      ]);
      expect(body.tasks[1].benchmark_results.cluster_network.implausible).toEqual([]);
      const { token } = owner;
      const all = await call("GET", `/jobs/${job.id}/results`, { token });
      expect(all.body.cluster_network.results.measurements).toEqual([
        { ...sent[0], implausible: reason },
        sent[1],
      ]);
      const headers = { accept: "application/x-ndjson" };
      const lines = await call("GET", `/tasks?job_id=${job.id}&sort_order=asc`, { token, headers });
      expect(JSON.parse(lines.text.split("\n")[0] ?? "").implausible).toEqual([
        { position: 1, field: `measurements.0.${field}`, reason },
      ]);
      const bodies = (await storedTexts({ id: Number(job.id) })).filter(
        ({ position }) => position === 1,
      );
      const sequence = ["quick_mark", "cluster_network"].map((id) => ({
        benchmark_id: id,
        config: null,
      }));
      const hardware = { gpuModel: null, gpuCount: null, gpuModels: null };
      const read = readNodeResults(sequence, hardware, bodies.slice(0, 1));
      expect(JSON.stringify(read.links.get(1))).toContain("cannot be true");
    },
  );
});

test("the reason of a figure that is too small is not that of one that is too large", ({
  expect,
}) => {
  expect(boundFault("latency_ms", 0, 1)).toBe(
    "0 ms cannot be true: possible is more than 0, up to 60000 ms",
  );
  expect(boundFault("latency_ms", 1e7, 1)).toBe(
    "10000000 ms cannot be true: no network takes so long; possible is more than 0, up to 60000 ms",
  );
});

test("every reason says that the figure cannot be true, and names it", ({ expect }) => {
  const impossible = Object.fromEntries(QUICK_MARK_METRICS.map(({ name }) => [name, -1]));
  const faults = findImplausible(impossible, 1, limitsOf(null));
  expect([...faults.keys()]).toEqual(QUICK_MARK_METRICS.map(({ name }) => name));
  for (const [metric, fault] of faults) expect(fault, metric).toMatch(/-1 .*cannot be true/);
});

describe("limits of throughput", () => {
  test("are the same again, and after many other names", ({ expect }) => {
    const names = [null, "NVIDIA L4", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", "Unknown 1"];
    const first = names.map((name) => [...limitsOf(name)]);
    expect(names.map((name) => [...limitsOf(name)])).toEqual(first);
    for (let other = 0; other < 1_200; other++) limitsOf(`Card ${other}`);
    expect(names.map((name) => [...limitsOf(name)])).toEqual(first);
  });

  const atMost = (gpuModel: string | null, metric: "bf16_tflops" | "memory_bandwidth_gbs") =>
    limitsOf(gpuModel).get(metric)?.max;

  test("are 105 % of the dense peak of exactly this model, in any spelling", ({ expect }) => {
    for (const [name, bf16, memory] of [
      ["NVIDIA A100-SXM4-40GB", 327.6, 1_632.75],
      ["Tesla A100 SXM4 80 GB", 327.6, 2_140.95],
      ["NVIDIA H100 80GB HBM3", 1_038.45, 3_517.5],
      ["H100 NVL 94GB", 876.75, 4_134.9],
      ["NVIDIA H100 PCIe", 793.8, 2_100],
      ["NVIDIA L4", 127.05, 315],
    ] as const) {
      expect([atMost(name, "bf16_tflops"), atMost(name, "memory_bandwidth_gbs")], name).toEqual([
        bf16,
        memory,
      ]);
    }
  });

  test("are 3 times the recorded median of a model without a sheet, else those of any GPU", ({
    expect,
  }) => {
    const recorded = limitsBy(null, SHIPPED.get("h100-nvl") ?? null);
    expect(recorded.get("bf16_tflops")).toMatchObject({ max: 1_356.6 });
    expect(recorded.get("memory_bandwidth_gbs")).toMatchObject({ max: 9_762 });
    expect(recorded.get("fp16_tflops"), "of which nothing is recorded").toMatchObject({
      max: 4_000,
    });
    for (const name of ["Unheard-of GPU 9000", "A100", null]) {
      expect([atMost(name, "bf16_tflops"), atMost(name, "memory_bandwidth_gbs")]).toEqual([
        4_000, 16_000,
      ]);
    }
  });

  test("are per GPU, both ends included, and the reason names figure and bound", ({ expect }) => {
    const limits = limitsOf("NVIDIA H100 NVL");
    const of = (bf16_tflops: number, gpus: number) =>
      findImplausible({ bf16_tflops }, gpus, limits).get("bf16_tflops");
    expect(of(876.75, 1)).toBeUndefined();
    expect(of(8 * 876.75, 8)).toBeUndefined();
    expect(of(5_000, 1)).toBe(
      "5000 TFLOPS for 1 GPU cannot be true: above 876.75 TFLOPS per GPU, 5 % above the data sheet's 835",
    );
    expect(of(8 * 877, 8)).toContain("for 8 GPUs cannot be true");
  });

  test("no recorded run and no healthy share of a data sheet is beyond them", ({ expect }) => {
    for (const [model, { bf16_tflops, memory_bandwidth_gbs }] of SHIPPED) {
      expect(bf16_tflops.max).toBeLessThan(atMost(model, "bf16_tflops") ?? 0);
      expect(memory_bandwidth_gbs.max).toBeLessThan(atMost(model, "memory_bandwidth_gbs") ?? 0);
    }
    for (const { bf16Tflops, memoryBandwidthGbs } of DATA_SHEETS.values()) {
      expect(bf16Tflops, "unknown models have wider limits").toBeLessThan(4_000);
      expect(memoryBandwidthGbs).toBeLessThan(16_000);
    }
  });
});

test("paths are well-formed where they are cut, whatever names agents choose", ({ expect }) => {
  const names = [`${"x".repeat(161)}😀`, "\ud83d"];
  const pairs = names.map((name) => [name, { duplex_gbs: -1 }] as const);
  const aggregate_results = { ...SOUND, gpu_bandwidth_matrix: Object.fromEntries(pairs) };
  const hardware = { gpuModel: MODEL, gpuCount: 2, gpuModels: null };
  const fields = implausibleFields({ aggregate_results }, hardware, new Map()).map(
    ({ field }) => field,
  );
  expect(fields).toEqual([
    `aggregate_results.gpu_bandwidth_matrix.${"x".repeat(161)}`,
    "aggregate_results.gpu_bandwidth_matrix.\ufffd.duplex_gbs",
  ]);
});

test("of a large job, all together are bounded: later results list the first alone", {
  timeout: patient(60_000),
}, async ({ expect }) => {
  const size = 32;
  const job = await createJob({ node_count: size });
  const ids: string[] = [];
  for (let rank = 0; rank < size; rank++) ids.push(String((await join(job)).body.id));
  const pairs = Array.from({ length: 64 }, (_, at) => [
    `${at} `.padEnd(150, "測"),
    { duplex_gbs: -1 },
  ]);
  const aggregate_results = { ...SOUND, gpu_bandwidth_matrix: Object.fromEntries(pairs) };
  for (const id of ids) {
    expect((await putResult(job, id, 0, resultBody({ aggregate_results }))).status).toBe(200);
  }
  const listed: number[] = (await detail(job)).body.tasks.map(
    (task: { benchmark_results: { quick_mark: { implausible: object[] } } }) =>
      task.benchmark_results.quick_mark.implausible.length,
  );
  expect(listed.slice(0, 15)).toEqual(Array(15).fill(64));
  expect(listed.at(-1)).toBe(1);
  const text = JSON.stringify((await taskRows(job)).map(({ implausible }) => implausible));
  expect(text.length).toBeLessThan(1_200_000);
});
