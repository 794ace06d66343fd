import { toTimestamp } from "../lib/clock.ts";
import type { RunnerState } from "../lib/enums.ts";
import { RENEW_MS } from "../lobbies/protocol.ts";
import type { RunnerWire } from "./schemas.ts";
import type { RunnerRow } from "./store.ts";

/** @param timeoutMs a runner out of contact for this long is offline */
export function stateOf(row: RunnerRow, now: number, timeoutMs: number): RunnerState {
  if (row.isAtWork) return "busy";
  const { lastHeartbeatAt, waitedAt } = row;
  const hasAsked = lastHeartbeatAt !== null && now - lastHeartbeatAt < timeoutMs;
  const waits = waitedAt !== null && now - waitedAt < RENEW_MS + timeoutMs;
  return hasAsked || waits ? "online" : "offline";
}

/** Time of the latest contact that D1 knows of, ms. */
export function contactOf({ lastHeartbeatAt, waitedAt }: RunnerRow): number | null {
  return waitedAt === null ? lastHeartbeatAt : Math.max(lastHeartbeatAt ?? 0, waitedAt);
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
    last_heartbeat: toTimestamp(contactOf(row)),
    created: toTimestamp(row.createdAt),
    modified: toTimestamp(row.modifiedAt),
    archived: toTimestamp(row.archivedAt),
  };
}
