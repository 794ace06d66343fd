import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import {
  arch,
  cpus,
  homedir,
  machine,
  networkInterfaces,
  platform,
  release,
  totalmem,
} from "node:os";
import { dirname, join } from "node:path";

const NVIDIA_SMI_TIMEOUT_MS = 5_000;

/** What a node tells about itself when it joins. */
export interface MachineFacts {
  gpuModel: string | null;
  gpuCount: number | null;
  inventory: Record<string, unknown>;
}

export interface Gpu {
  model: string;
  driverVersion: string | null;
  memoryGb: number | null;
}

/**
 * The identity that brings a restarted agent back to its task: `/etc/machine-id` in UUID shape, or,
 * where there is none (containers, other systems), a random one kept in the user's state folder.
 *
 * @throws when there is no machine id and the state folder cannot be written
 */
export function readMachineUuid(
  env: Record<string, string | undefined>,
  machineIdFile = "/etc/machine-id",
): string {
  const machineId = readText(machineIdFile)?.trim() ?? "";
  if (/^[0-9a-fA-F]{32}$/.test(machineId)) {
    return machineId.toLowerCase().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }
  const file = join(env.XDG_STATE_HOME || join(homedir(), ".local/state"), "assay/machine-uuid");
  mkdirSync(dirname(file), { recursive: true });
  try {
    // wx: of two agents starting at once the first one's choice holds for both.
    writeFileSync(file, `${randomUUID()}\n`, { flag: "wx", mode: 0o600 });
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "EEXIST")) throw error;
  }
  const kept = readFileSync(file, "utf8").trim().toLowerCase();
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(kept)) {
    throw new Error(`${file} does not hold a UUID; remove it or pass --machine-uuid`);
  }
  return kept;
}

/** First IPv4 address that other machines may know, or null. */
export function readMachineIp(interfaces = networkInterfaces()): string | null {
  const addresses = Object.values(interfaces).flatMap((list) => list ?? []);
  return addresses.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? null;
}

/** GPUs as nvidia-smi lists them; empty where there is none or it does not answer in time. */
export function listGpus(signal: AbortSignal): Promise<Gpu[]> {
  const args = ["--query-gpu=name,driver_version,memory.total", "--format=csv,noheader,nounits"];
  return new Promise((resolve) => {
    execFile(
      "nvidia-smi",
      args,
      { timeout: NVIDIA_SMI_TIMEOUT_MS, killSignal: "SIGKILL", signal },
      (error, stdout) => resolve(error === null ? parseGpus(stdout) : []),
    );
  });
}

/** Parses lines `name, driver version, memory in MiB`; the last two may be missing or `[N/A]`. */
export function parseGpus(csv: string): Gpu[] {
  return csv
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [model = "", driver = "", memoryMib = ""] = line
        .split(",")
        .map((field) => field.trim());
      const mib = Number.parseFloat(memoryMib);
      return {
        model,
        driverVersion: /^\d/.test(driver) ? driver : null,
        memoryGb: Number.isNaN(mib) ? null : Math.round(mib / 1024),
      };
    });
}

/** Facts of this machine, in the shape of the inventories that existing agents send. */
export function describeMachine(gpus: Gpu[], ip: string | null): MachineFacts {
  const [first] = gpus;
  const processors = cpus();
  const gpu = first && {
    count: gpus.length,
    model: first.model,
    vendor: "NVIDIA",
    memory_gb: first.memoryGb,
    driver_version: first.driverVersion,
  };
  return {
    gpuModel: first?.model ?? null,
    gpuCount: first === undefined ? null : gpus.length,
    inventory: {
      cpu: {
        arch: machine() || arch(),
        count: processors.length,
        os: readOs(),
        processor: processors[0]?.model ?? "unknown",
      },
      memory: { total_gb: Math.round(totalmem() / 2 ** 30) },
      gpu: gpu ?? { count: 0 },
      ...(ip === null ? {} : { network: { machine_ip: ip } }),
    },
  };
}

/** Such as "ubuntu 22.04", or the kernel's name and release where there is no os-release file. */
function readOs(): string {
  const text = readText("/etc/os-release") ?? "";
  const field = (name: string): string =>
    new RegExp(`^${name}="?([^"\\n]*)"?$`, "m").exec(text)?.[1] ?? "";
  return `${field("ID")} ${field("VERSION_ID")}`.trim() || `${platform()} ${release()}`;
}

function readText(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}
