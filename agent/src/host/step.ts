/** host_mark: measured by a process of its own, so that threads, memory and a stuck disk cost the agent nothing. */
import { resolve } from "node:path";
import type { Clock } from "../clock.ts";
import { runProbeProcess } from "../gpu/probe-process.ts";
import type { Report } from "../heartbeat.ts";
import type { Log } from "../log.ts";
import type { StepOutcome } from "../protocol.ts";
import { DEFAULT_DISK_MIB, type HostOptions } from "./run.ts";

export interface HostMeasuring {
  /** Starts this agent's own program. */
  command: readonly string[];
  /** A folder of the disk to measure. */
  diskPath: string;
}

/** By a job; what lies beyond is of a newer server, or a mistake. */
const DISK_MIB = { min: 64, max: 8_192 };

export async function runHostMark(
  { command, diskPath }: HostMeasuring,
  config: Readonly<Record<string, unknown>>,
  tools: { clock: Clock; log: Log; report: Report; signal: AbortSignal },
): Promise<StepOutcome> {
  const { clock, log, report, signal } = tools;
  const { disk_mib: diskMib = DEFAULT_DISK_MIB } = config;
  if (!isFileSize(diskMib)) {
    const { min, max } = DISK_MIB;
    return {
      state: "failed",
      errorMessage: `disk_mib must be a whole number between ${min} and ${max}`,
    };
  }
  const options: HostOptions = { diskPath: resolve(diskPath), diskMib };
  const outcome = await runProbeProcess(
    [...command, "--host-mark"],
    options,
    { onProgress: report, onNote: (message) => log(`host_mark: ${message}`) },
    signal,
    clock,
  );
  if (outcome.ok) return { state: "completed", results: outcome.results };
  const { code, message, hint } = outcome;
  // What it says of a process that hangs is about drivers.
  const advice = hint === null || code === "probe_hung" ? "" : `: ${hint}`;
  return { state: "failed", errorMessage: `${message} (${code})${advice}` };
}

function isFileSize(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= DISK_MIB.min && Number(value) <= DISK_MIB.max;
}
