/** `npm run calibrate` without a GPU: on the fake driver, with sizes that its emulator computes in a moment. */
import { expect, test } from "vitest";
import { ptxEngine } from "../../agent/src/gpu/engine.ts";
import { COPY_GRANULE } from "../../agent/src/gpu/ptx.ts";
import {
  type CalibrationRow,
  type CalibrationWorld,
  calibrateGpu,
} from "../../scripts/calibration/calibrate-gpu.ts";
import { calibrationTable } from "../../scripts/calibration/table.ts";
import { emulatedInstructions } from "../agent/gpu/emulator/launch.ts";
import { SHARES } from "../agent/gpu/emulator/shares.ts";
import { type FakeOptions, fakeDriver } from "../agent/gpu/fake-driver.ts";
import { SMALL, telemetryOf } from "../agent/gpu/runs.ts";

/** 1 TFLOPS, and 1 GB/s. */
const launchMs = (kernel: string): number =>
  ({ gemm_bf16: 2 * 256 ** 3 * 1e-9, copy: (4 * COPY_GRANULE) / 1e6 })[kernel] ?? 0.5;

function calibrate(options: FakeOptions = {}, world: Partial<CalibrationWorld> = {}) {
  const driver = fakeDriver({ copyGbs: 0.002, launchMs, ...options });
  const shown: CalibrationRow[] = [];
  const rows = calibrateGpu({
    driver,
    telemetry: telemetryOf(),
    libraries: [{ name: "library", open: () => ptxEngine() }],
    torch: null,
    sizes: SMALL,
    gemmSizes: [256],
    copySizes: [2 * COPY_GRANULE],
    copyBlocks: [8, 16],
    shipped: { bf16Tflops: 1.01, memoryGbs: 2 },
    now: driver.now,
    rest: () => {},
    onRow: (row) => shown.push(row),
    ...world,
  });
  expect(shown).toEqual(rows);
  return { rows, driver };
}

test("compares layouts, data and states of products, copies, and the other figures", () => {
  const { rows, driver } = calibrate();
  expect(rows.map(({ name }) => name)).toEqual([
    "bf16 256 nn normal, burst",
    "bf16 256 nn normal, settled",
    "bf16 256 nn zeros, burst",
    "bf16 256 nn zeros, settled",
    "bf16 256 nt normal, burst",
    "bf16 256 nt normal, settled",
    "bf16 256 nt normal, settled",
    "copy 0.03125 MiB, 8 blocks",
    "copy 0.03125 MiB, 16 blocks",
    "copy 0.03125 MiB, with readings",
    "copy 0.03125 MiB, without readings",
    "fp32",
    "host to device",
    "device to host",
    "launch",
  ]);
  for (const { fault } of rows) expect(fault).toBeNull();
  expect(rows[1]).toMatchObject({
    engine: "library",
    value: expect.closeTo(1, 3),
    ofShipped: expect.closeTo(1 / 1.01, 3),
    settled: true,
    spread: 0,
    watts: 391.2,
  });
  // The own kernel is checked against the host.
  expect(rows[6]).toMatchObject({ engine: "ptx", error: expect.any(Number) });
  expect(rows[7]).toMatchObject({ value: expect.closeTo(1, 3), ofShipped: expect.closeTo(0.5, 3) });
  expect(rows.find(({ name }) => name.endsWith("without readings"))?.watts).toBeNull();
  expect(driver.allocatedBytes()).toBe(0);
});

test("the table marks what is within 2 % of the shipped median", () => {
  const lines = calibrationTable(calibrate().rows).split("\n");
  expect(lines[0]).toMatch(/^\| figure \| engine \| value \|/);
  expect(lines[3]).toMatch(
    /^\| bf16 256 nn normal, settled \| library \| 1\.00 TFLOPS \| 99\.0 % \*\*same\*\* \| yes \| 0\.0 % \|/,
  );
  expect(lines.find((line) => line.includes("16 blocks"))).toMatch(/\| 50\.0 % \|/);
});

test("what fails is a row with its fault, and the rest goes on", () => {
  const broken = () => {
    throw new Error("no kernel | for this");
  };
  const { rows } = calibrate(
    { fail: { call: "allocateHost", nth: 1, code: 2 } },
    { libraries: [{ name: "broken", open: broken }], torch: broken, shipped: null },
  );
  const faults = rows.filter(({ fault }) => fault !== null).map(({ name }) => name);
  expect(faults).toEqual([
    "bf16 256 nn normal",
    "bf16 256 nn zeros",
    "bf16 256 nt normal",
    "bf16",
    "host to device",
  ]);
  expect(rows.find(({ name }) => name === "launch")?.value).not.toBeNull();
  expect(calibrationTable(rows)).toContain("not measured: no kernel / for this");
});

test("without a GPU there is nothing to calibrate", () => {
  expect(() => calibrate({ gpus: 0 })).toThrow(/no GPU/);
});

test("emulates no more than its share of `npm test`", () => {
  // The process that comes first emulates what the others then read: in which order files run is not known.
  expect(emulatedInstructions()).toBeLessThanOrEqual(SHARES.calibration + SHARES.runs);
});
