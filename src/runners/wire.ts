import { toTimestamp } from "../lib/clock.ts";
import type { RunnerWire } from "./schemas.ts";
import type { RunnerRow } from "./store.ts";

/** @param timeoutMs a runner out of contact for so long is offline */
export function stateOf(row: RunnerRow, now: number, timeoutMs: number): RunnerWire["state"] {
  if (row.isAtWork) return "busy";
  const { lastHeartbeatAt } = row;
  return lastHeartbeatAt !== null && now - lastHeartbeatAt < timeoutMs ? "online" : "offline";
}

export function toRunner(row: RunnerRow, state: RunnerWire["state"]): RunnerWire {
  return {
    uuid: row.uuid,
    name: row.name,
    slug: row.slug,
    specs: JSON.parse(row.specs), // made by the database with json_group_array
    state,
    last_heartbeat: toTimestamp(row.lastHeartbeatAt),
    created: toTimestamp(row.createdAt),
    modified: toTimestamp(row.modifiedAt),
    archived: toTimestamp(row.archivedAt),
  };
}
