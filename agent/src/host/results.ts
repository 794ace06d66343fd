/** HostMark's results, and how they were made: `measurement` as QuickMark has it. Pure. */
import type { DiskFigures } from "./disk.ts";
import type { Figure, Quality } from "./series.ts";

export interface HostRun {
  cpu: Record<string, unknown>;
  single: Figure;
  all: Figure;
  triad: Figure;
  copy: Figure;
  disk: DiskFigures | { reason: string };
  diskPath: string;
  diskFileSystem: string | null;
  threads: number;
  conditions: { loadBefore: number | null; busyBefore: number | null; steal: number | null };
  isBusy: boolean;
  faults: readonly Fault[];
  timestamp: string;
}

export interface Fault {
  metric: string;
  code: string;
  message: string;
}

const METHODS = {
  cpu_single_gbs: "sha256.openssl.1mib/1",
  cpu_all_gbs: "sha256.openssl.1mib/1",
  effective_cores: "sha256.all-over-one/1",
  memory_triad_gbs: "triad.wasm-simd.f64/1",
  memory_copy_gbs: "copy.wasm-simd/1",
} as const;

const GIGA = 1e9;
const MEGA = 1e6;

export function buildResults(run: HostRun): Record<string, unknown> {
  const { single, all, triad, copy, disk } = run;
  const hasDisk = !("reason" in disk);
  const quality: Record<string, Quality> = {
    cpu_single_gbs: single.quality,
    cpu_all_gbs: all.quality,
    memory_triad_gbs: triad.quality,
    memory_copy_gbs: copy.quality,
    ...(hasDisk
      ? {
          disk_sequential_write_mbs: disk.write.quality,
          disk_sequential_read_mbs: disk.read.quality,
          disk_random_read_p50_us: disk.p50.quality,
        }
      : {}),
  };
  return {
    cpu: run.cpu,
    cpu_single_gbs: rounded(single.value / GIGA, 3),
    cpu_all_gbs: rounded(all.value / GIGA, 3),
    effective_cores: rounded(all.value / single.value, 2),
    memory_triad_gbs: rounded(triad.value / GIGA, 2),
    memory_copy_gbs: rounded(copy.value / GIGA, 2),
    disk_sequential_write_mbs: hasDisk ? rounded(disk.write.value / MEGA, 1) : null,
    disk_sequential_read_mbs: hasDisk ? rounded(disk.read.value / MEGA, 1) : null,
    disk_random_read_p50_us: hasDisk ? rounded(disk.p50.value, 1) : null,
    disk_random_read_p99_us: hasDisk ? rounded(disk.p99, 1) : null,
    disk_path: run.diskPath,
    disk_file_system: run.diskFileSystem,
    disk_direct: hasDisk,
    disk_reason: hasDisk ? null : disk.reason,
    measurement: {
      version: 1,
      methods: { ...METHODS, ...(hasDisk ? diskMethods(disk.fileBytes) : {}) },
      settled: Object.values(quality).every(({ settled }) => settled),
      quality,
      conditions: {
        threads: run.threads,
        load_before: run.conditions.loadBefore,
        busy_before: run.conditions.busyBefore,
        steal: run.conditions.steal,
        busy: run.isBusy,
      },
      faults: run.faults,
    },
    timestamp: run.timestamp,
  };
}

function diskMethods(fileBytes: number): Record<string, string> {
  const size = `${Math.round(fileBytes / 2 ** 20)}mib`;
  return {
    disk_sequential_write_mbs: `write.direct.1mib.${size}/1`,
    disk_sequential_read_mbs: `read.direct.1mib.${size}/1`,
    disk_random_read_p50_us: `random-read.direct.4kib.qd1.${size}/1`,
    disk_random_read_p99_us: `random-read.direct.4kib.qd1.${size}/1`,
  };
}

function rounded(value: number, digits: number): number {
  return Math.round(value * 10 ** digits) / 10 ** digits;
}
