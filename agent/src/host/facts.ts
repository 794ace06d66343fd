/** What this machine has for this process, for the inventory: nothing of it needs privileges or the network. */
import { statfsSync } from "node:fs";
import { availableParallelism, hostname, release, totalmem, type } from "node:os";
import { join } from "node:path";
import { readText } from "../files.ts";
import { clip } from "../log.ts";
import { readLimits } from "./cgroup.ts";
import { findDisk } from "./disk-place.ts";
import { containerKind, virtualMachine } from "./surroundings.ts";

/** As the inventory has them. Null for what the system does not tell. */
export interface HostFacts {
  cpu: {
    /** Logical CPUs: those it may run on, and no more than its quota, rounded down. */
    usable: number | null;
    /** CPUs' worth of time; null for no quota. */
    quota: number | null;
  };
  memory: { total_bytes: number | null; limit_bytes: number | null };
  disk: { path: string; total_bytes: number | null; device_bytes: number | null };
  kernel: { name: string; release: string };
  host_name: string;
  container: string | null;
  virtual_machine: string | null;
}

export interface HostWorld {
  env: Record<string, string | undefined>;
  /** Where the disk is looked at and measured. */
  diskPath: string;
  /** Of the file system; another one in tests. */
  root: string;
  totalBytesOf: (path: string) => number | null;
  /** What the system says of itself where its files do not. */
  os: { name: string; release: string; hostName: string; cpus: number; memoryBytes: number };
}

const MAX_CHARACTERS = 256;

export function thisHost(diskPath: string, env = process.env): HostWorld {
  return {
    env,
    diskPath,
    root: "/",
    totalBytesOf,
    os: {
      name: type(),
      release: release(),
      hostName: hostname(),
      cpus: availableParallelism(),
      memoryBytes: totalmem(),
    },
  };
}

export function readHost({ env, diskPath, root, totalBytesOf: totalOf, os }: HostWorld): HostFacts {
  const limits = readLimits(root);
  const cpus = affinityOf(root) ?? os.cpus;
  const diskBytes = totalOf(diskPath);
  return {
    cpu: {
      usable: Math.floor(Math.min(cpus, limits.quota ?? cpus)),
      quota: limits.quota === null ? null : Math.round(limits.quota * 1_000) / 1_000,
    },
    memory: {
      total_bytes: memoryOf("MemTotal", root) ?? os.memoryBytes,
      limit_bytes: limits.memoryBytes,
    },
    disk: {
      path: clip(diskPath, MAX_CHARACTERS),
      total_bytes: diskBytes,
      // A folder that is not there lies on no disk.
      device_bytes: diskBytes === null ? null : findDisk(diskPath, root).deviceBytes,
    },
    kernel: { name: os.name, release: clip(os.release, MAX_CHARACTERS) },
    host_name: clip(os.hostName, MAX_CHARACTERS),
    container: containerKind(env, root),
    virtual_machine: virtualMachine(root),
  };
}

/** The CPUs that this process may run on; null where the system does not tell. */
export function affinityOf(root = "/"): number | null {
  const status = readText(join(root, "proc/self/status")) ?? "";
  const allowed = /^Cpus_allowed_list:\s*(\S+)$/m.exec(status)?.[1];
  const online = readText(join(root, "sys/devices/system/cpu/online"))?.trim();
  const cpus = countCpus(allowed ?? online ?? "");
  return cpus > 0 ? cpus : null;
}

/** Of a list such as `0-3,8` (cpuset(7)). */
function countCpus(list: string): number {
  return list.split(",").reduce((sum, range) => {
    const [first = "", last = first] = range.split("-");
    if (!/^\d+$/.test(first) || !/^\d+$/.test(last)) return sum;
    return sum + Math.max(0, Number(last) - Number(first) + 1);
  }, 0);
}

/** A line of /proc/meminfo, bytes. */
export function memoryOf(name: string, root = "/"): number | null {
  const text = readText(join(root, "proc/meminfo")) ?? "";
  const kib = new RegExp(`^${name}:\\s*(\\d+) kB$`, "m").exec(text)?.[1];
  return kib === undefined ? null : Number(kib) * 1_024;
}

/** The size of the file system that a folder is in; null where it cannot be read. */
export function totalBytesOf(path: string): number | null {
  try {
    const { blocks, bsize } = statfsSync(path);
    const bytes = blocks * bsize;
    return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : null;
  } catch {
    return null;
  }
}
