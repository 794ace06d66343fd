import { toTimestamp } from "../lib/clock.ts";
import type { MachineWire } from "./schemas.ts";
import type { MachineRow } from "./store.ts";

export function toMachineWire(row: MachineRow): MachineWire {
  return {
    machine_uuid: row.machineUuid,
    host_name: row.hostName,
    gpu_models: toGpuModels(row.gpuModels),
    provider: row.provider,
    region: row.region,
    jobs: row.jobs,
    last_job_id: String(row.lastJobId),
    last_seen_at: toTimestamp(row.lastSeenAt),
    status: row.status,
    replayed: row.isReplayed,
    findings: row.findingCount,
    spec_check: row.specCheck,
  };
}

/** A machine that named its model may not have stated how many there are. */
export function toGpuModels(
  groups: readonly { model: string; count: number | null }[] | null,
): MachineWire["gpu_models"] {
  return (groups ?? []).map(({ model, count }) => ({ model, count: count ?? null }));
}
