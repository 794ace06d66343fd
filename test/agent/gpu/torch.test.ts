/** Products by PyTorch, with a `torch` of Python that needs no GPU. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { findTorch, openTorch } from "../../../agent/src/gpu/torch.ts";
import { measure, SMALL } from "./runs.ts";

const fakes = fileURLToPath(new URL("fakes", import.meta.url));
const hasPython = spawnSync("python3", ["-c", ""]).status === 0;
const SIZES = { ...SMALL, gemm: 32 };
const engines = [{ name: "PyTorch", open: () => openTorch("python3", () => {}) }];

beforeEach(() => {
  vi.stubEnv("PYTHONPATH", fakes);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

// Python is optional for the agent, too.
describe.skipIf(!hasPython)("PyTorch (skipped where there is no python3)", () => {
  test("is found without being imported", () => {
    vi.stubEnv("FAKE_TORCH", "broken");
    let looks = 0;
    const onLook = () => {
      looks += 1;
    };
    expect(findTorch({}, onLook)).toContain("python3");
    expect(looks).toBeGreaterThan(0);
  });

  test("makes the products of two GPUs, by its own clock and in the rate logic's batches", () => {
    vi.stubEnv("FAKE_TORCH_GPUS", "2");
    vi.stubEnv("FAKE_TORCH_MS", String(32 ** 3 * 2e-9));
    const { end, results, measurement } = measure({ gpus: 2 }, { engines, sizes: SIZES });
    expect(end?.type).toBe("result");
    expect(results.measurement).toMatchObject({ engine: { id: "torch", library: "2.9.1+fake" } });
    expect(measurement.methods).toMatchObject({
      bf16_tflops: "gemm.torch.32.nn.normal/1",
      fp16_tflops: "gemm.torch.32.nn.normal/1",
      memory_bandwidth_gbs: expect.stringMatching(/^copy\.ptx/),
    });
    expect(results.test_results).toEqual([
      expect.objectContaining({ bf16_tflops: 1, fp16_tflops: 1 }),
      expect.objectContaining({ bf16_tflops: 1, fp16_tflops: 1 }),
    ]);
    expect(measurement.checks).toEqual({ gemm_repeatable: true, gemm_error: 0 });
    expect(measurement.conditions.end_to_start).toBe(1);
    expect(measurement.faults).toEqual([]);
  });

  test.each([
    ["wrong", "product_wrong"],
    ["differs", "product_differs"],
  ])("silent corruption is noticed: %s", (fault, code) => {
    vi.stubEnv("FAKE_TORCH", fault);
    const { measurement } = measure({}, { engines, sizes: SIZES });
    expect(measurement.faults.map(({ code }) => code)).toContain(code);
  });

  test.each([
    ["absent", /PyTorch sees no GPU/],
    ["broken", /PyTorch cannot be used: libcudart\.so\.12/],
    ["memory", /CUDA out of memory\. Tried to allocate 64\.00 MiB$/],
    ["crash", /python3 has ended/],
  ])("one that is %s costs the products alone", (fault, message) => {
    vi.stubEnv("FAKE_TORCH", fault);
    const { end, results, measurement } = measure({}, { engines, sizes: SIZES });
    expect(end).toMatchObject({ type: "failure", code: "incomplete" });
    expect(measurement.faults.find(({ metric }) => metric === "bf16_tflops")?.message).toMatch(
      message,
    );
    expect(results.aggregate_results).toMatchObject({ memory_bandwidth_gbs: expect.any(Number) });
  });

  test("another number of GPUs than the driver has", () => {
    const { measurement } = measure({ gpus: 2 }, { engines, sizes: SIZES });
    expect(measurement.faults[0]?.message).toBe("PyTorch sees 1 GPUs, and the driver 2");
  });

  test("what packages print is passed over", () => {
    vi.stubEnv("FAKE_TORCH", "junk");
    expect(measure({}, { engines, sizes: SIZES }).end?.type).toBe("result");
  });

  test("a program that cannot be started, and one that ends", () => {
    expect(() => openTorch("/nonexistent/python3", () => {})).toThrow(/cannot be started/);
    expect(() => openTorch("false", () => {})).toThrow(/has ended/);
  });
});
