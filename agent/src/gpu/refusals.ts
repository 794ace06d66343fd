/** When nothing is measured, and what to do then. Pure. */
import type { GpuDescription } from "./driver.ts";
import { LEAST_CAPABILITY } from "./ptx.ts";
import type { GpuFacts, GpuProcess } from "./telemetry.ts";

export interface Refusal {
  code: string;
  message: string;
  hint: string | null;
}

/** More than this in use before the measurement is somebody's work; the driver itself takes some 100 MiB. */
const MOST_USED_BYTES = 2 * 2 ** 30;
const MOST_UTILIZATION = 5;
const MOST_LISTED = 4;

/** CUresult of `cuInit` that have a cause of their own. */
const START_FAULTS: Readonly<Record<number, Omit<Refusal, "message">>> = {
  34: {
    code: "no_driver",
    hint: "libcuda.so.1 is the toolkit's stub; remove its folder from LD_LIBRARY_PATH",
  },
  100: { code: "no_gpu", hint: "in a container: start it with --gpus all" },
  802: { code: "driver_broken", hint: "start nvidia-fabricmanager and wait until it is ready" },
  803: {
    code: "driver_mismatch",
    hint: "the kernel's driver and its libraries are of different versions: reboot the machine, or restart the container",
  },
  804: {
    code: "driver_mismatch",
    hint: "this card does not support the forward compatibility package: remove cuda-compat, or update the driver",
  },
  999: {
    code: "driver_broken",
    hint: "the module nvidia_uvm may be missing: run nvidia-modprobe -u -c=0, or restart the container",
  },
};

export function startRefusal(code: number, message: string): Refusal {
  const known = START_FAULTS[code] ?? { code: "driver_broken", hint: null };
  return { ...known, message: `the CUDA driver does not start: ${message}` };
}

export interface GpuState {
  description: GpuDescription;
  facts: GpuFacts | null;
  processes: readonly GpuProcess[] | null;
  utilization: number | null;
  usedBytes: number | null;
}

/** The first reason that forbids to measure; work of others does not forbid it with `busyOk`. */
export function refusalOf(gpus: readonly GpuState[], busyOk: boolean): Refusal | null {
  if (gpus.length === 0) {
    return {
      code: "no_gpu",
      message: "the driver sees no GPU",
      hint: "CUDA_VISIBLE_DEVICES may hide it; in a container: start it with --gpus all",
    };
  }
  for (const [i, { description, facts }] of gpus.entries()) {
    if (facts?.mig === true || /\bMIG\b/.test(description.name)) {
      return {
        code: "mig",
        message: `GPU ${i} is divided by MIG; figures of slices cannot be compared`,
        hint: "turn MIG off with nvidia-smi -mig 0 to measure the whole GPU",
      };
    }
    if (description.capability < LEAST_CAPABILITY) {
      return {
        code: "unsupported_gpu",
        message: `GPU ${i} (${description.name}) has compute capability ${description.capability / 10}; it needs 8.0 or newer`,
        hint: null,
      };
    }
  }
  const busy = busyReasons(gpus);
  if (busy.length === 0 || busyOk) return null;
  return {
    code: "gpu_busy",
    message: busy.join("; "),
    hint: "stop that work, or pass --busy-ok to measure anyway; such figures are never rated",
  };
}

/** One sentence for each GPU that somebody works on. */
export function busyReasons(gpus: readonly GpuState[]): string[] {
  return gpus.flatMap(({ processes, utilization, usedBytes }, i) => {
    const reasons: string[] = [];
    if (processes !== null && processes.length > 0) {
      const listed = processes.slice(0, MOST_LISTED).map(({ pid, bytes }) => {
        return bytes === null ? `pid ${pid}` : `pid ${pid} with ${gib(bytes)}`;
      });
      const more = processes.length - listed.length;
      const processWord = processes.length === 1 ? "process" : "processes";
      reasons.push(
        `${processes.length} ${processWord} (${listed.join(", ")}${more > 0 ? ` and ${more} more` : ""})`,
      );
    }
    if (utilization !== null && utilization > MOST_UTILIZATION)
      reasons.push(`${utilization} % busy`);
    if (usedBytes !== null && usedBytes > MOST_USED_BYTES) {
      reasons.push(`${gib(usedBytes)} of its memory is in use`);
    }
    return reasons.length === 0 ? [] : [`GPU ${i} is in use: ${reasons.join(", ")}`];
  });
}

function gib(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
