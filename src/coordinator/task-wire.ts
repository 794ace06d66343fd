import { toTimestamp } from "../lib/clock.ts";
import type { TaskRecord } from "./records.ts";

/** A task as both its node and its owner see it, without results; the report's link is the owner's. */
export interface TaskWire {
  id: string;
  job_id: string;
  rank: number;
  machine_uuid: string;
  machine_ip: string | null;
  state: TaskRecord["state"];
  failed_message: string | null;
  progress: number;
  message: string | null;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  gpu_model: string | null;
  gpu_count: number | null;
  pdf_report_url: string | null;
}

export function toTaskWire(task: TaskRecord, reportUrl: string | null): TaskWire {
  return {
    id: String(task.id),
    job_id: String(task.jobId),
    rank: task.rank,
    machine_uuid: task.machineUuid,
    machine_ip: task.machineIp,
    state: task.state,
    failed_message: task.failedMessage,
    progress: task.progress,
    message: task.message,
    created_at: toTimestamp(task.createdAt),
    started_at: toTimestamp(task.startedAt),
    ended_at: toTimestamp(task.endedAt),
    gpu_model: task.gpuModel,
    gpu_count: task.gpuCount,
    pdf_report_url: reportUrl,
  };
}
