import { toTimestamp } from "../lib/clock.ts";
import type { RunnerState } from "../lib/enums.ts";
import type { RunnerWire } from "./schemas.ts";
import type { RunnerRow } from "./store.ts";

/** @param timeoutMs a runner out of contact for this long is offline */
export function stateOf(row: RunnerRow, now: number, timeoutMs: number): RunnerState {
  if (row.isAtWork) return "busy";
  const { lastHeartbeatAt } = row;
  return lastHeartbeatAt !== null && now - lastHeartbeatAt < timeoutMs ? "online" : "offline";
}

export function toRunner(row: RunnerRow, state: RunnerState): RunnerWire {
  return {
    uuid: row.uuid,
    name: row.name,
    slug: row.slug,
    specs: row.specs,
    spec_checks: row.checks.map(([spec, status, taskId]) => ({
      spec,
      status,
      task_id: String(taskId),
    })),
    state,
    last_heartbeat: toTimestamp(row.lastHeartbeatAt),
    created: toTimestamp(row.createdAt),
    modified: toTimestamp(row.modifiedAt),
    archived: toTimestamp(row.archivedAt),
  };
}
