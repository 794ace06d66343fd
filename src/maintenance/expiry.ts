import type { CallCoordinator } from "../coordinator/client.ts";
import { causesOf } from "../db/errors.ts";
import { eachOf } from "../lib/each.ts";
import { claimSuspects, type Suspect, settleUnjoined } from "./expiry-store.ts";
import type { Tick } from "./tick.ts";

/** Jobs that D1 settles alone, in one statement; few enough for one never to last. */
const UNJOINED_AT_ONCE = 500;
const UNJOINED_BATCHES = 10;

/** Objects that a tick asks at most (design §3.5): half of the subrequests that an invocation may make. */
const MAX_OBJECTS = 500;
/** Claimed at once: what is claimed and not asked, because the time is over, waits for its next turn. */
const OBJECTS_AT_ONCE = 100;
/** Side by side: some may hang, and none holds up the others. */
const CONCURRENCY = 20;

export interface Expired {
  /** Settled in D1 alone. */
  settled: number;
  /** Objects that were asked, and those that did not answer. */
  asked: number;
  failed: number;
  /** Objects of whose news D1 had not heard. */
  late: number;
}

/** Settles expired jobs that nobody has joined. At most 10 round trips. */
export async function settleExpired({ db, clock, goOn }: Tick): Promise<Pick<Expired, "settled">> {
  let settled = 0;
  for (let batch = 0; batch < UNJOINED_BATCHES && goOn(); batch++) {
    const done = await settleUnjoined(db, clock.now(), UNJOINED_AT_ONCE);
    settled += done.settled;
    if (Math.max(done.settled, done.passed) < UNJOINED_AT_ONCE) break;
  }
  return { settled };
}

/**
 * Asks objects whose jobs have expired, or of which D1 has not heard for a while, to do what is due and to
 * tell D1 what it does not know. At most 5 round trips and 500 hops; what is left comes with the next tick.
 */
export async function askObjects(tick: Tick): Promise<Omit<Expired, "settled">> {
  const { db, clock, callCoordinator, goOn } = tick;
  const sum = { asked: 0, failed: 0, late: 0 };
  const ask = async (suspect: Suspect) => {
    sum.asked++;
    try {
      if (await isLate(callCoordinator, tick, suspect)) sum.late++;
    } catch (error) {
      sum.failed++;
      const causes = causesOf(error);
      console.warn(JSON.stringify({ level: "warn", job: suspect.id, reconcile: causes }));
    }
  };
  while (sum.asked < MAX_OBJECTS && goOn()) {
    const suspects = await claimSuspects(db, clock.now(), OBJECTS_AT_ONCE);
    await eachOf(suspects, CONCURRENCY, ask, goOn);
    if (suspects.length < OBJECTS_AT_ONCE) break;
  }
  return sum;
}

/** Whether the object had news that D1 lacked; it tells them now. */
async function isLate(
  callCoordinator: CallCoordinator,
  { meter, clock }: Tick,
  { id: jobId, version, flushedAt }: Suspect,
): Promise<boolean> {
  const reply = await callCoordinator({ jobId, meter }, (coordinator) =>
    coordinator.reconcile(jobId, version),
  );
  if (!reply.ok) throw new Error(`coordinator says ${reply.reason}`);
  if (!reply.wasBehind) return false;
  const late = { metric: "projection_late_ms", value: clock.now() - flushedAt, job: jobId };
  console.warn(JSON.stringify({ level: "warn", ...late, version, object_version: reply.version }));
  return true;
}
