import { describe, expect, test } from "vitest";
import type { Engine } from "../../../agent/src/gpu/engine.ts";
import { ptxEngine } from "../../../agent/src/gpu/engine.ts";
import { measure, SAMPLE, SMALL, telemetryOf } from "./runs.ts";

/** ms of a launch, such that the figures are whole numbers. */
const launchMs = (kernel: string): number =>
  ({ gemm_bf16: 2 * 256 ** 3 * 1e-9, gemm_f16: 256 ** 3 * 1e-9, copy: 0.5, empty: 0.003 })[
    kernel
  ] ?? 1;

describe("a healthy machine with two GPUs", () => {
  const ran = measure({ gpus: 2, launchMs }, { telemetry: telemetryOf() });

  test("ends with one result, which holds every figure of both and their sum", () => {
    expect(ran.end?.type).toBe("result");
    const gpu = {
      bf16_tflops: 1,
      fp16_tflops: 2,
      memory_bandwidth_gbs: expect.any(Number),
      fp32_cuda_core_tflops: expect.any(Number),
      host_to_device_bandwidth_gbs: expect.any(Number),
      device_to_host_bandwidth_gbs: expect.any(Number),
      kernel_launch_overhead_us: expect.closeTo(3, 1),
      power_consumption_watts: 391.2,
      temperature_centigrade: 61,
    };
    expect(ran.results.test_results).toEqual([
      { gpu_id: "GPU-00000000-0000-4000-8000-000000000001", ...gpu },
      { gpu_id: "GPU-00000000-0000-4000-8000-000000000002", ...gpu },
    ]);
    expect(ran.results.aggregate_results).toMatchObject({
      gpu_id: "aggregate",
      bf16_tflops: 2,
      fp16_tflops: 4,
      kernel_launch_overhead_us: expect.closeTo(3, 1),
      power_consumption_watts: 782.4,
      temperature_centigrade: 61,
      gpu_bandwidth_matrix: {
        gpu0_to_gpu1: { connection_type: "nvlink_v3_12x", simplex_gbs: 0, duplex_gbs: 0 },
        gpu1_to_gpu0: { connection_type: "nvlink_v3_12x", simplex_gbs: 0, duplex_gbs: 0 },
      },
    });
  });

  test("says how each figure was made", () => {
    expect(ran.results.measurement).toEqual({
      version: 1,
      engine: { id: "ptx", library: null, ffi: "fake 1", driver: "580.159.04", cuda: 13000 },
      methods: {
        bf16_tflops: "gemm.ptx.256.nt.normal/1",
        fp16_tflops: "gemm.ptx.256.nt.normal/1",
        memory_bandwidth_gbs: "copy.ptx.0.03125mib/1",
        fp32_cuda_core_tflops: "fma.ptx/1",
        host_to_device_bandwidth_gbs: expect.stringMatching(/^h2d\.pinned\./),
        device_to_host_bandwidth_gbs: expect.stringMatching(/^d2h\.pinned\./),
        kernel_launch_overhead_us: "launch.events/1",
        gpu_bandwidth_matrix: expect.stringMatching(/^peer\./),
      },
      quality: expect.objectContaining({
        bf16_tflops: {
          settled: true,
          spread: 0,
          drift: 0,
          samples: 12,
          calls_per_sample: 2_384,
          seconds: 0.96,
        },
      }),
      conditions: {
        busy: false,
        throttle: [],
        end_to_start: 1,
        facts: [expect.anything(), expect.anything()],
      },
      checks: { gemm_repeatable: true, gemm_error: expect.any(Number) },
      faults: [],
    });
    expect(ran.measurement.conditions.facts[1]).toMatchObject({
      pci_address: "0000:02:00.0",
      model: "NVIDIA A100-SXM4-80GB",
      compute_capability: "8.0",
      pcie_generation: 4,
      pcie_width: 16,
      sm_mhz: 1_410,
      throttle: [],
      telemetry: true,
    });
  });

  test("the products were right, by the emulator's own arithmetic", () => {
    expect(ran.measurement.checks.gemm_error).toBeGreaterThan(0);
    expect(ran.measurement.checks.gemm_error).toBeLessThan(0.005);
  });

  test("all memory is given back, and progress only rises", () => {
    expect(ran.driver.allocatedBytes()).toBe(0);
    const progress = ran.messages.flatMap((one) => (one.type === "progress" ? [one.progress] : []));
    expect(progress).toEqual([...progress].sort((a, b) => a - b));
    expect(progress.length).toBeGreaterThan(20);
  });

  test("after each figure there is a partial result, marked as such", () => {
    const partials = ran.messages.filter(({ type }) => type === "partial");
    expect(partials).toHaveLength(9);
    for (const one of partials)
      expect(one).toMatchObject({ results: { measurement: { partial: true } } });
    expect(ran.measurement).not.toHaveProperty("partial");
  });
});

describe("silent corruption is a fault of the machine", () => {
  test("a bit that flips between two products", () => {
    const corrupt = { gpu: 1, kernel: "gemm_bf16", launch: 40 };
    const { end, measurement } = measure({ gpus: 2, launchMs: () => 10, corrupt });
    expect(end?.type).toBe("result");
    expect(measurement.checks.gemm_repeatable).toBe(false);
    const fault = {
      metric: "bf16_tflops",
      gpu: 1,
      message: expect.stringMatching(/silent corruption/),
    };
    expect(measurement.faults).toEqual([
      { ...fault, code: "product_differs" },
      { ...fault, code: "product_wrong" },
    ]);
  });

  test("an engine that multiplies wrongly every time", () => {
    const wrong: Engine = { ...ptxEngine(), isTransposed: false };
    const { measurement } = measure({}, { engines: [{ name: "wrong", open: () => wrong }] });
    expect(measurement.checks.gemm_repeatable).toBe(true);
    expect(measurement.faults.map(({ code }) => code)).toEqual(["product_wrong", "product_wrong"]);
  });
});

describe("what fails costs the figure", () => {
  test("too little memory for the copies: the smaller size is taken", () => {
    const sizes = { ...SMALL, copy: [2 ** 40, ...SMALL.copy] };
    const { end, measurement } = measure({}, { sizes });
    expect(end?.type).toBe("result");
    expect(measurement.methods.memory_bandwidth_gbs).toBe("copy.ptx.0.03125mib/1");
  });

  test("too little memory for any: a required figure is missing, the others are there", () => {
    const { end, results, measurement } = measure({}, { sizes: { ...SMALL, copy: [2 ** 40] } });
    expect(end).toMatchObject({
      type: "failure",
      code: "incomplete",
      message: expect.stringMatching(/memory_bandwidth_gbs: only \d+ MiB/),
    });
    expect(measurement).toMatchObject({
      partial: true,
      methods: { fp16_tflops: expect.anything() },
    });
    expect(results.aggregate_results).toHaveProperty("bf16_tflops");
    expect(results.aggregate_results).not.toHaveProperty("memory_bandwidth_gbs");
  });

  test("out of memory in an allocation", () => {
    const { end, measurement, driver } = measure({ fail: { call: "allocate", nth: 10, code: 2 } });
    expect(end?.type).toBe("result");
    expect(measurement.faults).toEqual([
      {
        metric: "host_to_device_bandwidth_gbs",
        gpu: null,
        code: "out_of_memory",
        message: expect.stringMatching(/OUT_OF_MEMORY \(2\)/),
      },
    ]);
    expect(driver.allocatedBytes()).toBe(0);
  });

  test.each([214, 700, 719, 720, 999])("error %i ends the run, with the figures before", (code) => {
    const { end, results, driver } = measure({ fail: { call: "waitFor", nth: 40, code } });
    const calls = driver.calls.get("launch") ?? 0;
    expect(end).toMatchObject({ type: "failure", code: "gpu_failed" });
    expect(results).toMatchObject({
      aggregate_results: { bf16_tflops: expect.any(Number) },
      measurement: { partial: true },
    });
    expect(results.aggregate_results).not.toHaveProperty("fp16_tflops");
    expect(calls).toBeGreaterThan(0);
  });
});

describe("engines", () => {
  const broken: Engine = {
    ...ptxEngine(),
    id: "cublaslt",
    prepare() {
      throw new Error("cublasLtCreate: CUBLAS_STATUS_NOT_INITIALIZED (1)");
    },
  };

  test("the next one is taken when the first cannot multiply here, and both are told", () => {
    const engines = [
      { name: "/usr/lib/libcublasLt.so.12", open: () => broken },
      { name: "own", open: ptxEngine },
    ];
    const { messages, results } = measure({}, { engines });
    expect(results.measurement).toMatchObject({ engine: { id: "ptx" } });
    const notes = messages.flatMap((one) => (one.type === "note" ? [one.message] : []));
    expect(notes).toEqual([
      expect.stringMatching(
        /\/usr\/lib\/libcublasLt\.so\.12 cannot multiply matrices: cublasLtCreate/,
      ),
      expect.stringMatching(/by ptx/),
    ]);
  });

  test("without any there is no product, and the result is partial", () => {
    const { end } = measure({}, { engines: [] });
    expect(end).toMatchObject({ type: "failure", code: "incomplete" });
  });
});

describe("conditions", () => {
  test("throttle reasons are named, of each GPU and of all", () => {
    const sample = () => ({ ...SAMPLE, throttle: ["sw_power_cap", "hw_thermal"] });
    const { measurement } = measure({}, { telemetry: telemetryOf({ sample }) });
    expect(measurement.conditions.throttle).toEqual(["hw_thermal", "sw_power_cap"]);
    expect(measurement.conditions.facts[0]?.throttle).toEqual(["hw_thermal", "sw_power_cap"]);
  });

  test("readings that are not there are null, never 0", () => {
    const sample = () => ({
      watts: null,
      celsius: null,
      smMhz: null,
      memoryMhz: null,
      pcieGeneration: null,
      pcieWidth: null,
      throttle: null,
    });
    const { results, measurement } = measure({}, { telemetry: telemetryOf({ sample }) });
    const unknown = { power_consumption_watts: null, temperature_centigrade: null };
    expect(results.aggregate_results).toMatchObject(unknown);
    expect(results.test_results).toEqual([expect.objectContaining(unknown)]);
    expect(measurement.conditions.throttle).toBeNull();
  });

  test("a GPU that gets slower with heat does not settle; the end tells what it cost", () => {
    const { measurement } = measure({ launchMs: (_, __, at) => 1 + at / 10_000 });
    expect(measurement.quality.bf16_tflops).toMatchObject({ settled: false });
    expect(measurement.quality.bf16_tflops?.drift).toBeGreaterThan(0.1);
    expect(measurement.conditions.end_to_start).toBeLessThan(0.9);
  });
});

describe("refusals", () => {
  test("a busy GPU: nothing is opened", () => {
    const telemetry = telemetryOf({ processes: () => [{ pid: 4242, bytes: 30 * 2 ** 30 }] });
    const { messages, driver } = measure({}, { telemetry });
    expect(messages).toEqual([
      {
        type: "failure",
        code: "gpu_busy",
        message: "GPU 0 is in use: 1 process (pid 4242 with 30.0 GiB)",
        hint: expect.stringMatching(/--busy-ok/),
      },
    ]);
    expect(driver.calls.size).toBe(0);
  });

  test("--busy-ok measures, and says so", () => {
    const telemetry = telemetryOf({ utilization: () => 97 });
    const { end, measurement } = measure({}, { telemetry, busyOk: true });
    expect(end?.type).toBe("result");
    expect(measurement.conditions.busy).toBe(true);
  });

  test("memory in use is seen without a management library, too", () => {
    const { end } = measure({ freeBytes: 70 * 2 ** 30 });
    expect(end).toMatchObject({
      code: "gpu_busy",
      message: "GPU 0 is in use: 10.0 GiB of its memory is in use",
    });
  });
});
