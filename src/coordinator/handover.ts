import { randomBytes } from "node:crypto";
import { isClusterStep, resultKeys, type SequenceStep } from "../benchmarks/sequence.ts";
import { type Job, newJob } from "./model.ts";
import type { Live } from "./storage.ts";
import type { JobRow } from "./store.ts";

/**
 * A job as D1 hands it over. One that ended there (`owned` is false) is kept as it ended, so that late
 * callers cost no further D1 read.
 */
export function toLive(row: JobRow, owned: boolean): Live {
  // Written by the jobs service with JSON.stringify.
  const sequence: SequenceStep[] = JSON.parse(row.sequence);
  const keys = resultKeys(sequence);
  const fresh = newJob({
    nodeCount: row.nodeCount,
    plan: sequence.map((step, at) => ({ key: keys[at] ?? "", cluster: isClusterStep(step) })),
    expiresAt: row.expiresAt,
  });
  return {
    identity: {
      jobId: row.id,
      name: row.name,
      sequence,
      peerKey: randomBytes(32).toString("hex"),
    },
    job: { ...fresh, ...(owned ? {} : endOf(row)), version: row.version },
    flushedVersion: row.version,
  };
}

/** How a job ended that D1 settled or deleted before any node came. */
function endOf(row: JobRow): Pick<Job, "state" | "endedAt" | "events"> {
  const state = row.deletedAt === null ? (row.state as Job["state"]) : "aborted"; // written from Job["state"]
  const endedAt = row.endedAt ?? row.deletedAt ?? row.expiresAt;
  return { state, endedAt, events: JSON.parse(row.events) };
}
