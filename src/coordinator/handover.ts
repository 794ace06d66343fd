import { randomBytes } from "node:crypto";
import { isClusterStep, resultKeys, type SequenceStep } from "../benchmarks/sequence.ts";
import { settledEvent } from "./advance.ts";
import { type Job, type JobEvent, newJob } from "./model.ts";
import type { Live } from "./storage.ts";
import type { JobRow } from "./store.ts";

/**
 * A job as D1 hands it over. One that ended there (`owned` is false) is kept as it ended, so that late
 * callers cost no further D1 read. One that D1 takes for live, and whose object is this one, which knows
 * nothing of it, has come from a backup that is older than the object's end: it is aborted.
 */
export function toLive(row: JobRow, owned: boolean, now: number): Live {
  // Written by the jobs service with JSON.stringify.
  const sequence: SequenceStep[] = JSON.parse(row.sequence);
  const keys = resultKeys(sequence);
  const fresh = newJob({
    nodeCount: row.nodeCount,
    plan: sequence.map((step, at) => ({ key: keys[at] ?? "", cluster: isClusterStep(step) })),
    expiresAt: row.expiresAt,
  });
  const isLost = !owned && row.endedAt === null && row.deletedAt === null;
  return {
    identity: {
      jobId: row.id,
      name: row.name,
      sequence,
      peerKey: randomBytes(32).toString("hex"),
    },
    job: { ...fresh, ...(owned ? {} : endOf(row, now)), version: row.version + (isLost ? 1 : 0) },
    flushedVersion: row.version,
    hearingSince: 0,
  };
}

/** How a job ended that D1 settled or deleted, or of which it does not know that it has ended. */
function endOf(row: JobRow, now: number): Pick<Job, "state" | "endedAt" | "events"> {
  const events: JobEvent[] = JSON.parse(row.events);
  const endedAt = row.endedAt ?? row.deletedAt;
  if (endedAt === null) {
    const settled = [...events, settledEvent("aborted", now)];
    return { state: "aborted", endedAt: now, events: settled };
  }
  const state = row.deletedAt === null ? (row.state as Job["state"]) : "aborted"; // written from Job["state"]
  return { state, endedAt, events };
}
