/** The measuring process, `agent.mjs --probe`: the real driver and libraries, and messages as lines on standard output. */
import { writeFileSync, writeSync } from "node:fs";
import { loadAddon } from "./addon.ts";
import { openCublasLt } from "./cublaslt.ts";
import { openCudaDriver } from "./cuda-driver.ts";
import { CudaError, type Driver } from "./driver.ts";
import { ptxEngine } from "./engine.ts";
import { type Ffi, koffiFfi } from "./ffi.ts";
import { findCublasLt } from "./find-libraries.ts";
import type { RunWorld } from "./measure-step.ts";
import type { ProbeMessage, ProbeOptions } from "./messages.ts";
import { openNvml } from "./nvml.ts";
import { SIZES } from "./plan.ts";
import { type Refusal, startRefusal } from "./refusals.ts";
import { runMeasurement } from "./run.ts";
import { openSmi } from "./smi.ts";
import type { Telemetry } from "./telemetry.ts";
import { findTorch, openTorch } from "./torch.ts";

/** From linux/prctl.h: the signal that a process gets when its parent ends. */
const PR_SET_PDEATHSIG = 1;
const SIGKILL = 9n;

/** Never throws: what goes wrong is a message. */
export function runProbe(
  { engine, cublas, busyOk }: ProbeOptions,
  env: Record<string, string | undefined>,
): void {
  dieFirst();
  const emit = (message: ProbeMessage): void => {
    // Synchronously, since calls of the driver block: an event loop would write only at the end.
    writeSync(1, `${JSON.stringify(message)}\n`);
  };
  try {
    const opened = open(env);
    if ("code" in opened) {
      emit({ type: "failure", ...opened });
      return;
    }
    const { ffi, driver } = opened;
    runMeasurement({
      driver,
      telemetry: openTelemetry(ffi, emit),
      engines: enginesOf(ffi, env, engine, cublas, emit),
      ffi: ffi.name,
      busyOk,
      sizes: SIZES,
      now: () => performance.now(),
      timestamp: () => new Date().toISOString(),
      emit,
    });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof CudaError ? "gpu_failed" : "probe_failed";
    emit({ type: "failure", code, message, hint: null });
  }
}

/** If memory runs out, the kernel must end this process and not the agent. */
function dieFirst(): void {
  try {
    writeFileSync("/proc/self/oom_score_adj", "1000");
  } catch {
    // Another system, or one that does not allow it.
  }
}

/** Has the kernel end this process with the agent: nobody else could, while a call of the driver hangs. */
function endWithAgent(ffi: Ffi): void {
  try {
    ffi.open("libc.so.6", { prctl: ["i32", "i32", "u64"] }).prctl?.(PR_SET_PDEATHSIG, SIGKILL);
  } catch {
    // Another C library. The next line that this process writes ends it.
  }
}

function open(env: Record<string, string | undefined>): { ffi: Ffi; driver: Driver } | Refusal {
  let ffi: Ffi;
  try {
    ffi = koffiFfi(loadAddon(env));
  } catch (error) {
    return { code: "no_ffi", message: text(error), hint: null };
  }
  endWithAgent(ffi);
  try {
    return { ffi, driver: openCudaDriver(ffi) };
  } catch (error) {
    if (error instanceof CudaError) return startRefusal(error.code, error.message);
    return {
      code: "no_driver",
      message: `no NVIDIA driver: libcuda.so.1 cannot be opened (${text(error)})`,
      hint: "install the driver; in a container: start it with --gpus all",
    };
  }
}

/** NVML; where it is missing its tool, which has its own copy in some containers. */
function openTelemetry(ffi: Ffi, emit: (message: ProbeMessage) => void): Telemetry | null {
  try {
    return openNvml(ffi);
  } catch (error) {
    try {
      emit({ type: "progress", progress: 0, message: "asking nvidia-smi" });
      const telemetry = openSmi({ now: () => performance.now() });
      emit({
        type: "note",
        message: `readings from nvidia-smi, since NVML is missing: ${text(error)}`,
      });
      return telemetry;
    } catch (second) {
      const message = `no power, temperature and throttle readings: ${text(error)}; ${text(second)}`;
      emit({ type: "note", message });
      return null;
    }
  }
}

function enginesOf(
  ffi: Ffi,
  env: Record<string, string | undefined>,
  forced: ProbeOptions["engine"],
  folder: string | null,
  emit: (message: ProbeMessage) => void,
): RunWorld["engines"] {
  const own = { name: "this agent's own kernel", open: ptxEngine };
  if (forced === "ptx") return [own];
  if (forced === "torch") {
    const tick = (message: string) => () => emit({ type: "progress", progress: 0, message });
    const pythons = findTorch(env, tick("looking for PyTorch"));
    if (pythons.length === 0) emit({ type: "note", message: "no python3 here has PyTorch" });
    const onTick = tick("waiting for PyTorch");
    return pythons.map((python) => ({
      name: `PyTorch of ${python}`,
      open: () => openTorch(python, onTick),
    }));
  }
  emit({ type: "progress", progress: 0, message: "looking for cuBLASLt" });
  const files = findCublasLt(env, folder);
  const libraries = files.map((file) => ({ name: file, open: () => openCublasLt(ffi, file) }));
  if (files.length === 0) {
    const place = folder === null ? "this machine" : folder;
    emit({
      type: "note",
      message: `no cuBLASLt on ${place}${forced === null ? "; figures of this agent's own kernel have another class (--fetch-cublas fetches cuBLASLt)" : ""}`,
    });
  }
  return forced === "cublaslt" ? libraries : [...libraries, own];
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
