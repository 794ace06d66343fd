/** The rating itself, without a database: real machines, missing and impossible figures, and its laws. */
import fc from "fast-check";
import { describe, test } from "vitest";
import slowA100 from "../../agent/replays/a100-sxm4-40gb-x8-slow.json";
import twoA100 from "../../agent/replays/a100-sxm4-80gb-x2.json";
import eightH100 from "../../agent/replays/h100-80gb-hbm3-x8.json";
import oneH100 from "../../agent/replays/h100-nvl-x1.json";
import { quickMark } from "../../src/benchmarks/quick-mark.ts";
import { readConfig } from "../../src/lib/config.ts";
import {
  chooseBaseline,
  fleetBaselineOf,
  isTelling,
  type Sample,
} from "../../src/scoreboard/baselines.ts";
import { readFigures, readingsOf } from "../../src/scoreboard/figures.ts";
import { normalizeModel } from "../../src/scoreboard/models.ts";
import { SHIPPED_BASELINES } from "../../src/scoreboard/shipped-baselines.ts";
import {
  type Baseline,
  findStragglers,
  type NodeFacts,
  type NodeVerdict,
  rateJob,
  rateMetric,
  rateNode,
  type Status,
} from "../../src/scoreboard/verdict.ts";

const SETTINGS = {
  TOKEN_SECRET: "x".repeat(32),
  NODE_TIMEOUT_SECONDS: "150",
  RATE_LIMIT_SCALE: "1",
  ENVIRONMENT: "production",
};
const { rating: THRESHOLDS } = readConfig(SETTINGS);

interface Machine {
  gpu_model: string | null;
  gpu_count: number | null;
  results: object;
}

/** A node as the scoreboard meets it: its result through the schema, its model's shipped baselines. */
function verdictOf({ gpu_model: gpuModel, gpu_count: gpuCount, results }: Machine): NodeVerdict {
  const figures = readFigures(quickMark.result.parse(results));
  const shipped = SHIPPED_BASELINES.find(
    (model) => normalizeModel(model.gpuModel) === normalizeModel(gpuModel),
  );
  const baseline = (metric: "bf16_tflops" | "memory_bandwidth_gbs") =>
    chooseBaseline({ fleet: null, shipped: shipped?.[metric] ?? null, pinned: null });
  const facts: NodeFacts = {
    ...{ rank: 0, machineUuid: "00000000-0000-4000-8000-000000000001", gpuModel, gpuCount },
    readings: readingsOf(figures, { gpuModel, gpuCount }),
    gpus: figures.gpus ?? [],
    baselines: {
      bf16_tflops: baseline("bf16_tflops"),
      memory_bandwidth_gbs: baseline("memory_bandwidth_gbs"),
    },
    previous: null,
  };
  return rateNode(facts, THRESHOLDS);
}

const statuses = ({ metrics }: Pick<NodeVerdict, "metrics">): Record<string, Status> =>
  Object.fromEntries(metrics.map(({ metric, status }) => [metric, status]));
const metricOf = ({ metrics }: Pick<NodeVerdict, "metrics">, name: string) =>
  metrics.find(({ metric }) => metric === name);

const healthy = (gpus: number, figures: object = {}) => ({
  gpu_model: "NVIDIA A100-SXM4-80GB",
  gpu_count: gpus,
  results: {
    aggregate_results: {
      bf16_tflops: 265.2 * gpus,
      memory_bandwidth_gbs: 1_740 * gpus,
      ...figures,
    },
  },
});

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
    expect(found).toEqual(["underperforming", "expected", "expected", "expected"]);
  });

  test("every recorded median is expected", ({ expect }) => {
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
      expect(verdict.status, model.gpuModel).toBe("expected");
    }
  });

  test("a model of which there is a data sheet alone is unrated, and so is one never seen", ({
    expect,
  }) => {
    for (const gpu_model of ["NVIDIA H200", "NVIDIA L40S", "Unheard-of GPU 9000"]) {
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
    const readings = readingsOf(null, { gpuModel: "NVIDIA H100 NVL", gpuCount: 1 });
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
    const fast = { bf16_tflops: 0, memory_bandwidth_gbs: 2 * 2_100 };
    expect(verdictOf(healthy(2, fast)).status).toBe("expected");
    const bothFast = { bf16_tflops: 2 * 320, memory_bandwidth_gbs: 2 * 2_100 };
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
  const gpu = (bf16: number | null, memory: number | null = null, id: string | null = null) => ({
    ...{ id, bf16_tflops: bf16, memory_bandwidth_gbs: memory },
  });

  test("a GPU below 95 % of its siblings' median is named, by its place", ({ expect }) => {
    const gpus = [gpu(265), gpu(266), gpu(240, 1_700, "GPU-x"), gpu(264, 1_740), gpu(265, 1_741)];
    expect(findStragglers(gpus, THRESHOLDS)).toEqual([
      {
        ...{ gpu: 2, gpuId: "GPU-x", metric: "bf16_tflops" },
        ...{ value: 240, median: 265, ratio: 0.90566 },
      },
    ]);
  });

  test("exactly 95 % does not lag; a dead GPU does; one alone has no siblings", ({ expect }) => {
    expect(findStragglers([gpu(100), gpu(95), gpu(100)], THRESHOLDS)).toEqual([]);
    expect(findStragglers([gpu(100), gpu(0), gpu(100)], THRESHOLDS)).toMatchObject([
      { gpu: 1, value: 0, ratio: null },
    ]);
    expect(findStragglers([gpu(10)], THRESHOLDS)).toEqual([]);
    expect(findStragglers([gpu(null), gpu(10)], THRESHOLDS)).toEqual([]);
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
      ...{ status: "underperforming", baselineVersion: 7, ratedNodes: 2, underperformingNodes: 1 },
    });
    expect(metricOf(verdict, "bf16_tflops")).toMatchObject({
      ...{ value: 100, status: "underperforming" },
      reason: "node 1 is the lowest of 2 rated: 37.7 % of the shipped baseline: below 90 %",
    });
    expect(metricOf(verdict, "memory_bandwidth_gbs")).toMatchObject({ status: "expected" });
    expect(metricOf(verdict, "power_consumption_watts"), "rates nobody").toMatchObject({
      ...{ value: null, status: "unrated", reason: "for information: each node has its own" },
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
  const machines = (count: number, value = 100): Sample[] =>
    Array.from({ length: count }, (_none, n) => ({ machineUuid: `m${n}`, at: n, value }));
  const shipped = { median: 255.5, runs: 12 };

  test("one machine or 29 make none, 30 do", ({ expect }) => {
    expect(fleetBaselineOf([], THRESHOLDS)).toBeNull();
    expect(fleetBaselineOf(machines(1), THRESHOLDS)).toBeNull();
    expect(fleetBaselineOf(machines(29), THRESHOLDS)).toBeNull();
    const spread = machines(31).map((sample, n) => ({ ...sample, value: 100 + n }));
    expect(fleetBaselineOf(spread, THRESHOLDS)).toEqual({
      ...{ lowerQuartile: 107.5, median: 115, upperQuartile: 122.5, machines: 31 },
    });
  });

  test("a fleet that is mostly bad does not become the yardstick", ({ expect }) => {
    const fleet = fleetBaselineOf(machines(40, 150), THRESHOLDS);
    const chosen = chooseBaseline({ fleet, shipped, pinned: null });
    expect(chosen).toEqual({
      ...{ value: 255.5, source: "shipped", sampleSize: 12, fleet: 150, shipped: 255.5 },
    });
    const reading = { metric: "bf16_tflops", value: 150, fault: null };
    const verdict = rateMetric(reading, chosen, THRESHOLDS);
    expect(verdict).toMatchObject({
      ...{ status: "underperforming", fleetBaseline: 150, shippedBaseline: 255.5 },
    });
  });

  test("a fleet that is better does; a pin goes before both", ({ expect }) => {
    const fleet = fleetBaselineOf(machines(40, 280), THRESHOLDS);
    expect(chooseBaseline({ fleet, shipped, pinned: null })).toMatchObject({
      ...{ value: 280, source: "fleet", sampleSize: 40 },
    });
    expect(chooseBaseline({ fleet, shipped, pinned: 200 })).toEqual({
      ...{ value: 200, source: "pinned", sampleSize: null, fleet: 280, shipped: 255.5 },
    });
    expect(chooseBaseline({ fleet: null, shipped: null, pinned: null })).toBeNull();
  });

  test("a median that wanders a little is no news; one that comes or goes is", ({ expect }) => {
    const fleet = (median: number) => ({
      median,
      lowerQuartile: 1,
      upperQuartile: 9,
      machines: 30,
    });
    expect(isTelling(fleet(1_000), fleet(1_001))).toBe(false);
    expect(isTelling(fleet(1_000), fleet(1_003))).toBe(true);
    expect(isTelling(null, fleet(1_000))).toBe(true);
    expect(isTelling(fleet(1_000), null)).toBe(true);
    expect(isTelling(null, null)).toBe(false);
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
      ...[
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
      ],
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

describe("laws", () => {
  const ORDER: Status[] = ["underperforming", "expected", "outperforming"];
  const figure = fc.double({ min: 0.001, max: 100_000, noNaN: true });
  const baseline = figure.map(
    (value): Baseline => ({
      ...{ value, source: "shipped", sampleSize: 3, fleet: null, shipped: value },
    }),
  );

  test("a metric that measures more is never rated worse", ({ expect }) => {
    fc.assert(
      fc.property(figure, figure, baseline, (one, other, against) => {
        const [low, high] = [Math.min(one, other), Math.max(one, other)].map((value) =>
          ORDER.indexOf(
            rateMetric({ metric: "bf16_tflops", value, fault: null }, against, THRESHOLDS).status,
          ),
        );
        expect(low).toBeLessThanOrEqual(high ?? -1);
      }),
    );
  });

  test("nor is its node", ({ expect }) => {
    const facts = (bf16: number, memory: number, against: Baseline): NodeFacts => ({
      ...{ rank: 0, machineUuid: "m", gpuModel: "x", gpuCount: 1, gpus: [], previous: null },
      readings: [
        { metric: "bf16_tflops", value: bf16, fault: null },
        { metric: "memory_bandwidth_gbs", value: memory, fault: null },
      ],
      baselines: { bf16_tflops: against, memory_bandwidth_gbs: against },
    });
    fc.assert(
      fc.property(figure, figure, figure, baseline, (one, other, memory, against) => {
        const at = (bf16: number) =>
          ORDER.indexOf(rateNode(facts(bf16, memory, against), THRESHOLDS).status);
        expect(at(Math.min(one, other))).toBeLessThanOrEqual(at(Math.max(one, other)));
      }),
    );
  });

  test("the thresholds themselves are expected", ({ expect }) => {
    fc.assert(
      fc.property(baseline, fc.constantFrom(0.9, 1, 1.1), (against, share) => {
        const reading = { metric: "bf16_tflops", value: against.value * share, fault: null };
        expect(rateMetric(reading, against, THRESHOLDS).status).toBe("expected");
      }),
    );
  });

  const samples = fc.array(
    fc.record({
      machineUuid: fc.constantFrom(..."abcdefghijklmnop"),
      at: fc.nat(9),
      value: figure,
    }),
    { maxLength: 60 },
  );
  const few = { fleetMinMachines: 3 };

  test("a fleet's figures do not depend on the order of its results", ({ expect }) => {
    const shuffled = samples.chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
    );
    fc.assert(
      fc.property(shuffled, ([one, other]) => {
        expect(fleetBaselineOf(other, few)).toEqual(fleetBaselineOf(one, few));
      }),
    );
  });

  test("nor on how often a machine has measured: its latest result counts once", ({ expect }) => {
    fc.assert(
      fc.property(samples, fc.array(fc.nat(59)), (all, again) => {
        const older = again.flatMap((n) => {
          const sample = all[n];
          return sample === undefined ? [] : [sample, { ...sample, at: -1, value: 99_999 }];
        });
        expect(fleetBaselineOf([...older, ...all], few)).toEqual(fleetBaselineOf(all, few));
      }),
    );
  });

  test("a job's verdict does not depend on the order of its nodes", ({ expect }) => {
    const nodes = fc
      .array(figure, { minLength: 1, maxLength: 8 })
      .map((values) =>
        values.map((bf16_tflops, rank) => ({ ...verdictOf(healthy(1, { bf16_tflops })), rank })),
      );
    const shuffled = nodes.chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
    );
    fc.assert(
      fc.property(shuffled, ([one, other]) => {
        expect(rateJob(other, 1)).toEqual(rateJob(one, 1));
      }),
      { numRuns: 50 },
    );
  });
});

test("thresholds are configuration, refused by name when they make no sense", ({ expect }) => {
  const changed = { ...SETTINGS, UNDERPERFORMING_BELOW: "0.8", FLEET_MIN_MACHINES: "50" };
  expect(readConfig(changed).rating).toEqual({
    ...{ underperformingBelow: 0.8, outperformingAbove: 1.1, stragglerBelow: 0.95 },
    ...{ dropBelow: 0.9, fleetMinMachines: 50 },
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
