/** The rating itself, without a database: real machines, missing and impossible figures, and its laws. */

import fc from "fast-check";
import { describe, test } from "vitest";
import slowA100 from "../../../agent/replays/a100-sxm4-40gb-x8-slow.json";
import twoA100 from "../../../agent/replays/a100-sxm4-80gb-x2.json";
import eightH100 from "../../../agent/replays/h100-80gb-hbm3-x8.json";
import oneH100 from "../../../agent/replays/h100-nvl-x1.json";
import { normalizeModel } from "../../../src/benchmarks/models.ts";
import { limitsOf } from "../../../src/benchmarks/plausibility.ts";
import { SHIPPED_BASELINES } from "../../../src/benchmarks/shipped-baselines.ts";
import { readConfig } from "../../../src/lib/config.ts";
import type { NodeVerdict } from "../../../src/lib/stored-json.ts";
import { chooseBaseline } from "../../../src/scoreboard/baselines.ts";
import { readingsOf } from "../../../src/scoreboard/figures.ts";
import { findStragglers } from "../../../src/scoreboard/observations.ts";
import { rateJob, rateMetric } from "../../../src/scoreboard/verdict.ts";
import {
  healthy,
  type Machine,
  metricOf,
  SETTINGS,
  statuses,
  THRESHOLDS,
  verdictOf,
} from "./verdict-fixtures.ts";

describe("real machines", () => {
  test.for([
    [1, 154, 4.64],
    [8, 149 * 8, 41.7],
  ])(
    "the A100 host of %i GPUs is slow, and its power reading nonsense",
    ([gpus = 0, bf16, watts], { expect }) => {
      const verdict = verdictOf({
        gpu_model: "NVIDIA A100-SXM4-40GB",
        gpu_count: gpus,
        results: {
          aggregate_results: {
            bf16_tflops: bf16,
            memory_bandwidth_gbs: 1_371 * gpus,
            power_consumption_watts: watts,
            fp16_tflops_per_peak_watt: 28,
          },
        },
      });
      expect(verdict.status).toBe("underperforming");
      expect(statuses(verdict)).toEqual({
        bf16_tflops: "underperforming",
        memory_bandwidth_gbs: "expected",
        power_consumption_watts: "unrated",
        fp16_tflops_per_peak_watt: "unrated",
      });
      const compute = metricOf(verdict, "bf16_tflops");
      expect(compute).toMatchObject({ baseline: 255.5, source: "shipped", sampleSize: 12 });
      expect(compute?.ratio).toBeCloseTo(gpus === 1 ? 0.603 : 0.583, 3);
      expect(compute?.reason).toMatch(/^(60.3|58.3) % of the shipped baseline: below 90 %$/);
      for (const name of ["power_consumption_watts", "fp16_tflops_per_peak_watt"]) {
        expect(metricOf(verdict, name)).toMatchObject({ value: null, ratio: null, baseline: null });
        expect(metricOf(verdict, name)?.reason).toContain("cannot be true");
      }
    },
  );

  test("the recorded results come out as they should", ({ expect }) => {
    const found = [slowA100, twoA100, eightH100, oneH100].map((replay) => verdictOf(replay).status);
    expect(found).toEqual(["underperforming", "expected", "expected", "unrated"]);
  });

  test("every recorded median of several runs is expected, and that of one gives no verdict", ({
    expect,
  }) => {
    for (const model of SHIPPED_BASELINES) {
      const verdict = verdictOf({
        gpu_model: model.gpuModel,
        gpu_count: 4,
        results: {
          aggregate_results: {
            bf16_tflops: model.bf16_tflops.median * 4,
            memory_bandwidth_gbs: model.memory_bandwidth_gbs.median * 4,
          },
        },
      });
      const isSingle = model.bf16_tflops.runs === 1;
      expect(verdict.status, model.gpuModel).toBe(isSingle ? "unrated" : "expected");
      const compute = metricOf(verdict, "bf16_tflops");
      expect(compute).toMatchObject({ ratio: 1, sampleSize: model.bf16_tflops.runs });
      if (isSingle) expect(compute?.reason).toContain("a single machine");
    }
  });

  test("a model of which there is a data sheet alone is unrated, and so is one never seen", ({
    expect,
  }) => {
    for (const gpu_model of ["NVIDIA H200", "NVIDIA H100 PCIe", "Unheard-of GPU 9000"]) {
      const verdict = verdictOf({ ...healthy(8), gpu_model });
      expect(verdict.status, gpu_model).toBe("unrated");
      expect(metricOf(verdict, "bf16_tflops")).toMatchObject({ value: 265.2, baseline: null });
    }
  });
});

describe("what is missing or cannot be true is never healthy", () => {
  test.for<[string, Machine, string]>([
    ["a CPU-only machine", { ...healthy(1), gpu_count: 0 }, "no GPU"],
    ["an unnamed model", { ...healthy(1), gpu_model: null }, "named no GPU model"],
    ["an unknown number of GPUs", { ...healthy(8), gpu_count: null }, "how many GPUs"],
    ["zero", healthy(2, { bf16_tflops: 0, memory_bandwidth_gbs: 0 }), "cannot be true"],
    ["negative", healthy(2, { bf16_tflops: -1, memory_bandwidth_gbs: -5 }), "cannot be true"],
    ["beyond all measure", healthy(1, { bf16_tflops: 1e300, memory_bandwidth_gbs: 1e9 }), "cannot"],
    [
      "fewer GPU entries than GPUs",
      { ...healthy(2), results: { ...healthy(2).results, test_results: [{ bf16_tflops: 265 }] } },
      "figures of 1 GPU, but the machine has 2",
    ],
    [
      "no GPU entry at all",
      { ...healthy(2), results: { ...healthy(2).results, test_results: [] } },
      "figures of 0 GPUs",
    ],
    [
      "more GPU entries than GPUs",
      {
        ...healthy(8),
        gpu_count: 1,
        results: { ...healthy(8).results, test_results: Array(8).fill({}) },
      },
      "figures of 8 GPUs, but the machine has 1",
    ],
  ])("%s", ([_what, machine, reason], { expect }) => {
    const verdict = verdictOf(machine);
    expect(verdict.status).toBe("unrated");
    for (const metric of ["bf16_tflops", "memory_bandwidth_gbs"]) {
      expect(metricOf(verdict, metric)).toMatchObject({ value: null, ratio: null });
      expect(metricOf(verdict, metric)?.reason).toContain(reason);
    }
  });

  test("a step that did not complete", ({ expect }) => {
    const hardware = { gpuModel: "NVIDIA H100 NVL", gpuCount: 1, gpuModels: null };
    const readings = readingsOf(null, hardware, THRESHOLDS);
    expect(readings.map(({ fault }) => fault)).toEqual(Array(3).fill("QuickMark did not complete"));
  });

  test("one impossible metric unrates itself alone, and never lets the node outperform", ({
    expect,
  }) => {
    const half = verdictOf(healthy(2, { bf16_tflops: 0, memory_bandwidth_gbs: 3_480 }));
    expect(half.status).toBe("expected");
    expect(statuses(half)).toMatchObject({
      bf16_tflops: "unrated",
      memory_bandwidth_gbs: "expected",
    });
    const fast = { bf16_tflops: 0, memory_bandwidth_gbs: 2 * 1_950 };
    expect(verdictOf(healthy(2, fast)).status).toBe("expected");
    const bothFast = { bf16_tflops: 2 * 310, memory_bandwidth_gbs: 2 * 1_950 };
    expect(verdictOf(healthy(2, bothFast)).status).toBe("outperforming");
  });

  test("power far below idle, above any GPU's, or too efficient for physics", ({ expect }) => {
    const power = (watts: number) =>
      metricOf(
        verdictOf(healthy(2, { power_consumption_watts: watts })),
        "power_consumption_watts",
      );
    expect(power(800)).toMatchObject({ value: 400, status: "unrated" });
    expect(power(800)?.reason).toContain("not rated");
    for (const watts of [-800, 0, 39, 50, 20_000]) {
      expect(power(watts), String(watts)).toMatchObject({ value: null });
      expect(power(watts)?.reason).toContain("cannot be true");
    }
    const perWatt = { power_consumption_watts: 800, fp16_tflops_per_peak_watt: 40 };
    expect(metricOf(verdictOf(healthy(2, perWatt)), "fp16_tflops_per_peak_watt")).toMatchObject({
      value: null,
      reason: "40 TFLOPS per watt cannot be true",
    });
  });

  test("older agents' names and the older matrix are read as today's", ({ expect }) => {
    const { bf16_tflops, ...others } = healthy(2).results.aggregate_results;
    const older = {
      ...healthy(2),
      results: {
        aggregate_results: {
          ...others,
          total_bf16_tflops: bf16_tflops,
          gpu_bandwidth_matrix: [{ source_gpu: 0, target_gpu: 1, duplex_gbs: 276 }],
        },
      },
    };
    expect(verdictOf(older)).toEqual(verdictOf(healthy(2)));
  });
});

describe("within a node", () => {
  const limits = limitsOf("NVIDIA A100-SXM4-80GB");
  const gpu = (bf16: number | null, memory: number | null = null, id: string | null = null) => ({
    id,
    bf16_tflops: bf16,
    memory_bandwidth_gbs: memory,
    model: null,
  });

  test("a GPU below 95 % of its siblings' median is named, by its place", ({ expect }) => {
    const gpus = [gpu(265), gpu(266), gpu(240, 1_700, "GPU-x"), gpu(264, 1_740), gpu(265, 1_741)];
    expect(findStragglers(gpus, THRESHOLDS, limits)).toEqual([
      {
        gpu: 2,
        gpuId: "GPU-x",
        metric: "bf16_tflops",
        value: 240,
        median: 265,
        ratio: 0.90566,
      },
    ]);
  });

  test("exactly 95 % does not lag; a dead GPU and an impossible figure do; one alone has no siblings", ({
    expect,
  }) => {
    expect(findStragglers([gpu(100), gpu(95), gpu(100)], THRESHOLDS, limits)).toEqual([]);
    expect(findStragglers([gpu(100), gpu(0), gpu(100)], THRESHOLDS, limits)).toMatchObject([
      { gpu: 1, value: 0, ratio: null },
    ]);
    expect(findStragglers([gpu(100), gpu(5_000), gpu(100)], THRESHOLDS, limits)).toMatchObject([
      { gpu: 1, value: 5_000, ratio: null },
    ]);
    expect(findStragglers([gpu(10)], THRESHOLDS, limits)).toEqual([]);
    expect(findStragglers([gpu(null), gpu(10)], THRESHOLDS, limits)).toEqual([]);
  });

  test("the lagging GPU is named in the verdict of a node whose sum is fine", ({ expect }) => {
    const machine = healthy(2);
    const test_results = [{ bf16_tflops: 290 }, { bf16_tflops: 240, gpu_id: "GPU-slow" }];
    const verdict = verdictOf({ ...machine, results: { ...machine.results, test_results } });
    expect(verdict.status).toBe("expected");
    expect(verdict.stragglers).toMatchObject([{ gpu: 1, gpuId: "GPU-slow" }]);
  });
});

describe("a job", () => {
  const node = (rank: number, bf16: number, count: number | null = 1): NodeVerdict => ({
    ...verdictOf({ ...healthy(1, { bf16_tflops: bf16 }), gpu_count: count }),
    rank,
  });

  test("is underperforming when one node is; the lowest node stands for a metric", ({ expect }) => {
    const verdict = rateJob([node(0, 265), node(1, 100), node(2, 265, null)], 7);
    expect(verdict).toMatchObject({
      status: "underperforming",
      baselineVersion: 7,
      ratedNodes: 2,
      underperformingNodes: 1,
    });
    expect(metricOf(verdict, "bf16_tflops")).toMatchObject({
      value: 100,
      status: "underperforming",
      reason: "node 1 is the lowest of 2 rated: 37.7 % of the shipped baseline: below 90 %",
    });
    expect(metricOf(verdict, "memory_bandwidth_gbs")).toMatchObject({ status: "expected" });
    expect(metricOf(verdict, "power_consumption_watts"), "rates nobody").toMatchObject({
      value: null,
      status: "unrated",
      reason: "for information: each node has its own",
    });
  });

  test("shows the lowest figures compared with the baseline of one machine", ({ expect }) => {
    const single = (rank: number, bf16_tflops: number) => ({
      ...verdictOf({ ...healthy(1, { bf16_tflops }), gpu_model: "NVIDIA H100 NVL" }),
      rank,
    });
    const verdict = rateJob([single(0, 450), single(1, 400)], 0);
    expect(verdict).toMatchObject({ status: "unrated", ratedNodes: 0 });
    expect(metricOf(verdict, "bf16_tflops")).toMatchObject({
      value: 400,
      baseline: 452.2,
      status: "unrated",
      reason: expect.stringMatching(/^no node is rated; node 1: .* single machine/),
    });
  });

  test("is unrated when no node is rated, and outperforming when all rated ones are", ({
    expect,
  }) => {
    const none = rateJob([node(0, 265, null), node(1, 265, null)], 0);
    expect(none).toMatchObject({ status: "unrated", ratedNodes: 0 });
    expect(metricOf(none, "bf16_tflops")).toMatchObject({ value: null, status: "unrated" });
    const fast = { ...node(0, 400), status: "outperforming" as const };
    expect(rateJob([fast, node(1, 265, null)], 0).status).toBe("outperforming");
    expect(rateJob([fast, node(1, 265)], 0).status).toBe("expected");
  });
});

describe("baselines", () => {
  const shipped = { median: 255.5, runs: 12 };
  const of = (median: number, machines = 40) => ({ median, machines });
  const choose = (
    own: ReturnType<typeof of> | null,
    all: ReturnType<typeof of> | null,
    others: { shipped?: typeof shipped | null; pinned?: number } = {},
  ) => chooseBaseline({ fleets: { own, all }, shipped, pinned: null, ...others }, THRESHOLDS);

  test("the highest of own fleet, fleet and recorded runs rates; all three are shown", ({
    expect,
  }) => {
    const shown = { ownFleet: 150, fleet: 200, shipped: 255.5 };
    expect(choose(of(150), of(200))).toEqual({
      value: 255.5,
      source: "shipped",
      sampleSize: 12,
      ...shown,
    });
    expect(choose(of(150), of(280))).toMatchObject({ source: "fleet", value: 280, sampleSize: 40 });
    expect(choose(of(290, 31), of(280))).toEqual({
      value: 290,
      source: "own_fleet",
      sampleSize: 31,
      ownFleet: 290,
      fleet: 280,
      shipped: 255.5,
    });
    expect(choose(null, null)).toMatchObject({ source: "shipped", ownFleet: null, fleet: null });
    expect(choose(null, null, { shipped: null })).toBeNull();
  });

  test("a fleet that is mostly bad does not become the yardstick", ({ expect }) => {
    const reading = { metric: "bf16_tflops", gpuModel: null, value: 150, fault: null };
    expect(rateMetric(reading, choose(of(150), of(150)), THRESHOLDS)).toMatchObject({
      status: "underperforming",
      ownFleetBaseline: 150,
      fleetBaseline: 150,
      shippedBaseline: 255.5,
    });
  });

  test("29 machines are no fleet; a pinned value goes before all", ({ expect }) => {
    expect(choose(of(290, 29), of(280, 29))).toMatchObject({
      source: "shipped",
      ownFleet: null,
      fleet: null,
    });
    expect(choose(of(290), of(280), { pinned: 200 })).toMatchObject({
      value: 200,
      source: "pinned",
      sampleSize: null,
    });
  });

  test("the figure of one machine gives no verdict, and way to any median of several", ({
    expect,
  }) => {
    const single = { shipped: { median: 452.2, runs: 1 } };
    expect(choose(of(430), null, single)).toMatchObject({ source: "own_fleet", shipped: 452.2 });
    const reading = { metric: "bf16_tflops", gpuModel: null, value: 40, fault: null };
    expect(rateMetric(reading, choose(null, null, single), THRESHOLDS)).toMatchObject({
      status: "unrated",
      value: 40,
      baseline: 452.2,
      ratio: 0.088456,
      sampleSize: 1,
      source: "shipped",
      reason: "the baseline comes from a single machine, too few for a verdict",
    });
  });
});

describe("one model, however it is spelled", () => {
  test.for([
    [
      "a100-sxm4-80gb",
      "NVIDIA A100-SXM4-80GB",
      "Tesla A100 SXM4 80 GB",
      "NVIDIA Corporation A100-SXM4-80GiB",
      "nvidia_a100_sxm4_80gb",
      "A100 80GB SXM4",
      "NVIDIA® A100 Tensor Core GPU SXM 80GB",
    ],
    ["h100-80gb-hbm3", "NVIDIA H100 80GB HBM3", "H100 SXM5 80GB", "NVIDIA H100 SXM 80GB HBM3"],
    ["h100-pcie", "NVIDIA H100 PCIe", "NVIDIA H100 PCIe 80GB"],
    ["h100-nvl", "NVIDIA H100 NVL", "H100 NVL 94GB"],
    ["h200", "NVIDIA H200", "NVIDIA H200 SXM5 141GB HBM3e", "H200-SXM"],
    ["l4", "NVIDIA L4", "L4 24GB"],
    ["rtx-4090", "NVIDIA GeForce RTX 4090", "GeForce RTX 4090 Graphics Card"],
    ["mi300x-oam", "AMD Instinct MI300X OAM", "Advanced Micro Devices, Inc. Instinct MI300X (OAM)"],
  ])("%s", ([model = "", ...spellings], { expect }) => {
    for (const spelling of spellings) expect(normalizeModel(spelling), spelling).toBe(model);
  });

  test("memory sizes, form factors, generations and slices stay apart", ({ expect }) => {
    const names = [
      ...["A100-SXM4-40GB", "A100-SXM4-80GB", "A100-PCIE-40GB", "A100 80GB PCIe", "A100"],
      ...["H100 80GB HBM3", "H100 80GB HBM2e", "H100 PCIe", "H100 NVL", "H100", "H200", "H200 NVL"],
      ...[
        "A100-SXM4-40GB MIG 1g.5gb",
        "V100-SXM2-32GB",
        "V100-SXM3-32GB",
        "V100-SXM2-16GB",
        "GB200",
      ],
      ...["L4", "L40", "L40S", "A10", "A10G", "RTX 6000 Ada Generation", "Quadro RTX 6000", "B200"],
    ];
    expect(new Set(names.map(normalizeModel)).size).toBe(names.length);
    expect([null, "", " - ", "®"].map(normalizeModel)).toEqual([null, null, null, null]);
  });

  test("naming twice changes nothing", ({ expect }) => {
    const word = fc.constantFrom(
      "NVIDIA",
      "A100",
      "SXM4",
      "80GB",
      "80 GB",
      "PCIe",
      "-",
      "_",
      "HBM3",
      "GPU",
      "MIG 1g.5gb",
      "é",
    );
    const names = fc.oneof(
      fc.array(word, { maxLength: 8 }).map((words) => words.join(" ")),
      fc.string({ unit: "grapheme", maxLength: 128 }),
    );
    fc.assert(
      fc.property(names, (name) => {
        const once = normalizeModel(name);
        expect(normalizeModel(once)).toBe(once);
      }),
    );
  });
});

test("thresholds are configuration, refused by name when they make no sense", ({ expect }) => {
  const changed = { ...SETTINGS, UNDERPERFORMING_BELOW: "0.8", FLEET_MIN_MACHINES: "50" };
  expect(readConfig(changed).rating).toEqual({
    underperformingBelow: 0.8,
    outperformingAbove: 1.1,
    stragglerBelow: 0.95,
    dropBelow: 0.9,
    fleetMinMachines: 50,
    rateReplays: false,
  });
  for (const [name, value] of [
    ["UNDERPERFORMING_BELOW", "1.5"],
    ["OUTPERFORMING_ABOVE", "0.9"],
    ["STRAGGLER_BELOW", "-1"],
    ["DROP_BELOW", "90%"],
    ["FLEET_MIN_MACHINES", "1"],
    ["FLEET_MIN_MACHINES", "30.5"],
  ] as const) {
    expect(() => readConfig({ ...SETTINGS, [name]: value }), `${name}=${value}`).toThrow(name);
  }
});
