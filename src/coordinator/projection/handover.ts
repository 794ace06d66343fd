/**
 * The handover of a job from D1 to its object at the first contact (docs/architecture.md, "Who owns which fact"). Loads
 * with the first of them.
 */
import { randomBytes } from "node:crypto";
import { isClusterStep, isMeasuringStep, resultKeys } from "../../benchmarks/sequence.ts";
import { createMeter, openDatabase } from "../../db/client.ts";
import { isAnonymous } from "../../identity/anonymous.ts";
import { MINUTE_MS } from "../../lib/clock.ts";
import { settledEvent } from "../life/advance.ts";
import { type Job, type Live, newJob } from "../life/model.ts";
import { findVersion, handOverRow, type JobRow } from "./store.ts";

/** A node of a job made for runners waits at a barrier for this long without news of any other node. */
export const BARRIER_LIMIT_MS = 10 * MINUTE_MS;

/** Takes a job over from D1; null if D1 has no such job. One round trip. */
export async function takeOver(d1: D1Database, jobId: number, now: number): Promise<Live | null> {
  const handover = await handOverRow(openDatabase(d1, createMeter()), jobId, now);
  return handover === null ? null : toLive(handover, now);
}

/** The job's version in D1; null if the job is no longer there. One round trip. */
export function versionInD1(d1: D1Database, jobId: number): Promise<number | null> {
  return findVersion(openDatabase(d1, createMeter()), jobId);
}

type Handover = NonNullable<Awaited<ReturnType<typeof handOverRow>>>;

/**
 * A job as the object starts with it.
 *
 * - Handed over now (`isOwned`): new.
 * - Ended or deleted in D1: as it ended, so that late callers cost no further read of D1.
 * - Handed over before, and live by its row: D1 was restored from a backup after this object had deleted its
 *   storage. The job is aborted.
 */
function toLive({ row, spec, isOwned }: Handover, now: number): Live {
  const { sequence } = row;
  const keys = resultKeys(sequence);
  const fresh = newJob({
    nodeCount: row.nodeCount,
    plan: sequence.map((step, at) => ({
      key: keys[at] ?? "",
      cluster: isClusterStep(step),
      ...(isMeasuringStep(step) ? { measures: true } : {}),
    })),
    expiresAt: row.expiresAt,
    // A standing machine that waits for ever would be lost to all other jobs of its spec.
    ...(row.specUuid === null ? {} : { barrierLimitMs: BARRIER_LIMIT_MS }),
  });
  const isLost = !isOwned && row.endedAt === null && row.deletedAt === null;
  return {
    identity: {
      jobId: row.id,
      name: row.name,
      sequence,
      isForRunners: row.specUuid !== null,
      ...(spec === null ? {} : { expectedSpec: spec }),
      isAnonymous: isAnonymous(row),
      peerKey: randomBytes(32).toString("hex"),
    },
    job: { ...fresh, ...(isOwned ? {} : endOf(row, now)), version: row.version + (isLost ? 1 : 0) },
    flushedVersion: row.version,
    hearingSince: 0,
  };
}

/** The end of a job by its row, or now if the row has no end. */
function endOf(row: JobRow, now: number): Pick<Job, "state" | "endedAt" | "events"> {
  const { events } = row;
  const endedAt = row.endedAt ?? row.deletedAt;
  if (endedAt === null) {
    const settled = [...events, settledEvent("aborted", now)];
    return { state: "aborted", endedAt: now, events: settled };
  }
  const state = row.deletedAt === null ? row.state : "aborted";
  return { state, endedAt, events };
}
