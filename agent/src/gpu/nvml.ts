/** NVML, `libnvidia-ml.so.1`. Constants and structures are those of nvml.h. */
import { cleaned } from "../gpus/rows.ts";
import type { CFunction, CValue, Ffi, Signature } from "./ffi.ts";
import type { GpuFacts, GpuProcess, GpuTelemetry, Sample, Telemetry } from "./telemetry.ts";
import { throttleReasons } from "./throttle.ts";

const OF_DEVICE: Signature = ["i32", "ptr", "ptr"];
const OF_INDEX: Signature = ["i32", "ptr", "u32", "ptr"];

const SIGNATURES = {
  nvmlInit_v2: ["i32"],
  nvmlErrorString: ["ptr", "i32"],
  nvmlSystemGetDriverVersion: ["i32", "ptr", "u32"],
  nvmlDeviceGetHandleByPciBusId_v2: OF_DEVICE,
  nvmlDeviceGetUUID: ["i32", "ptr", "ptr", "u32"],
  nvmlDeviceGetSerial: ["i32", "ptr", "ptr", "u32"],
  nvmlDeviceGetPowerUsage: OF_DEVICE,
  nvmlDeviceGetEnforcedPowerLimit: OF_DEVICE,
  nvmlDeviceGetPowerManagementDefaultLimit: OF_DEVICE,
  nvmlDeviceGetTemperature: OF_INDEX,
  nvmlDeviceGetClockInfo: OF_INDEX,
  nvmlDeviceGetMaxClockInfo: OF_INDEX,
  nvmlDeviceGetCurrentClocksThrottleReasons: OF_DEVICE,
  nvmlDeviceGetCurrPcieLinkGeneration: OF_DEVICE,
  nvmlDeviceGetMaxPcieLinkGeneration: OF_DEVICE,
  nvmlDeviceGetCurrPcieLinkWidth: OF_DEVICE,
  nvmlDeviceGetMaxPcieLinkWidth: OF_DEVICE,
  nvmlDeviceGetEccMode: ["i32", "ptr", "ptr", "ptr"],
  nvmlDeviceGetTotalEccErrors: ["i32", "ptr", "u32", "u32", "ptr"],
  nvmlDeviceGetRemappedRows: ["i32", "ptr", "ptr", "ptr", "ptr", "ptr"],
  nvmlDeviceGetMigMode: ["i32", "ptr", "ptr", "ptr"],
  nvmlDeviceGetPersistenceMode: OF_DEVICE,
  nvmlDeviceGetComputeRunningProcesses_v3: ["i32", "ptr", "ptr", "ptr"],
  nvmlDeviceGetComputeRunningProcesses_v2: ["i32", "ptr", "ptr", "ptr"],
  nvmlDeviceGetUtilizationRates: OF_DEVICE,
  nvmlDeviceGetMemoryInfo: OF_DEVICE,
  nvmlDeviceGetNvLinkState: OF_INDEX,
  nvmlDeviceGetNvLinkVersion: OF_INDEX,
  nvmlDeviceGetP2PStatus: ["i32", "ptr", "ptr", "u32", "ptr"],
} as const satisfies Record<string, Signature>;

type Name = keyof typeof SIGNATURES;

const CLOCK_SM = 1;
const CLOCK_MEMORY = 2;
const UNCORRECTED = 1;
/** Since the driver was loaded. */
const VOLATILE = 0;
const P2P_NVLINK = 2;
const P2P_OK = 0;
const PROCESS_BYTES = 24;
/** The second is for a GPU with more processes than the first. */
const PROCESS_COUNTS = [256, 8_192] as const;
/** More than any GPU has; the count ends at the first one that the library refuses. */
const MAX_LINKS = 64;
/** The library's own word for no value, in 32 and 64 bits. */
const NOT_AVAILABLE_32 = 0xffff_ffff;
const NOT_AVAILABLE = 0xffff_ffff_ffff_ffffn;
const INSUFFICIENT_SIZE = 7;

/** @throws with a reason for people when there is no NVML, or it does not start */
export function openNvml(ffi: Ffi, file = "libnvidia-ml.so.1"): Telemetry {
  const library: Library = ffi.open(file, SIGNATURES);
  const code = Number(library.nvmlInit_v2?.() ?? -1);
  if (code !== 0) {
    const text = library.nvmlErrorString?.(code);
    throw new Error(`NVML does not start: ${typeof text === "bigint" ? ffi.text(text) : code}`);
  }
  const readers = readersOf(library);
  return {
    driverVersion: readers.text("nvmlSystemGetDriverVersion", 80),
    gpu(busId) {
      const handle = readers.handle(busId);
      return handle === null ? null : gpuTelemetry(library, readers, handle, busId);
    },
  };
}

type Library = Record<Name, CFunction | null>;
type Readers = ReturnType<typeof readersOf>;

/** Calls that answer null for what the library, the card or the container does not tell. */
function readersOf(library: Library) {
  const out = Buffer.alloc(24);
  const ok = (name: Name, ...args: CValue[]): boolean => library[name]?.(...args) === 0;
  return {
    ok,
    u32(name: Name, ...args: CValue[]): number | null {
      const value = ok(name, ...args, out) ? out.readUInt32LE() : NOT_AVAILABLE_32;
      return value === NOT_AVAILABLE_32 ? null : value;
    },
    u64(name: Name, ...args: CValue[]): bigint | null {
      const value = ok(name, ...args, out) ? out.readBigUInt64LE() : NOT_AVAILABLE;
      return value === NOT_AVAILABLE ? null : value;
    },
    text(name: Name, length: number, ...args: CValue[]): string | null {
      // One byte more than the library may write, so that there is a zero after it.
      const bytes = Buffer.alloc(length + 1);
      if (!ok(name, ...args, bytes, length)) return null;
      return cleaned(bytes.toString("utf8", 0, bytes.indexOf(0))) || null;
    },
    handle: (busId: string): bigint | null =>
      ok("nvmlDeviceGetHandleByPciBusId_v2", Buffer.from(`${busId}\0`), out)
        ? out.readBigUInt64LE()
        : null,
  };
}

function gpuTelemetry(
  library: Library,
  readers: Readers,
  handle: bigint,
  busId: string,
): GpuTelemetry {
  const { ok, u32, u64 } = readers;
  return {
    facts: () => readFacts(readers, handle, busId),
    sample: (): Sample => {
      const mask = u64("nvmlDeviceGetCurrentClocksThrottleReasons", handle);
      return {
        watts: positive(thousandth(u32("nvmlDeviceGetPowerUsage", handle))),
        celsius: positive(u32("nvmlDeviceGetTemperature", handle, 0)),
        smMhz: positive(u32("nvmlDeviceGetClockInfo", handle, CLOCK_SM)),
        memoryMhz: positive(u32("nvmlDeviceGetClockInfo", handle, CLOCK_MEMORY)),
        pcieGeneration: positive(u32("nvmlDeviceGetCurrPcieLinkGeneration", handle)),
        pcieWidth: positive(u32("nvmlDeviceGetCurrPcieLinkWidth", handle)),
        throttle: mask === null ? null : throttleReasons(mask),
      };
    },
    processes: () => readProcesses(library, handle),
    utilization: () => u32("nvmlDeviceGetUtilizationRates", handle),
    usedBytes() {
      const memory = Buffer.alloc(24);
      const isRead = ok("nvmlDeviceGetMemoryInfo", handle, memory);
      const used = isRead ? memory.readBigUInt64LE(16) : NOT_AVAILABLE;
      return used === NOT_AVAILABLE ? null : Number(used);
    },
    isLinkedTo(other) {
      const peer = readers.handle(other);
      if (peer === null) return null;
      const status = u32("nvmlDeviceGetP2PStatus", handle, peer, P2P_NVLINK);
      return status === null ? null : status === P2P_OK;
    },
  };
}

function readFacts({ ok, u32, u64, text }: Readers, handle: bigint, busId: string): GpuFacts {
  const [current, pending] = [Buffer.alloc(4), Buffer.alloc(4)];
  const flag = (name: Name): boolean | null =>
    ok(name, handle, current, pending) ? toFlag(current.readUInt32LE()) : null;
  const errors = u64("nvmlDeviceGetTotalEccErrors", handle, UNCORRECTED, VOLATILE);
  const rows = Buffer.alloc(16);
  const hasRows = ok(
    "nvmlDeviceGetRemappedRows",
    handle,
    ...[0, 4, 8, 12].map((at) => rows.subarray(at, at + 4)),
  );
  return {
    uuid: text("nvmlDeviceGetUUID", 96, handle),
    serial: text("nvmlDeviceGetSerial", 64, handle),
    pci_address: busId,
    pcie_max_generation: positive(u32("nvmlDeviceGetMaxPcieLinkGeneration", handle)),
    pcie_max_width: positive(u32("nvmlDeviceGetMaxPcieLinkWidth", handle)),
    power_limit_watts: positive(thousandth(u32("nvmlDeviceGetEnforcedPowerLimit", handle))),
    default_power_limit_watts: positive(
      thousandth(u32("nvmlDeviceGetPowerManagementDefaultLimit", handle)),
    ),
    ecc: flag("nvmlDeviceGetEccMode"),
    uncorrected_ecc_errors: errors === null ? null : Number(errors),
    remapped_rows: hasRows
      ? {
          correctable: rows.readUInt32LE(0),
          uncorrectable: rows.readUInt32LE(4),
          pending: rows.readUInt32LE(8) !== 0,
          failed: rows.readUInt32LE(12) !== 0,
        }
      : null,
    mig: flag("nvmlDeviceGetMigMode"),
    persistence: toFlag(u32("nvmlDeviceGetPersistenceMode", handle)),
    ...readLinks(u32, handle),
    max_sm_mhz: positive(u32("nvmlDeviceGetMaxClockInfo", handle, CLOCK_SM)),
    max_memory_mhz: positive(u32("nvmlDeviceGetMaxClockInfo", handle, CLOCK_MEMORY)),
  };
}

/** Active links and their version; null where the card does not tell of links. */
function readLinks(
  u32: Readers["u32"],
  handle: bigint,
): { nvlink_links: number | null; nvlink_version: number | null } {
  let links: number | null = null;
  let version: number | null = null;
  for (let link = 0; link < MAX_LINKS; link++) {
    const state = u32("nvmlDeviceGetNvLinkState", handle, link);
    if (state === null) break;
    links = (links ?? 0) + (state === 1 ? 1 : 0);
    if (state === 1) version ??= u32("nvmlDeviceGetNvLinkVersion", handle, link);
  }
  return { nvlink_links: links, nvlink_version: version };
}

function readProcesses(library: Library, handle: bigint): GpuProcess[] | null {
  const list =
    library.nvmlDeviceGetComputeRunningProcesses_v3 ??
    library.nvmlDeviceGetComputeRunningProcesses_v2;
  for (const most of PROCESS_COUNTS) {
    const count = Buffer.alloc(4);
    count.writeUInt32LE(most);
    const infos = Buffer.alloc(PROCESS_BYTES * most);
    const code = list?.(handle, count, infos);
    if (code === INSUFFICIENT_SIZE) continue;
    if (code !== 0) return null;
    return Array.from({ length: Math.min(count.readUInt32LE(), most) }, (_, i) => {
      const bytes = infos.readBigUInt64LE(PROCESS_BYTES * i + 8);
      return {
        pid: infos.readUInt32LE(PROCESS_BYTES * i),
        bytes: bytes === NOT_AVAILABLE ? null : Number(bytes),
      };
    });
  }
  return null;
}

function toFlag(value: number | null): boolean | null {
  return value === 0 ? false : value === 1 ? true : null;
}

/** No GPU at work has 0 W, 0 degrees or 0 MHz: the sensor does not tell. */
function positive(value: number | null): number | null {
  return value === 0 ? null : value;
}

function thousandth(value: number | null): number | null {
  return value === null ? null : value / 1_000;
}
