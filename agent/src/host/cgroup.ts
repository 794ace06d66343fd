/** What the control groups of this process leave it of the machine: CPU time and memory. */
import { join } from "node:path";
import { readText } from "../files.ts";

export interface Limits {
  /** CPUs' worth of time; null for no quota. */
  quota: number | null;
  memoryBytes: number | null;
  /** Still unused below every limit: a wider one may be closer to its end. Null without a limit. */
  memoryLeft: number | null;
}

/** Version 1 writes about 2^63 where there is no limit. */
const NO_LIMIT = 2 ** 60;
const MOUNT = "sys/fs/cgroup";

/** @param root of the file system; another one in tests */
export function readLimits(root = "/"): Limits {
  const groups = groupsOf(readText(join(root, "proc/self/cgroup")) ?? "");
  const read = (folder: string, file: string) => readText(join(root, MOUNT, folder, file));
  const quotas: number[] = [];
  const memory: { limit: number; used: number | null }[] = [];
  // Version 2 has one tree; a mixed system has it below `unified`.
  for (const folder of foldersOf(["", "unified"], groups.get("") ?? "/")) {
    const [quota, period] = words(read(folder, "cpu.max"));
    if (quota !== undefined && quota !== "max") quotas.push(Number(quota) / Number(period));
    const limit = read(folder, "memory.max")?.trim() ?? "max";
    if (limit !== "max") {
      memory.push({ limit: Number(limit), used: numberIn(read(folder, "memory.current")) });
    }
  }
  // Version 1 has a tree for each controller.
  for (const folder of foldersOf(["cpu,cpuacct", "cpu"], groups.get("cpu") ?? "/")) {
    const quota = numberIn(read(folder, "cpu.cfs_quota_us"));
    const period = numberIn(read(folder, "cpu.cfs_period_us"));
    if (quota !== null && quota > 0 && period !== null) quotas.push(quota / period);
  }
  for (const folder of foldersOf(["memory"], groups.get("memory") ?? "/")) {
    const limit = numberIn(read(folder, "memory.limit_in_bytes"));
    if (limit !== null) {
      memory.push({ limit, used: numberIn(read(folder, "memory.usage_in_bytes")) });
    }
  }
  const isReal = (value: number) => Number.isFinite(value) && value > 0;
  const limits = memory.filter(({ limit }) => isReal(limit) && limit < NO_LIMIT);
  const least = (values: number[]) => (values.length === 0 ? null : Math.min(...values));
  const real = quotas.filter(isReal);
  return {
    quota: least(real),
    memoryBytes: least(limits.map(({ limit }) => limit)),
    memoryLeft: least(limits.map(({ limit, used }) => Math.max(0, limit - (used ?? 0)))),
  };
}

/** This process's group of each controller; version 2's has the name "". */
function groupsOf(text: string): Map<string, string> {
  return new Map(
    text.split("\n").flatMap((line) => {
      const [, controllers, ...path] = line.split(":");
      if (controllers === undefined || path.length === 0) return [];
      return controllers.split(",").map((name) => [name, path.join(":")] as const);
    }),
  );
}

/**
 * The folders whose limits hold: of the group and of all above it. A container may see its own group as the root while
 * it is told the path from outside, so that the root counts in any case, and folders that are not there say nothing.
 */
function foldersOf(mounts: readonly string[], group: string): string[] {
  const parts = group.split("/").filter((part) => part !== "" && part !== "..");
  return mounts.flatMap((mount) =>
    Array.from({ length: parts.length + 1 }, (_, depth) => join(mount, ...parts.slice(0, depth))),
  );
}

function words(text: string | null): string[] {
  return text?.trim().split(/\s+/) ?? [];
}

function numberIn(text: string | null): number | null {
  const trimmed = text?.trim() ?? "";
  return /^-?\d+$/.test(trimmed) ? Number(trimmed) : null;
}
