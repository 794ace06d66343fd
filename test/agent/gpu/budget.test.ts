/** How long a measurement of eight GPUs takes, by the clocks of the fake driver: nothing here waits. */
import { describe, expect, test } from "vitest";
import { SIZES } from "../../../agent/src/gpu/plan.ts";
import { type FakeOptions, fakeDriver } from "./fake-driver.ts";
import { measure, type Ran, SAMPLE, SMALL, telemetryOf } from "./runs.ts";

/** The small buffers of these runs take as long as the real ones at this rate, in GB/s. */
const hostRate = (gbs: number): number => (gbs * SMALL.hostCopy) / SIZES.hostCopy;
const peerRate = (gbs: number): number => (gbs * SMALL.peerCopy) / SIZES.peerCopy;

/** Calls of the real sizes on an H100. */
const CALL_MS: Readonly<Record<string, number>> = {
  gemm_bf16: 0.19,
  gemm_f16: 0.19,
  copy: 2.9,
  fma_f32: 1.2,
  empty: 0.002,
};
const callMs = (kernel: string): number => CALL_MS[kernel] ?? 1;

const HEALTHY: FakeOptions = {
  gpus: 8,
  launchMs: callMs,
  openMs: 400,
  compileMs: 1_500,
  readMs: 20,
  copyGbs: hostRate(25),
  peerGbs: peerRate(300),
};

/** Host time of the last message, in s. */
const seconds = ({ times }: Ran): number => (times.at(-1) ?? Number.NaN) / 1_000;

/** When the figures of a metric were there. */
function secondsUntil({ messages, times }: Ran, metric: string): number {
  const at = messages.findIndex(
    (one) =>
      one.type === "partial" && Object.keys(one.results.aggregate_results ?? {}).includes(metric),
  );
  return (times[at] ?? Number.NaN) / 1_000;
}

describe("eight healthy GPUs", () => {
  const ran = measure(HEALTHY, { telemetry: telemetryOf() });

  test("take at most 45 s, and the first figure at most 10 s", () => {
    expect(ran.end?.type).toBe("result");
    expect(ran.measurement.faults).toEqual([]);
    expect(seconds(ran)).toBeLessThanOrEqual(45);
    expect(secondsUntil(ran, "bf16_tflops")).toBeLessThanOrEqual(10);
  });

  test("are waited for: every figure has its warm-up and its batches, every pair its copies", () => {
    // Half a second and 12 batches of 80 ms for each of four figures, less for the others.
    expect(seconds(ran)).toBeGreaterThan(4 * 1.46);
    const { gpu_bandwidth_matrix: pairs } = ran.results.aggregate_results as Record<string, object>; // `as`: results.ts writes it
    expect(Object.keys(pairs ?? {})).toHaveLength(8 * 7);
  });

  test("are never silent for as long as a hanging process is waited for", () => {
    const gaps = ran.times.map((at, i) => at - (ran.times[i - 1] ?? 0));
    expect(Math.max(...gaps)).toBeLessThan(10_000);
  });
});

test("one slow GPU beside seven fast ones is no fault of their clocks", () => {
  const ran = measure({
    ...HEALTHY,
    launchMs: (kernel, gpu) => callMs(kernel) * (gpu === 3 ? 200 : 1),
  });
  expect(ran.measurement.faults.filter(({ code }) => code === "clock_disagrees")).toEqual([]);
});

test("readings that take a second are no fault of the GPUs' clocks", () => {
  const ran = measureSlowly(1_000);
  expect(ran.end?.type).toBe("result");
  expect(ran.measurement.faults).toEqual([]);
});

/** A run whose telemetry keeps the host for so long, every three seconds, as nvidia-smi does. */
function measureSlowly(readingMs: number): Ran {
  const driver = fakeDriver(HEALTHY);
  let asked = Number.NEGATIVE_INFINITY;
  const sample = () => {
    if (driver.now() - asked >= 3_000) {
      driver.pass(readingMs);
      asked = driver.now();
    }
    return SAMPLE;
  };
  return measure(HEALTHY, { driver, now: driver.now, telemetry: telemetryOf({ sample }) });
}

describe("at worst it takes 90 s", () => {
  /** Every batch another time, so that nothing settles. */
  const restless = (kernel: string, _gpu: number, at: number): number =>
    callMs(kernel) * (Math.floor(at / 60) % 2 === 0 ? 1 : 1.1);
  const slow: FakeOptions = {
    ...HEALTHY,
    launchMs: restless,
    openMs: 2_000,
    compileMs: 5_000,
    readMs: 100,
    peerGbs: peerRate(3),
  };

  test("where all is slow and nothing settles; what the time was too short for is said", () => {
    const ran = measure(slow);
    expect(ran.end?.type).toBe("result");
    expect(ran.measurement.quality.bf16_tflops?.settled).toBe(false);
    expect(seconds(ran)).toBeGreaterThan(45);
    expect(seconds(ran)).toBeLessThanOrEqual(90);
    expect(ran.measurement.faults).toEqual([
      expect.objectContaining({
        metric: "gpu_bandwidth_matrix",
        code: "not_measured",
        message: expect.stringMatching(/^\d+ of 28 pairs not measured: time was up$/),
      }),
    ]);
  });

  test("where opening alone takes more than a minute: the rated figures are made, the rest is left", () => {
    const ran = measure({ ...slow, openMs: 6_000, compileMs: 10_000 });
    expect(seconds(ran)).toBeLessThanOrEqual(90);
    expect(Object.keys(ran.measurement.methods)).toContain("bf16_tflops");
    const left = ran.measurement.faults.filter(({ code }) => code === "not_measured");
    expect(left.map(({ metric }) => metric)).toContain("fp32_cuda_core_tflops");
    expect(left[0]?.message).toMatch(/the run took more than \d+ s before/);
  });

  test.each([
    ["stands still", 0],
    ["runs ten times too slowly", 0.1],
    ["runs backwards", -1],
    ["counts hours", 1e6],
  ])("where the GPUs' clock %s", (_, clockRate) => {
    const ran = measure({ ...HEALTHY, clockRate });
    expect(seconds(ran)).toBeLessThanOrEqual(90);
    const codes = ran.measurement.faults.map(({ code }) => code);
    expect(codes.some((code) => code === "clock_disagrees" || code === "not_measured")).toBe(true);
  });
});
