import { arch, cpus, machine, platform, release, totalmem } from "node:os";
import { readText } from "./files.ts";
import { factsOf, type GpuFacts, surveyLine } from "./gpus/facts.ts";
import { type GpuSurvey, surveyGpus } from "./gpus/survey.ts";
import { type HostFacts, readHost, thisHost } from "./host/facts.ts";
import type { Log } from "./log.ts";
import type { Replay } from "./replay.ts";
import { readSystem } from "./system.ts";

/** The facts about a node that it sends when it joins. */
export interface MachineFacts extends Omit<GpuFacts, "inventory"> {
  inventory: Record<string, unknown>;
}

/** The kernel's id of this boot, another one after each restart; null where the system has none. */
export function readBootId(file = "/proc/sys/kernel/random/boot_id"): string | null {
  const id = readText(file)?.trim().toLowerCase() ?? "";
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id) ? id : null;
}

/** Those of the recording if there is one, else of this machine as it is now. Rejects only when `signal` aborts. */
export async function readFacts(
  replay: Replay | null,
  diskPath: string,
  log: Log,
  signal: AbortSignal,
): Promise<MachineFacts> {
  if (replay !== null) {
    const { gpuModel, gpuCount } = replay;
    const gpuModels = [{ model: gpuModel, count: gpuCount }];
    return { gpuModel, gpuCount, gpuModels, inventory: { ...replay.inventory, replayed: true } };
  }
  const survey = await surveyGpus(signal);
  log(surveyLine(survey));
  return describeMachine(survey, readHost(thisHost(diskPath)));
}

/** Facts of this machine, in the shape of the inventories that existing agents send. */
export function describeMachine(
  survey: GpuSurvey,
  host: HostFacts,
  system = readSystem(),
): MachineFacts {
  const processors = cpus();
  const { inventory, ...gpus } = factsOf(survey);
  return {
    ...gpus,
    inventory: {
      cpu: {
        arch: machine() || arch(),
        count: processors.length,
        os: readOs(),
        processor: processors[0]?.model ?? "unknown",
        ...host.cpu,
      },
      memory: { total_gb: Math.round(totalmem() / 2 ** 30), ...host.memory },
      disk: host.disk,
      kernel: host.kernel,
      host_name: host.host_name,
      container: host.container,
      virtual_machine: host.virtual_machine,
      ...inventory,
      ...(Object.keys(system).length === 0 ? {} : { system }),
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
