import { benchmarkIds } from "../benchmarks/sequence.ts";
import type { JobRecord } from "../coordinator/projection/records.ts";
import { toTimestamp } from "../lib/clock.ts";
import type { NewJobRow } from "./creation-store.ts";
import type { CreatedJobWire } from "./schemas.ts";
import type { JobRow } from "./store.ts";

/** A line for the shell of a machine that joins. */
export function joinCommandOf(site: string, token: string): string {
  return `curl -fsSL ${site}/agent | sh -s -- --host ${site} --token ${token}`;
}

/** Whether machines are missing that can join by that line. */
export function isJoinable({ row, job }: { row: JobRow; job: JobRecord }): boolean {
  return row.specUuid === null && job.endedAt === null && job.currentNodes < row.nodeCount;
}

/** @param joinSite origin from which machines join with the token; null where they cannot */
export function toCreatedJob(
  row: NewJobRow,
  token: string,
  joinSite: string | null,
): CreatedJobWire {
  return {
    id: String(row.id),
    name: row.name,
    description: row.description ?? null,
    node_count: row.nodeCount,
    benchmarks: benchmarkIds(row.sequence),
    tags: row.tags,
    token,
    join_command: joinSite && joinCommandOf(joinSite, token),
    created_at: toTimestamp(row.createdAt),
    expires_at: toTimestamp(row.expiresAt),
  };
}
