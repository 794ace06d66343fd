/**
 * `npm run calibrate`: on a machine with an NVIDIA GPU, which definitions of the figures agree with the shipped medians and
 * with each other. Prints the table that docs/measuring.md wants, and writes it with the machine's facts as JSON. Takes some
 * ten minutes. `--cublas FOLDER` names a cuBLASLt, `--out FILE` the JSON file, `--quick` tries one size of each.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { loadAddon } from "../agent/src/gpu/addon.ts";
import { openCublasLt } from "../agent/src/gpu/cublaslt.ts";
import { openCudaDriver } from "../agent/src/gpu/cuda-driver.ts";
import type { Driver } from "../agent/src/gpu/driver.ts";
import { type Ffi, koffiFfi } from "../agent/src/gpu/ffi.ts";
import { findCublasLt } from "../agent/src/gpu/find-libraries.ts";
import { openNvml } from "../agent/src/gpu/nvml.ts";
import { SIZES } from "../agent/src/gpu/plan.ts";
import { busyReasons } from "../agent/src/gpu/refusals.ts";
import { openSmi } from "../agent/src/gpu/smi.ts";
import type { Telemetry } from "../agent/src/gpu/telemetry.ts";
import { findTorch, openTorch } from "../agent/src/gpu/torch.ts";
import { normalizeModel } from "../src/benchmarks/models.ts";
import { SHIPPED } from "../src/benchmarks/shipped-baselines.ts";
import { calibrateGpu } from "./calibration/calibrate-gpu.ts";
import { calibrationTable } from "./calibration/table.ts";
import { packAddons } from "./lib/addons.ts";

const MIB = 2 ** 20;

const { values } = parseArgs({
  options: {
    cublas: { type: "string" },
    out: { type: "string", default: "calibration.json" },
    quick: { type: "boolean", default: false },
  },
});

/** Ends with a sentence where nothing can be calibrated. */
function openMachine(): { ffi: Ffi; driver: Driver } {
  try {
    const ffi = koffiFfi(loadAddon(process.env, packAddons()));
    return { ffi, driver: openCudaDriver(ffi) };
  } catch (error) {
    console.error(`No GPU can be calibrated: ${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}

function openTelemetry(ffi: Ffi): Telemetry | null {
  for (const open of [() => openNvml(ffi), () => openSmi({ now: () => performance.now() })]) {
    try {
      return open();
    } catch (error) {
      console.error(error instanceof Error ? error.message : error);
    }
  }
  return null;
}

const { ffi, driver } = openMachine();
const [description] = driver.gpus;
if (description === undefined) {
  console.error("No GPU can be calibrated: the driver sees none");
  process.exit(1);
}
const telemetry = openTelemetry(ffi);
const gpu = telemetry?.gpu(description.busId) ?? null;
const busy = busyReasons([
  {
    description,
    facts: null,
    processes: gpu?.processes() ?? null,
    utilization: gpu?.utilization() ?? null,
    usedBytes: gpu?.usedBytes() ?? null,
  },
]);
if (busy.length > 0) {
  console.error(`${busy.join("; ")}. A calibration needs an idle GPU.`);
  process.exit(1);
}
const files = findCublasLt(process.env, values.cublas ?? null).slice(0, 2);
const [python] = findTorch(process.env, () => {});
const known = SHIPPED.get(normalizeModel(description.name) ?? "");
const rows = calibrateGpu({
  driver,
  telemetry,
  libraries: files.map((file) => ({
    name: "cublaslt",
    open: (isTransposed) => openCublasLt(ffi, file, isTransposed),
  })),
  torch: python === undefined ? null : () => openTorch(python, () => {}),
  sizes: SIZES,
  gemmSizes: values.quick ? [4_096] : [2_048, 4_096, 8_192, 16_384],
  copySizes: (values.quick ? [1_024] : [256, 1_024, 4_096, 8_192]).map((mib) => mib * MIB),
  copyBlocks: values.quick ? [16] : [8, 16, 64],
  shipped:
    known === undefined
      ? null
      : { bf16Tflops: known.bf16_tflops.median, memoryGbs: known.memory_bandwidth_gbs.median },
  now: () => performance.now(),
  rest: (ms) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms),
  onRow: ({ name, engine, value, unit, fault }) =>
    console.error(
      `${name} by ${engine}: ${value === null ? fault : `${value.toFixed(2)} ${unit}`}`,
    ),
});
const machine = {
  model: description.name,
  driver: telemetry?.driverVersion ?? null,
  cuda: driver.version,
  ffi: ffi.name,
  libraries: files,
  facts: gpu?.facts() ?? null,
  shipped: known ?? null,
  at: new Date().toISOString(),
};
writeFileSync(values.out, `${JSON.stringify({ machine, rows }, null, 2)}\n`);
console.log(`${description.name}, driver ${machine.driver ?? "unknown"}, CUDA ${machine.cuda}\n`);
console.log(calibrationTable(rows));
console.error(`\nwritten to ${values.out}`);
// Products that nobody could make leave nothing to decide by.
if (rows.every(({ value }) => value === null)) process.exitCode = 1;
process.exit();
