/**
 * The agent as a program, on a machine with the fake driver: what measures is a process of its own, as always. FAKE_PROBE
 * says what becomes of it after its first figures: crash, hang, oom, or nothing; `refused` finds a busy GPU.
 */
import { writeSync } from "node:fs";
import { runMeasurement } from "../../../agent/src/gpu/run.ts";
import { fakeWorld, telemetryOf } from "./runs.ts";

/** Two GPUs whose figures are whole numbers: 1 TFLOPS in BF16. */
const launchMs = (kernel: string): number =>
  ({ gemm_bf16: 2 * 256 ** 3 * 1e-9, gemm_f16: 256 ** 3 * 1e-9 })[kernel] ?? 0.5;

if (process.argv[2] === "--probe") {
  const mode = process.env.FAKE_PROBE;
  const busy = mode === "refused" ? { utilization: () => 97 } : {};
  const world = fakeWorld({ gpus: 2, launchMs }, (message) => {
    writeSync(1, `${JSON.stringify(message)}\n`);
    if (message.type !== "partial") return;
    if (mode === "crash") process.kill(process.pid, "SIGSEGV");
    // As the kernel does it when memory has run out.
    if (mode === "oom") process.kill(process.pid, "SIGKILL");
    if (mode === "hang") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
  runMeasurement({ ...world, telemetry: telemetryOf(busy) });
} else {
  await import("../../../agent/src/main.ts");
}
