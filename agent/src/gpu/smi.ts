/**
 * The same readings from nvidia-smi, for machines where NVML cannot be opened. The tool takes a moment each time, so that
 * all GPUs are asked for at once, and seldom; a tool that fails is not asked again.
 */
import { spawnSync } from "node:child_process";
import { cleaned } from "../gpus/rows.ts";
import {
  type GpuProcess,
  type GpuTelemetry,
  NO_FACTS,
  type RemappedRows,
  type Telemetry,
} from "./telemetry.ts";
import { throttleReasons } from "./throttle.ts";

/** Columns by what they are used for. */
const FACTS = {
  busId: "pci.bus_id",
  uuid: "uuid",
  serial: "serial",
  driver: "driver_version",
  maxGeneration: "pcie.link.gen.max",
  maxWidth: "pcie.link.width.max",
  limit: "enforced.power.limit",
  defaultLimit: "power.default_limit",
  ecc: "ecc.mode.current",
  eccErrors: "ecc.errors.uncorrected.volatile.total",
  correctable: "remapped_rows.correctable",
  uncorrectable: "remapped_rows.uncorrectable",
  pending: "remapped_rows.pending",
  failed: "remapped_rows.failure",
  mig: "mig.mode.current",
  persistence: "persistence_mode",
  maxSm: "clocks.max.sm",
  maxMemory: "clocks.max.memory",
  utilization: "utilization.gpu",
  used: "memory.used",
} as const;
const SAMPLE = {
  busId: "pci.bus_id",
  watts: "power.draw",
  celsius: "temperature.gpu",
  sm: "clocks.sm",
  memory: "clocks.mem",
  generation: "pcie.link.gen.current",
  width: "pcie.link.width.current",
  throttle: "clocks_throttle_reasons.active",
} as const;
const PROCESSES = { uuid: "gpu_uuid", pid: "pid", used: "used_gpu_memory" } as const;

/** Without persistence mode the first question takes seconds. */
const FIRST_MS = 10_000;
const SAMPLE_MS = 3_000;
/** Samples are taken at most this often. */
const SAMPLE_GAP_MS = 3_000;
const MAX_BYTES = 256 * 1024;

type Row<Columns> = Record<keyof Columns, string | null>;

export interface SmiTools {
  command?: string;
  /** In ms. */
  now: () => number;
  /** For the first question. */
  boundMs?: number;
}

/** @throws with a reason for people when the tool is not there, or lists no GPU */
export function openSmi({ command = "nvidia-smi", now, boundMs = FIRST_MS }: SmiTools): Telemetry {
  const facts = query(command, "--query-gpu", FACTS, boundMs);
  if (facts.length === 0) throw new Error("nvidia-smi lists no GPU");
  const processes = queryProcesses(command);
  let samples: Row<typeof SAMPLE>[] | null = [];
  let asked = Number.NEGATIVE_INFINITY;
  const sampleOf = (address: string): Row<typeof SAMPLE> | null => {
    if (samples !== null && now() - asked >= SAMPLE_GAP_MS) {
      samples = attempt(() => query(command, "--query-gpu", SAMPLE, SAMPLE_MS));
      asked = now();
    }
    return samples?.find(({ busId }) => samePlace(busId, address)) ?? null;
  };
  return {
    driverVersion: facts[0]?.driver ?? null,
    gpu(busId) {
      const row = facts.find((one) => samePlace(one.busId, busId));
      return row === undefined ? null : telemetryOf(row, busId, processes, () => sampleOf(busId));
    },
  };
}

function telemetryOf(
  row: Row<typeof FACTS>,
  busId: string,
  processes: readonly (GpuProcess & { uuid: string | null })[] | null,
  sample: () => Row<typeof SAMPLE> | null,
): GpuTelemetry {
  const used = number(row.used);
  return {
    facts: () => ({
      // NVLink has no column.
      ...NO_FACTS,
      uuid: row.uuid,
      serial: row.serial,
      pci_address: busId,
      pcie_max_generation: positive(row.maxGeneration),
      pcie_max_width: positive(row.maxWidth),
      power_limit_watts: positive(row.limit),
      default_power_limit_watts: positive(row.defaultLimit),
      ecc: flag(row.ecc),
      uncorrected_ecc_errors: number(row.eccErrors),
      remapped_rows: remappedRows(row),
      mig: flag(row.mig),
      persistence: flag(row.persistence),
      max_sm_mhz: positive(row.maxSm),
      max_memory_mhz: positive(row.maxMemory),
    }),
    sample() {
      const now = sample();
      const mask = /^0x[0-9a-f]{1,16}$/i.test(now?.throttle ?? "")
        ? BigInt(now?.throttle ?? 0)
        : null;
      return {
        watts: positive(now?.watts),
        celsius: positive(now?.celsius),
        smMhz: positive(now?.sm),
        memoryMhz: positive(now?.memory),
        pcieGeneration: positive(now?.generation),
        pcieWidth: positive(now?.width),
        throttle: mask === null ? null : throttleReasons(mask),
      };
    },
    processes: () =>
      processes
        ?.filter(({ uuid }) => uuid === row.uuid)
        .map(({ pid, bytes }) => ({ pid, bytes })) ?? null,
    utilization: () => number(row.utilization),
    usedBytes: () => (used === null ? null : used * 2 ** 20),
    isLinkedTo: () => null,
  };
}

function remappedRows(row: Row<typeof FACTS>): RemappedRows | null {
  const [correctable, uncorrectable] = [number(row.correctable), number(row.uncorrectable)];
  const [pending, failed] = [flag(row.pending), flag(row.failed)];
  return correctable === null || uncorrectable === null || pending === null || failed === null
    ? null
    : { correctable, uncorrectable, pending, failed };
}

function queryProcesses(command: string): (GpuProcess & { uuid: string | null })[] | null {
  const rows = attempt(() => query(command, "--query-compute-apps", PROCESSES, SAMPLE_MS));
  return (
    rows?.flatMap(({ uuid, pid, used }) => {
      const [id, mib] = [number(pid), number(used)];
      return id === null ? [] : [{ uuid, pid: id, bytes: mib === null ? null : mib * 2 ** 20 }];
    }) ?? null
  );
}

/**
 * Rows of a question. A column that this version of the tool does not know is left out.
 *
 * @throws when the tool fails, or does not end in time
 */
function query<Columns extends Readonly<Record<string, string>>>(
  command: string,
  option: string,
  columns: Columns,
  timeout: number,
): Row<Columns>[] {
  let known = Object.entries(columns);
  for (;;) {
    const fields = known.map(([, field]) => field).join(",");
    const { stdout, error, status } = spawnSync(
      command,
      [`${option}=${fields}`, "--format=csv,noheader,nounits"],
      {
        timeout,
        killSignal: "SIGKILL",
        maxBuffer: MAX_BYTES,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    if (error !== undefined) throw error;
    const [, refused] = /Field "([^"]+)" is not a valid field/i.exec(stdout) ?? [];
    const rest = known.filter(([, field]) => field !== refused);
    if (status !== 0 && rest.length < known.length && rest.length > 0) {
      known = rest;
      continue;
    }
    if (status !== 0) throw new Error(`nvidia-smi failed with code ${status}`);
    return stdout.split("\n").flatMap((line) => {
      const cells = line.split(",").map(reading);
      // Other lines are messages.
      if (cells.length !== known.length) return [];
      const found = new Map(known.map(([name], i) => [name, cells[i] ?? null]));
      // `as`: a row has a cell or null for every column.
      return [
        Object.fromEntries(Object.keys(columns).map((name) => [name, found.get(name) ?? null])),
      ] as Row<Columns>[];
    });
  }
}

/** Null for what the tool writes in place of a reading: `[N/A]`, `[Not Supported]`, `[Unknown Error]`. */
function reading(cell: string): string | null {
  const text = cleaned(cell);
  return text === "" || /^\[.*\]$|^N\/A$/.test(text) ? null : text;
}

function number(text: string | null | undefined): number | null {
  return text != null && /^\d{1,12}(\.\d{1,6})?$/.test(text) ? Number(text) : null;
}

/** No GPU at work has 0 W, 0 degrees or 0 MHz. */
function positive(text: string | null | undefined): number | null {
  return number(text) || null;
}

function flag(text: string | null): boolean | null {
  if (text === null) return null;
  if (/^(enabled|yes)$/i.test(text)) return true;
  return /^(disabled|no)$/i.test(text) ? false : null;
}

/** The tool writes eight digits of the domain, the driver four. */
function samePlace(one: string | null, other: string): boolean {
  const short = (address: string): string =>
    address.toLowerCase().replace(/^0*([0-9a-f]{4}):/, "$1:");
  return one !== null && short(one) === short(other);
}

function attempt<Result>(ask: () => Result): Result | null {
  try {
    return ask();
  } catch {
    return null;
  }
}
