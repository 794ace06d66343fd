/** Methods and the `measurement` of results: what the agent sends, what the server takes, and what it reads of it. */
import { describe, test } from "vitest";
import {
  copyMethod,
  FMA_METHOD,
  gemmMethod,
  hostCopyMethod,
  LAUNCH_METHOD,
  peerMethod,
} from "../../../agent/src/gpu/methods.ts";
import { SIZES } from "../../../agent/src/gpu/plan.ts";
import { buildResults } from "../../../agent/src/gpu/results.ts";
import { throttleReasons } from "../../../agent/src/gpu/throttle.ts";
import { provenanceOf } from "../../../src/benchmarks/measurement.ts";
import {
  CLASSES,
  classesOf,
  classOf,
  METHODS,
  QUICKMARK,
  UNKNOWN,
} from "../../../src/benchmarks/methods.ts";
import { knownFields, quickMark } from "../../../src/benchmarks/quick-mark.ts";
import { toDetails } from "../../../src/http/validation.ts";
import type { Provenance } from "../../../src/lib/stored-json.ts";
import { FACTS as AGENT_FACTS, SAMPLE } from "../../agent/gpu/runs.ts";

const FIGURES = { bf16_tflops: 250, memory_bandwidth_gbs: 1_700 };
const METHOD_IDS = {
  bf16_tflops: "gemm.cublaslt.4096.nn.normal/1",
  memory_bandwidth_gbs: "copy.ptx.4gib/1",
};
const FACTS = {
  uuid: "GPU-1",
  power_limit_watts: 400,
  default_power_limit_watts: 400,
  pcie_generation: 4,
  pcie_max_generation: 4,
  pcie_width: 16,
  pcie_max_width: 16,
  uncorrected_ecc_errors: 0,
  remapped_rows: { correctable: 3, uncorrectable: 0, pending: false, failed: false },
  throttle: ["sw_power_cap"],
};
const quality = { settled: true, spread: 0.01, drift: 0, samples: 12, calls_per_sample: 300 };
const measurement = (over: object = {}) => ({
  version: 1,
  engine: { id: "cublaslt", library: "12.8.4", ffi: "koffi 3.3.4", driver: "580.1", cuda: 13_000 },
  methods: METHOD_IDS,
  quality: { bf16_tflops: quality, memory_bandwidth_gbs: quality },
  conditions: { busy: false, throttle: [], end_to_start: 0.99, facts: [FACTS] },
  checks: { gemm_repeatable: true, gemm_error: 0.003 },
  faults: [],
  ...over,
});
const result = (over: object = {}) => ({
  aggregate_results: FIGURES,
  measurement: measurement(over),
});
const factsOf = (facts: object) => ({
  conditions: { busy: false, facts: [{ ...FACTS, ...facts }] },
});

/** The first fault of a result; null for a valid one. */
function faultOf(sent: object, state: "completed" | "failed" = "completed"): string | null {
  const parsed = quickMark.result.safeParse(sent);
  const [first] = parsed.success
    ? [quickMark.checkResult(parsed.data, { rank: 0, nodeCount: 1, state })]
    : toDetails(parsed.error.issues);
  return first ? `${first.field} ${first.message}` : null;
}

const read = (sent: object) => provenanceOf(quickMark.result.parse(sent));

describe("methods", () => {
  test("the server knows every method that the agent uses, each for its metric", ({ expect }) => {
    const used = {
      [gemmMethod("cublaslt", SIZES.gemm)]: ["bf16_tflops", "fp16_tflops"],
      [gemmMethod("ptx", SIZES.gemm)]: ["bf16_tflops", "fp16_tflops"],
      [gemmMethod("torch", SIZES.gemm)]: ["bf16_tflops", "fp16_tflops"],
      ...Object.fromEntries(
        SIZES.copy.map((bytes) => [copyMethod(bytes), ["memory_bandwidth_gbs"]]),
      ),
      [FMA_METHOD]: ["fp32_cuda_core_tflops"],
      [hostCopyMethod("h2d", SIZES.hostCopy)]: ["host_to_device_bandwidth_gbs"],
      [hostCopyMethod("d2h", SIZES.hostCopy)]: ["device_to_host_bandwidth_gbs"],
      [LAUNCH_METHOD]: ["kernel_launch_overhead_us"],
      [peerMethod(SIZES.peerCopy)]: ["gpu_bandwidth_matrix"],
    };
    const known = [...METHODS].map(([id, { metrics }]) => [id, metrics]);
    expect(Object.fromEntries(known)).toEqual(used);
  });

  test("without a calibration no two of them are equal, and none to QuickMark's own", ({
    expect,
  }) => {
    const rated = [...METHODS.values()].filter(({ metrics }) =>
      metrics.some((metric) => metric in FIGURES),
    );
    const classes = rated.map((method) => method.class);
    expect(new Set(classes).size).toBe(classes.length);
    expect(classes).not.toContain(QUICKMARK);
    expect(CLASSES).not.toContain(UNKNOWN);
    expect(classesOf("memory_bandwidth_gbs")).toEqual([
      "quickmark",
      "copy",
      "copy-1gib",
      "copy-256mib",
    ]);
  });

  test.for<[string, Provenance | null, string]>([
    ["no measurement", null, "quickmark"],
    [
      "a replayed recording of QuickMark",
      read({ ...result(), measurement: null, replayed: true }),
      "quickmark",
    ],
    ["a known method", read(result()), "library-gemm"],
    ["an unknown one", read(result({ methods: { bf16_tflops: "gemm.new/1" } })), "unknown"],
    [
      "a new number",
      read(result({ methods: { bf16_tflops: "gemm.cublaslt.4096.nn.normal/2" } })),
      "unknown",
    ],
    [
      "one of another metric",
      read(result({ methods: { bf16_tflops: "copy.ptx.4gib/1" } })),
      "unknown",
    ],
    ["none for the metric", read(result({ methods: {} })), "unknown"],
    ["a later form", read({ ...result(), measurement: { version: 2, how: [1] } }), "unknown"],
  ])("the class of %s", ([, provenance, name], { expect }) => {
    expect(classOf("bf16_tflops", provenance)).toBe(name);
  });
});

describe("the form of a measurement", () => {
  test.for<[string, object]>([
    ["in full", {}],
    ["with readings that are missing", { conditions: { busy: false, facts: [{ uuid: null }] } }],
    ["with fields of a newer agent", { colour: "blue", checks: { gemm_error: null, more: 1 } }],
    ["with a sensor's nonsense", factsOf({ pcie_width: "[N/A]", remapped_rows: 7, throttle: {} })],
  ])("%s is taken as it is", ([, over], { expect }) => {
    const sent = result(over);
    expect(faultOf(sent)).toBeNull();
    expect(quickMark.result.parse(sent)).toEqual(sent);
    expect(knownFields(quickMark.result.parse(sent))).toEqual(sent);
  });

  test.for<[string, unknown, string]>([
    ["a text", "yes", "measurement must be an object"],
    ["no version", { tool: "x" }, "measurement.version must be a whole number"],
    ["no methods", measurement({ methods: undefined }), "measurement.methods is required"],
    [
      "a method's number",
      measurement({ methods: { bf16_tflops: 1 } }),
      "measurement.methods.bf16_tflops must be a string",
    ],
    [
      "a busy text",
      measurement({ conditions: { busy: "no" } }),
      "measurement.conditions.busy must be a boolean",
    ],
    [
      "a quality without its word",
      measurement({ quality: { bf16_tflops: {} } }),
      "measurement.quality.bf16_tflops.settled is required",
    ],
    [
      "too many GPUs",
      measurement({ conditions: { facts: Array(65).fill({}) } }),
      "measurement.conditions.facts must have at most 64 entries",
    ],
    [
      "too many methods",
      measurement({
        methods: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`m${i}`, "x"])),
      }),
      "measurement.methods must have at most 64 entries",
    ],
    [
      "a fault without words",
      measurement({ faults: [{ metric: "a", code: "b" }] }),
      "measurement.faults.0.message is required",
    ],
    [
      "more than 32 KiB",
      measurement({ note: "x".repeat(32 * 1_024) }),
      "measurement must have at most 32 KiB",
    ],
    [
      "more than 32 KiB of a later form",
      { version: 2, note: "ä".repeat(17_000) },
      "measurement must have at most 32 KiB",
    ],
  ])("%s is refused by name", ([, sent, message], { expect }) => {
    expect(faultOf({ aggregate_results: FIGURES, measurement: sent })).toBe(message);
  });

  test.for([8, 64])(
    "what the agent sends of %i GPUs that all fail fits into 32 KiB",
    (count, { expect }) => {
      const gpus = Array.from({ length: count }, (_, at) => ({
        description: {
          name: "NVIDIA H100 80GB HBM3",
          uuid: `GPU-00000000-0000-4000-8000-${String(at).padStart(12, "0")}`,
          busId: `0000:${at}:00.0`,
          capability: 90,
          multiprocessors: 132,
          memoryBytes: 80 * 2 ** 30,
        },
        facts: { ...AGENT_FACTS, serial: String(1_320_000_000_000 + at) },
        processes: Array.from({ length: 300 }, (_, pid) => ({ pid, bytes: 2 ** 33 })),
        samples: [{ ...SAMPLE, throttle: throttleReasons(0xffff_ffffn) }],
      }));
      const rate = { msPerCall: 1, settled: false, spread: 0.12345, drift: -0.12345, samples: 48 };
      const rates = gpus.map(() => ({
        ...rate,
        ...{ callsPerSample: 421, deviceMs: 2_999.123, clockShare: null },
      }));
      const figureOf = (metric: string, method: string) => ({
        ...{ metric, method, rates, isAdditive: true },
        values: gpus.map(() => 701.12),
      });
      const figures = [...METHODS]
        .flatMap(([method, { metrics }]) => metrics.map((metric) => figureOf(metric, method)))
        .filter(({ metric }) => metric !== "gpu_bandwidth_matrix");
      const codes = ["clock_disagrees", "not_measured", "product_differs", "product_wrong"];
      const faults = figures.flatMap(({ metric }) =>
        codes.flatMap((code) =>
          gpus.map((_, gpu) => ({ metric, gpu, code, message: "é\u0007".repeat(1_000) })),
        ),
      );
      const none = { engine: null, driverVersion: null, endToStart: null, pairs: [] };
      const checks = { gemmRepeatable: true, gemmError: 0.001 };
      const run = {
        ...none,
        gpus,
        checks,
        ffi: "koffi",
        cuda: 13_000,
        busy: false,
        figures,
        faults,
      };
      const sent = buildResults(run, false, "2026-11-29T00:00:00.000Z");
      expect(faultOf(sent)).toBeNull();
      const { test_results, measurement: how } = sent as { test_results: []; measurement: Sent };
      expect(test_results).toHaveLength(count);
      expect(how.conditions.facts.length, "as many as there is room for").toBeGreaterThan(5);
      const [first] = how.faults;
      expect(first).toMatchObject({ gpu: 0, code: "product_differs" });
      expect(first?.message).toMatch(/^[é ]{299}…$/);
      expect(how.faults.at(-1)).toMatchObject({
        gpu: null,
        code: "more_faults",
        message: `${faults.length - how.faults.length + 1} more faults are not listed`,
      });
      expect(read(sent)?.withheld).toContain("checks");
    },
  );
});

interface Sent {
  conditions: { facts: object[] };
  faults: { message: string }[];
}

describe("a partial result", () => {
  const partial = { partial: true, methods: { bf16_tflops: METHOD_IDS.bf16_tflops } };

  test("of a failed step needs no figure, and is not in the job's summary", ({ expect }) => {
    const sent = {
      aggregate_results: { bf16_tflops: 250 },
      ...{ measurement: measurement(partial) },
    };
    expect(faultOf(sent, "failed")).toBeNull();
    expect(faultOf({ measurement: measurement(partial) }, "failed")).toBeNull();
    const hardware = { gpuModel: null, gpuCount: 1, gpuModels: null };
    const node = (value: object, rank: number) => {
      const digest = quickMark.digest(quickMark.result.parse(value), {
        hardware,
        models: new Map(),
      });
      return { rank, ...hardware, digest };
    };
    expect(quickMark.summarize([node(sent, 0)], 1)).toBeNull();
    expect(quickMark.summarize([node(sent, 0), node(result(), 1)], 2)).toMatchObject({
      node_count: 1,
      metrics: { bf16_tflops: { total: 250 } },
    });
  });

  test("of a completed step is refused; so is a whole one without its figures", ({ expect }) => {
    expect(faultOf({ ...result(partial) })).toBe(
      "measurement.partial partial results need state failed: a completed step has all figures",
    );
    const { bf16_tflops: _missing, ...rest } = FIGURES;
    expect(faultOf({ aggregate_results: rest, measurement: measurement() }, "failed")).toBe(
      "aggregate_results.bf16_tflops is required",
    );
  });

  test("keeps its figures in a job without an account", ({ expect }) => {
    const sent = { aggregate_results: { bf16_tflops: 1, x: 2 }, measurement: measurement(partial) };
    expect(knownFields(quickMark.result.parse(sent))).toEqual({
      aggregate_results: { bf16_tflops: 1 },
      measurement: sent.measurement,
    });
  });
});

describe("what withholds figures", () => {
  test.for<[string, object, Provenance["withheld"]]>([
    ["nothing", {}, []],
    ["work of others", { conditions: { busy: true } }, ["busy"]],
    ["a product that differs", { checks: { gemm_repeatable: false } }, ["checks"]],
    ["a product that is wrong", { checks: { gemm_repeatable: true, gemm_error: 0.2 } }, ["checks"]],
    [
      "a fault that says so",
      { faults: [{ metric: "bf16_tflops", gpu: 1, code: "product_wrong", message: "m" }] },
      ["checks"],
    ],
    [
      "a clock that the host's contradicts",
      { faults: [{ metric: "fp16_tflops", gpu: 1, code: "clock_disagrees", message: "m" }] },
      ["clock"],
    ],
    [
      "no other fault",
      { faults: [{ metric: "x", gpu: null, code: "not_measured", message: "m" }] },
      [],
    ],
  ])("%s", ([, over, withheld], { expect }) => {
    expect(read(result(over))?.withheld).toEqual(withheld);
    expect(read({ ...result(over), replayed: true })?.withheld).toEqual(["replayed", ...withheld]);
  });

  test.for([
    [true, true],
    ["yes", true],
    [false, false],
    [null, false],
  ] as const)("replayed: %j", ([replayed, isReplayed], { expect }) => {
    const provenance = read({ aggregate_results: FIGURES, replayed });
    expect(provenance).toEqual(
      isReplayed ? { withheld: ["replayed"], methods: null, unsettled: [], health: [] } : null,
    );
  });

  test("figures that had not settled are named", ({ expect }) => {
    const over = { quality: { memory_bandwidth_gbs: { ...quality, settled: false }, x: quality } };
    expect(read(result(over))?.unsettled).toEqual(["memory_bandwidth_gbs"]);
  });
});

describe("health", () => {
  test.for<[string, object, object]>([
    [
      "a power limit below the default",
      factsOf({ power_limit_watts: 300 }),
      {
        gpu: 0,
        metric: "power_limit_watts",
        value: 300,
        expected: 400,
        message: "its power limit is 300 W, below its default of 400 W",
      },
    ],
    [
      "a narrow link",
      factsOf({ pcie_width: 8 }),
      {
        gpu: 0,
        metric: "pcie_width",
        value: 8,
        expected: 16,
        message: "its PCIe link has 8 of 16 lanes under load",
      },
    ],
    [
      "an old link",
      factsOf({ pcie_generation: 3 }),
      {
        gpu: 0,
        metric: "pcie_generation",
        value: 3,
        expected: 4,
        message: textLike(/generation 3 under load, but 4/),
      },
    ],
    [
      "errors of the memory",
      factsOf({ uncorrected_ecc_errors: 2 }),
      {
        gpu: 0,
        metric: "uncorrected_ecc_errors",
        value: 2,
        expected: 0,
        message: "2 memory errors could not be corrected",
      },
    ],
    [
      "rows that wait",
      factsOf({ remapped_rows: { pending: true, failed: false } }),
      { gpu: 0, metric: "remapped_rows", message: textLike(/only after a reset/) },
    ],
    [
      "rows that could not be replaced",
      factsOf({ remapped_rows: { pending: false, failed: true } }),
      { gpu: 0, metric: "remapped_rows", message: textLike(/could not be replaced/) },
    ],
    [
      "heat",
      factsOf({ throttle: ["hw_thermal", "sw_power_cap"] }),
      { gpu: 0, metric: "throttle", message: "the hardware throttled its clocks: hw_thermal" },
    ],
    [
      "a fault of the driver",
      { faults: [{ metric: "fp16_tflops", gpu: null, code: "cuda_214", message: "ECC\nerror" }] },
      { gpu: null, metric: "fp16_tflops", message: "ECC error" },
    ],
    [
      "wrong products, once for each GPU",
      {
        faults: [
          { metric: "bf16_tflops", gpu: 3, code: "product_differs", message: "a" },
          { metric: "bf16_tflops", gpu: 3, code: "product_wrong", message: "b" },
        ],
      },
      {
        gpu: 3,
        metric: "bf16_tflops",
        message: textLike(/^computes wrong results .* \(silent corruption\)/),
      },
    ],
    [
      "a wrong clock, once for each GPU",
      {
        faults: ["bf16_tflops", "fp16_tflops"].map((metric) => ({
          ...{ metric, gpu: 2, code: "clock_disagrees", message: "m" },
        })),
      },
      {
        gpu: 2,
        metric: "bf16_tflops",
        message: "its clock and the host's tell different times: rates are not to be trusted",
      },
    ],
    [
      "a check that failed, where no GPU is named",
      { checks: { gemm_repeatable: true, gemm_error: 0.25 } },
      {
        gpu: null,
        metric: "gemm_error",
        value: 0.25,
        expected: 0.01,
        message: textLike(/off by up to 25 %$/),
      },
    ],
  ])("%s", ([, over, warning], { expect }) => {
    expect(read(result(over))?.health).toMatchObject([warning]);
  });

  test("a healthy GPU, one without sensors, and idle links say nothing", ({ expect }) => {
    expect(read(result())?.health).toEqual([]);
    const none = Object.fromEntries(Object.keys(FACTS).map((name) => [name, null]));
    expect(read(result(factsOf(none)))?.health).toEqual([]);
    expect(read(result(factsOf({ pcie_width: 0 })))?.health).toEqual([]);
  });

  test("is bounded, whatever an agent sends", ({ expect }) => {
    const fault = { metric: "x", gpu: 1, code: "cuda_700", message: "m" };
    expect(read(result({ faults: Array(100).fill(fault) }))?.health).toHaveLength(64);
    const long = { ...fault, message: "😀".repeat(1_000) };
    const [first] = read(result({ faults: [long] }))?.health ?? [];
    expect([...(first?.message ?? "")]).toHaveLength(200);
  });
});

/** Matches a text in a table of expected values. */
function textLike(pattern: RegExp) {
  return { asymmetricMatch: (text: unknown) => typeof text === "string" && pattern.test(text) };
}
