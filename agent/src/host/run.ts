/** The measuring process of HostMark, `agent.mjs --host-mark`: messages as lines on standard output. */
import { readdirSync, writeFileSync, writeSync } from "node:fs";
import { cpus, freemem } from "node:os";
import { join } from "node:path";
import { systemClock } from "../clock.ts";
import { readText } from "../files.ts";
import type { ProbeMessage } from "../gpu/messages.ts";
import { clip } from "../log.ts";
import { isRecord } from "../protocol.ts";
import { readLimits } from "./cgroup.ts";
import { measureDisk } from "./disk.ts";
import { findDisk } from "./disk-place.ts";
import { affinityOf, memoryOf, readHost, thisHost } from "./facts.ts";
import { loadBefore, readTicks, sharesBetween } from "./load.ts";
import { LOCK_WAIT_MS, takeLock } from "./lock.ts";
import { arraysFor, BUSY_SHARE, CPU, LOOK_MS, MEMORY, threadsFor } from "./plan.ts";
import { buildResults, type Fault } from "./results.ts";
import { type Figure, figureOf, isDone } from "./series.ts";
import { createTeam, type Team } from "./team.ts";

export interface HostOptions {
  /** A folder of which the disk is measured. */
  diskPath: string;
  diskMib: number;
}

export const DEFAULT_DISK_MIB = 512;

/** Never throws: what goes wrong is a message. */
export async function runHostMeasurement(options: HostOptions, program: string): Promise<void> {
  const emit = (message: ProbeMessage): void => {
    // Synchronously, since transfers of the disk block.
    writeSync(1, `${JSON.stringify(message)}\n`);
  };
  dieFirst();
  try {
    const never = new AbortController().signal;
    const lock = await takeLock(systemClock, never, {
      onWait: () => progress(emit, 0, "waiting for another measurement of this machine"),
    });
    if (lock === null) {
      const message = `another measurement has been running on this machine for ${LOCK_WAIT_MS / 1_000} s`;
      emit({ type: "failure", code: "busy", message, hint: "run one job at a time on a machine" });
      return;
    }
    emit(await measure(options, program, emit));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    emit({ type: "failure", code: "host_mark_failed", message, hint: null });
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

type Emit = (message: ProbeMessage) => void;

function progress(emit: Emit, at: number, message: string): void {
  emit({ type: "progress", progress: at, message });
}

async function measure(options: HostOptions, program: string, emit: Emit): Promise<ProbeMessage> {
  progress(emit, 0.02, "looking at the machine");
  const host = readHost(thisHost(options.diskPath));
  const available = affinityOf() ?? cpus().length;
  const free = freeBytes();
  const { threads, isShort } = threadsFor({
    cpus: available,
    quota: host.cpu.quota,
    freeBytes: free,
  });
  const load = loadBefore();
  const atRest = readTicks();
  await systemClock.sleep(LOOK_MS, new AbortController().signal);
  const atStart = readTicks();
  const arrays = arraysFor(threads, { freeBytes: free, cacheBytes: cacheBytes() });
  if (arrays === null) {
    const message = "this machine has too little free memory to measure it";
    return { type: "failure", code: "memory_short", message, hint: "stop other programs on it" };
  }
  const team = await createTeam(program, threads, {
    kind: "assay-host-thread",
    arrayBytes: arrays.bytes,
  });
  const cpu = await measureCpu(team, emit);
  const triad = await measureMemory(team, "triad", (at) =>
    progress(emit, 0.35 + 0.1 * at, "memory_triad_gbs"),
  );
  const copy = await measureMemory(team, "copy", (at) =>
    progress(emit, 0.45 + 0.1 * at, "memory_copy_gbs"),
  );
  await team.end();
  let step = 0.55;
  const disk = measureDisk(options.diskPath, options.diskMib * 2 ** 20, {
    platform: process.platform,
    now: () => performance.now(),
    onProgress(message) {
      progress(emit, step, message);
      step += 0.15;
    },
  });
  const busyBefore = sharesBetween(atRest, atStart)?.busy ?? null;
  const faults = [...(isShort ? [threadsFault] : []), ...(arrays.isCached ? [cachedFault] : [])];
  const results = buildResults({
    cpu: {
      model: clip(cpus()[0]?.model.trim() || "unknown", 128),
      threads: cpus().length,
      available: host.cpu.usable,
      quota: host.cpu.quota,
      numa_nodes: numaNodes(),
      virtualization: host.virtual_machine ?? "none",
      container: host.container,
    },
    ...cpu,
    triad,
    copy,
    disk,
    diskPath: options.diskPath,
    diskFileSystem: findDisk(options.diskPath).fileSystem,
    threads,
    conditions: {
      loadBefore: load,
      busyBefore,
      steal: sharesBetween(atStart, readTicks())?.steal ?? null,
    },
    isBusy: (busyBefore ?? 0) > BUSY_SHARE,
    faults,
    timestamp: new Date().toISOString(),
  });
  return { type: "result", results };
}

const threadsFault: Fault = {
  metric: "effective_cores",
  code: "threads_few",
  message: "too little memory is free for a thread on each CPU: fewer threads were measured",
};

const cachedFault: Fault = {
  metric: "memory_triad_gbs",
  code: "arrays_small",
  message:
    "too little memory is free for arrays larger than the caches: the figures partly measure the caches",
};

/** One thread and all of them in turns, so that both meet the same load. */
async function measureCpu(team: Team, emit: Emit): Promise<{ single: Figure; all: Figure }> {
  const round = { kind: "sha256", ms: CPU.roundMs } as const;
  const [single, all]: [number[], number[]] = [[], []];
  const start = performance.now();
  const elapsed = () => performance.now() - start;
  await team.run({ ...round, ms: CPU.roundMs / 4 });
  while (!(isDone(single, elapsed(), CPU) && isDone(all, elapsed(), CPU))) {
    progress(emit, 0.05 + 0.3 * Math.min(1, elapsed() / CPU.maxMs), "effective_cores");
    single.push(await team.run(round, 1));
    all.push(await team.run(round));
  }
  return { single: figureOf(single, CPU), all: figureOf(all, CPU) };
}

async function measureMemory(
  team: Team,
  kind: "triad" | "copy",
  onProgress: (at: number) => void,
): Promise<Figure> {
  const start = performance.now();
  await team.run({ kind, passes: 1 });
  const once = performance.now();
  await team.run({ kind, passes: 1 });
  const passMs = Math.max(performance.now() - once, 1);
  const passes = Math.max(1, Math.round(MEMORY.roundMs / passMs));
  const rates: number[] = [];
  while (!isDone(rates, performance.now() - start, MEMORY)) {
    onProgress(Math.min(1, (performance.now() - start) / MEMORY.maxMs));
    rates.push(await team.run({ kind, passes }));
  }
  return figureOf(rates, MEMORY);
}

/** What this process may still use. */
function freeBytes(): number {
  return Math.min(memoryOf("MemAvailable") ?? freemem(), readLimits().memoryLeft ?? Infinity);
}

/** The last-level caches together; null where the system does not tell. */
function cacheBytes(root = "/sys/devices/system/cpu"): number | null {
  const seen = new Map<string, number>();
  for (const cpu of namesIn(root, /^cpu\d+$/)) {
    const folder = join(root, cpu, "cache");
    const levels = namesIn(folder, /^index\d+$/).map((index) => {
      const read = (file: string) => readText(join(folder, index, file))?.trim() ?? "";
      return { level: Number(read("level")), size: read("size"), shared: read("shared_cpu_list") };
    });
    const last = levels.sort((a, b) => b.level - a.level)[0];
    const size = /^(\d+)K$/.exec(last?.size ?? "")?.[1];
    if (last !== undefined && size !== undefined) seen.set(last.shared, Number(size) * 1_024);
  }
  const sum = [...seen.values()].reduce((total, bytes) => total + bytes, 0);
  return sum === 0 ? null : sum;
}

function numaNodes(): number | null {
  return namesIn("/sys/devices/system/node", /^node\d+$/).length || null;
}

function namesIn(folder: string, pattern: RegExp): string[] {
  try {
    return readdirSync(folder).filter((name) => pattern.test(name));
  } catch {
    return [];
  }
}

/** What the agent has passed on; it is this program as well. */
export function parseHostOptions(text: string | undefined): HostOptions {
  let body: unknown;
  try {
    body = JSON.parse(text ?? "{}");
  } catch {
    body = {};
  }
  const { diskPath, diskMib } = isRecord(body) ? body : {};
  return {
    diskPath: typeof diskPath === "string" ? diskPath : process.cwd(),
    diskMib: typeof diskMib === "number" ? diskMib : DEFAULT_DISK_MIB,
  };
}
