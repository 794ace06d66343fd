/** The catalogue's pure parts: what agents may send, and what is made of it. */
import fc from "fast-check";
import { describe, test } from "vitest";
// Results of real agents; the demo replays them.
import a100Slow from "../../../agent/replays/a100-sxm4-40gb-x8-slow.json";
import a100 from "../../../agent/replays/a100-sxm4-80gb-x2.json";
import h100 from "../../../agent/replays/h100-80gb-hbm3-x8.json";
import h100Nvl from "../../../agent/replays/h100-nvl-x1.json";
import { CATALOGUE } from "../../../src/benchmarks/catalogue.ts";
import { clusterNetwork } from "../../../src/benchmarks/cluster-network.ts";
import { figuresOf, quickMark } from "../../../src/benchmarks/quick-mark.ts";
import { planSequence, resultKeys } from "../../../src/benchmarks/sequence.ts";
import { summarizeValues } from "../../../src/benchmarks/statistics.ts";

const measurer = (gpuCount: number | null = null) => ({
  hardware: { gpuModel: null, gpuCount, gpuModels: null },
  models: new Map<string, string>(),
});
const MINIMAL = { bf16_tflops: 100, memory_bandwidth_gbs: 1_000 };

describe("quick_mark results", () => {
  test.for([
    ["two A100s", a100],
    ["one H100 NVL, without an aggregate", h100Nvl],
    ["eight H100s", h100],
    ["the slow A100 host", a100Slow],
  ] as const)("recorded: %s", async ([, recording], { expect }) => {
    const parsed = quickMark.result.parse(recording.results);
    expect(parsed).toMatchObject(recording.results);
    expect(parsed).toMatchObject({
      aggregate_results: {
        bf16_tflops: expect.any(Number),
        memory_bandwidth_gbs: expect.any(Number),
      },
    });
  });

  test("one GPU without an aggregate: its figures are the node's; two GPUs need an aggregate", ({
    expect,
  }) => {
    const one = { test_results: [{ gpu_id: "GPU-1", ...MINIMAL }] };
    expect(quickMark.result.parse(one)).toEqual({
      ...one,
      aggregate_results: { gpu_id: "GPU-1", ...MINIMAL },
    });
    const two = { test_results: [MINIMAL, MINIMAL] };
    expect(quickMark.result.safeParse(two).success).toBe(false);
  });

  test("names of older agents are read as the new ones; a new name beside an old one wins", ({
    expect,
  }) => {
    const older = { ...MINIMAL, total_fp16_tflops: 5, total_fp32_tflops: 6, avg_temperature: 60 };
    expect(quickMark.result.parse({ aggregate_results: older })).toEqual({
      aggregate_results: { ...MINIMAL, fp16_tflops: 5, fp32_tflops: 6, temperature_centigrade: 60 },
    });
    const both = { ...MINIMAL, total_fp16_tflops: 5, fp16_tflops: 7 };
    expect(quickMark.result.parse({ aggregate_results: both })).toEqual({
      aggregate_results: both,
    });
  });

  test("both forms of the bandwidth matrix; the older array becomes the map", ({ expect }) => {
    const pair = { connection_type: "nvlink_v4_12x", duplex_gbs: 276.72, simplex_gbs: 273.95 };
    const matrix = { gpu0_to_gpu1: pair };
    const older = [{ source_gpu: 0, target_gpu: 1, ...pair }];
    for (const gpu_bandwidth_matrix of [matrix, older]) {
      const parsed = quickMark.result.parse({
        aggregate_results: { ...MINIMAL, gpu_bandwidth_matrix },
      });
      expect(parsed).toEqual({ aggregate_results: { ...MINIMAL, gpu_bandwidth_matrix: matrix } });
    }
  });

  test("identifiers in rows of D1 are short and well-formed; longer ones are in the result alone", ({
    expect,
  }) => {
    const ids = [
      "GPU-b2a1c8f0-0000-1111-2222-333344445555",
      "測".repeat(43),
      "\u0001".repeat(22),
      "\ud800",
    ];
    const test_results = ids.map((gpu_id) => ({ gpu_id, bf16_tflops: 1 }));
    const value = quickMark.result.parse({ aggregate_results: MINIMAL, test_results });
    const hardware = { gpuModel: null, gpuCount: null, gpuModels: null };
    const { gpus } = figuresOf(quickMark.digest(value, { hardware, models: new Map() }));
    expect(gpus?.map(({ id }) => id)).toEqual([ids[0], null, null, "\ufffd"]);
    const longest = [{ gpu_id: "測".repeat(42) }];
    const fits = quickMark.result.parse({ aggregate_results: MINIMAL, test_results: longest });
    const read = figuresOf(quickMark.digest(fits, { hardware, models: new Map() }));
    expect(read.gpus).toMatchObject([{ id: "測".repeat(42) }]);
  });

  test("the older form of the matrix has at most a pair for each two of 64 GPUs", ({ expect }) => {
    const pair = { source_gpu: 0, target_gpu: 1, duplex_gbs: 1 };
    const of = (pairs: number) =>
      quickMark.result.safeParse({
        aggregate_results: { ...MINIMAL, gpu_bandwidth_matrix: Array(pairs).fill(pair) },
      }).success;
    expect([of(4_096), of(4_097)]).toEqual([true, false]);
  });

  test("unknown fields are kept, at every level; null figures are allowed where optional", ({
    expect,
  }) => {
    const sent = {
      agent: "9.9",
      aggregate_results: { ...MINIMAL, fp8_tflops: 1, fp16_tflops: null, nested: { a: [1] } },
      test_results: [{ gpu_id: "x", anything: true }, {}],
    };
    expect(quickMark.result.parse(sent)).toEqual(sent);
  });

  test("fields are kept under their own names, whatever those names are", ({ expect }) => {
    const odd = { ...MINIMAL, constructor: 7, toString: 8, hasOwnProperty: 9 };
    expect(quickMark.result.parse({ aggregate_results: odd })).toEqual({ aggregate_results: odd });
  });

  test.for([
    ["nothing", {}],
    ["an aggregate without bf16_tflops", { aggregate_results: { memory_bandwidth_gbs: 1 } }],
    ["an aggregate without memory bandwidth", { aggregate_results: { bf16_tflops: 1 } }],
    ["a rated figure that is null", { aggregate_results: { ...MINIMAL, bf16_tflops: null } }],
    ["a rated figure as text", { aggregate_results: { ...MINIMAL, bf16_tflops: "1" } }],
    ["a figure as a list", { aggregate_results: { ...MINIMAL, fp16_tflops: [1] } }],
    ["a list", []],
    ["test results that are no list", { aggregate_results: MINIMAL, test_results: {} }],
  ] as const)("refused: %s", ([, results], { expect }) => {
    expect(quickMark.result.safeParse(results).success).toBe(false);
  });
});

describe("quick_mark summary over nodes", () => {
  const digestOf = (rank: number, results: unknown, gpuCount: number | null) => ({
    rank,
    gpuModel: null,
    gpuCount,
    gpuModels: null,
    digest: quickMark.digest(quickMark.result.parse(results), measurer(gpuCount)),
  });

  test("minimum, median, maximum, mean and total, over the nodes' aggregates", ({ expect }) => {
    const nodes = [10, 40, 20, 30].map((bf16_tflops, rank) =>
      digestOf(
        rank,
        { aggregate_results: { bf16_tflops, memory_bandwidth_gbs: 1, temperature_centigrade: 50 } },
        2,
      ),
    );
    expect(quickMark.summarize(nodes, 4)).toEqual({
      node_count: 4,
      gpu_count: 8,
      metrics: {
        bf16_tflops: { min: 10, median: 25, max: 40, mean: 25, total: 100 },
        memory_bandwidth_gbs: { min: 1, median: 1, max: 1, mean: 1, total: 4 },
        temperature_centigrade: { min: 50, median: 50, max: 50, mean: 50, total: null },
      },
    });
  });

  test("figures made from an impossible power reading are left out, of that node alone", ({
    expect,
  }) => {
    const sound = { ...MINIMAL, power_consumption_watts: 800, fp16_tflops_per_peak_watt: 0.6 };
    const impossible = { ...MINIMAL, power_consumption_watts: 41.7, fp16_tflops_per_peak_watt: 28 };
    const summary = quickMark.summarize(
      [
        digestOf(0, { aggregate_results: sound }, 2),
        digestOf(1, { aggregate_results: impossible }, 8),
      ],
      2,
    );
    expect(summary).toMatchObject({
      metrics: {
        bf16_tflops: { total: 200 },
        power_consumption_watts: { min: 800, max: 800 },
        fp16_tflops_per_peak_watt: { max: 0.6 },
      },
    });
  });

  test("no node, no summary; a node that said no GPU count has as many as it measured, else nobody knows", ({
    expect,
  }) => {
    expect(quickMark.summarize([], 4)).toBeNull();
    const two = { aggregate_results: MINIMAL, test_results: [{}, {}] };
    expect(quickMark.summarize([digestOf(0, two, null)], 1)).toMatchObject({ gpu_count: 2 });
    const none = { aggregate_results: MINIMAL };
    expect(quickMark.summarize([digestOf(0, none, null)], 1)).toMatchObject({ gpu_count: null });
  });
});

describe("cluster_network summary", () => {
  const link = (source_rank: number, target_rank: number, bandwidth_gbps: number) => ({
    source_rank,
    target_rank,
    bandwidth_gbps,
    latency_ms: 0.5,
  });
  const node = (rank: number, measurements: unknown[]) => ({
    rank,
    gpuModel: null,
    gpuCount: null,
    gpuModels: null,
    digest: { measurements },
  });

  test("averages and minimum over the good links; failed ones count as tested", ({ expect }) => {
    const dead = { source_rank: 1, target_rank: 0, error: "refused" };
    expect(
      clusterNetwork.summarize(
        [node(0, [link(0, 1, 40)]), node(1, [dead]), node(2, [link(2, 0, 50)])],
        3,
      ),
    ).toEqual({
      avg_bandwidth_gbps: 45,
      avg_latency: 0.5,
      min_bandwidth_gbps: 40,
      total_links_tested: 3,
      node_count: 3,
      // Judged from 6 links on.
      judgement: expect.objectContaining({ judged: false, median_gbps: 45, slow_link_count: 0 }),
    });
  });

  test("a null error is no error; figures beside an error do not count", ({ expect }) => {
    const results = {
      measurements: [
        { ...link(0, 1, 40), error: null },
        { ...link(0, 2, 90), error: "stalled" },
      ],
    };
    const digest = clusterNetwork.digest(clusterNetwork.result.parse(results), measurer());
    expect(
      clusterNetwork.summarize(
        [{ rank: 0, gpuModel: null, gpuCount: null, gpuModels: null, digest }],
        3,
      ),
    ).toMatchObject({
      avg_bandwidth_gbps: 40,
      total_links_tested: 2,
    });
  });

  test("every link failed: no averages rather than zeros; nothing sent: no summary", ({
    expect,
  }) => {
    const dead = { source_rank: 0, target_rank: 1, error: "refused" };
    expect(clusterNetwork.summarize([node(0, [dead])], 2)).toMatchObject({
      avg_bandwidth_gbps: null,
      avg_latency: null,
      min_bandwidth_gbps: null,
      total_links_tested: 1,
    });
    expect(clusterNetwork.summarize([], 2)).toBeNull();
    expect(clusterNetwork.summarize([node(0, [])], 2)).toBeNull();
  });
});

test("summaries do not depend on the order of values", ({ expect }) => {
  const values = fc.array(
    fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e9, max: 1e9 }),
    { minLength: 1 },
  );
  fc.assert(
    fc.property(values, fc.integer(), (some, seed) => {
      const shuffled = [...some].sort((a, b) => Math.sin(a + seed) - Math.sin(b + seed));
      const summary = summarizeValues(some, true);
      expect(summarizeValues(shuffled, true)).toEqual(summary);
      expect(summary?.min).toBeLessThanOrEqual(summary?.median ?? Number.NaN);
      expect(summary?.median).toBeLessThanOrEqual(summary?.max ?? Number.NaN);
    }),
  );
});

test("quick_mark is planned exactly first, whatever was asked for", ({ expect }) => {
  const choice = fc.constantFrom(
    { benchmark_id: "quick_mark" },
    { benchmark_id: "cluster_network", config: null },
    { benchmark_id: "cluster_network", config: { duration_seconds: 1 } },
    { benchmark_id: "cluster_network", config: { duration_seconds: 2 } },
  );
  fc.assert(
    fc.property(fc.uniqueArray(choice), (requested) => {
      const planned = planSequence(requested, 2);
      if (!planned.ok) throw new Error(planned.fault.kind);
      const ids = planned.sequence.map((step) => step.benchmark_id);
      expect(ids[0]).toBe("quick_mark");
      expect(ids.filter((id) => id === "quick_mark")).toHaveLength(1);
      expect(ids).toHaveLength(
        requested.length + (requested.some((item) => item.benchmark_id === "quick_mark") ? 0 : 1),
      );
      expect(new Set(resultKeys(planned.sequence)).size).toBe(ids.length);
    }),
  );
});

test("every benchmark names its fields, and the detail shows only fields it names", ({
  expect,
}) => {
  for (const benchmark of CATALOGUE) {
    expect(Object.keys(benchmark.fields).length).toBeGreaterThan(0);
    for (const field of benchmark.detailFields) expect(benchmark.fields).toHaveProperty(field);
  }
});
