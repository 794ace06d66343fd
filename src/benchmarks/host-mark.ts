import { z } from "@hono/zod-openapi";
import { isObject } from "../lib/json.ts";
import type { Implausible } from "../lib/stored-json.ts";
import type { Benchmark, JsonObject } from "./benchmark.ts";
import { boundFault } from "./bounds.ts";

/** The figures, in the order in which they are measured. */
const FIGURES = {
  cpu_single_gbs: { display_name: "SHA-256, one thread", unit: "GB/s" },
  cpu_all_gbs: { display_name: "SHA-256, all threads", unit: "GB/s" },
  effective_cores: { display_name: "Effective cores", unit: "" },
  memory_triad_gbs: { display_name: "Memory bandwidth, triad", unit: "GB/s" },
  memory_copy_gbs: { display_name: "Memory bandwidth, copy", unit: "GB/s" },
  disk_sequential_write_mbs: { display_name: "Disk, sequential write", unit: "MB/s" },
  disk_sequential_read_mbs: { display_name: "Disk, sequential read", unit: "MB/s" },
  disk_random_read_p50_us: { display_name: "Disk, random 4 KiB read, median", unit: "µs" },
  disk_random_read_p99_us: { display_name: "Disk, random 4 KiB read, 99th percentile", unit: "µs" },
} as const;

/** Of all threads together a machine gets this much more than their number promises, at most: clocks change. */
const MAX_CORES_PER_CPU = 1.5;

/** A figure that cannot be true is kept as such, and costs nobody the others. */
const sent = z.union([z.number(), z.string().max(64)], "must be a number").nullish();
const required = z.number();

const result = z.looseObject({
  cpu: z
    .looseObject({
      model: z.string().max(128).nullish(),
      threads: sent,
      available: sent,
      quota: sent,
      numa_nodes: sent,
      virtualization: z.string().max(64).nullish(),
    })
    .nullish(),
  ...Object.fromEntries(Object.keys(FIGURES).map((name) => [name, sent])),
  effective_cores: required,
  memory_triad_gbs: required,
  disk_path: z.string().max(4_096).nullish(),
  disk_direct: z.boolean().nullish(),
  disk_reason: z.string().max(1_000).nullish(),
});

const config = z.strictObject({
  disk_mib: z
    .int()
    .min(64)
    .max(8_192)
    .optional()
    .describe("Size of the file that the disk is measured with, MiB; 512 by default."),
});

/** What a machine has besides its GPUs: cores, memory and disk, for information. */
export const hostMark: Benchmark = {
  id: "host_mark",
  name: "HostMark",
  description:
    "Usable and effective CPU cores, memory bandwidth, and throughput and latency of the disk of each node, in about 20 seconds. For information: no baseline rates it.",
  kind: "node",
  minNodes: 1,
  measuresNode: true,
  config,
  result,
  checkResult: () => null,
  digest: (value) => {
    const isTrue = !implausible(value).some(({ field }) => field === "effective_cores");
    return { effective_cores: isTrue ? value.effective_cores : null };
  },
  implausible,
  // No reply shows hosts of different kinds together, and a row has little room.
  summarize: () => null,
  detailFields: [],
  details: null,
  fields: FIGURES,
};

function implausible(value: JsonObject): Implausible[] {
  const faults = Object.keys(FIGURES).flatMap((field): Implausible[] => {
    const reason = boundFault(field, value[field], 1, true);
    return reason === null ? [] : [{ field, reason }];
  });
  const tooMany = coresFault(value);
  const isFaulty = faults.some(({ field }) => field === "effective_cores");
  return tooMany === null || isFaulty ? faults : [...faults, tooMany];
}

function coresFault({ cpu, effective_cores: cores }: JsonObject): Implausible | null {
  const available = isObject(cpu) ? cpu.available : null;
  if (typeof available !== "number" || typeof cores !== "number" || available < 1) return null;
  // `available` is rounded down, but the rest of a CPU does work, too.
  const quota = isObject(cpu) && typeof cpu.quota === "number" ? cpu.quota : 0;
  const cpus = Math.max(available, Math.min(quota, available + 1));
  const most = Math.round(MAX_CORES_PER_CPU * cpus * 100) / 100;
  if (cores <= most) return null;
  const reason = `${cores} cannot be true: ${cpus} CPUs were available, which do the work of ${most} at most`;
  return { field: "effective_cores", reason };
}

/** The effective cores in the digest of a HostMark result; null for a number that cannot be true. */
export function effectiveCoresOf({ effective_cores: cores }: JsonObject): number | null {
  return typeof cores === "number" ? cores : null;
}
