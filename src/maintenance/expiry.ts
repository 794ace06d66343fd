import { causesOf } from "../db/errors.ts";
import { eachOf } from "../lib/each.ts";
import { logEvent } from "../lib/log.ts";
import { type Suspect, settleUnjoined, takeSuspects } from "./expiry-store.ts";
import type { StepContext } from "./step.ts";

/** Jobs that one statement settles in D1 alone; few enough for it to be quick. */
const UNJOINED_AT_ONCE = 500;
const UNJOINED_BATCHES = 10;

/** Objects that one tick asks at most: half of the subrequests that an invocation may make. */
const MAX_OBJECTS = 500;
/** Taken together; an object that is not asked before the time is over waits for its next turn. */
const OBJECTS_AT_ONCE = 100;
/** Objects asked at the same time, so that one that hangs does not hold up the others. */
const CONCURRENCY = 20;

/** Settles expired jobs that no machine has joined, in D1 alone. At most 10 round trips. */
export async function settleExpired({
  db,
  clock,
  goOn,
}: StepContext): Promise<{ settled: number }> {
  let settled = 0;
  for (let batch = 0; batch < UNJOINED_BATCHES && goOn(); batch++) {
    const done = await settleUnjoined(db, clock.now(), UNJOINED_AT_ONCE);
    settled += done.settled;
    if (Math.max(done.settled, done.passed) < UNJOINED_AT_ONCE) break;
  }
  return { settled };
}

/** Numbers of objects, for the log. */
export interface ObjectCounts {
  asked: number;
  /** Did not answer. */
  failed: number;
  /** Had changes that D1 lacked. */
  late: number;
}

/**
 * Asks the objects of expired jobs, and of jobs whose D1 row is old, to do what is due and to bring D1 up
 * to date. At most 5 round trips and 500 hops; the next tick goes on.
 */
export async function askObjects(context: StepContext): Promise<ObjectCounts> {
  const { db, clock, goOn } = context;
  let requests = 0;
  let failed = 0;
  let late = 0;
  const ask = async (suspect: Suspect) => {
    requests++;
    try {
      if (await reconcile(context, suspect)) late++;
    } catch (error) {
      failed++;
      logEvent("warn", "reconcile_failed", { job: suspect.id, causes: causesOf(error) });
    }
  };
  while (requests < MAX_OBJECTS && goOn()) {
    const suspects = await takeSuspects(db, clock.now(), OBJECTS_AT_ONCE);
    await eachOf(suspects, CONCURRENCY, ask, goOn);
    if (suspects.length < OBJECTS_AT_ONCE) break;
  }
  return { asked: requests, failed, late };
}

/** @returns true when the object had changes that D1 lacked, which it has now written */
async function reconcile(
  { callCoordinator, meter, clock }: StepContext,
  { id: jobId, version, flushedAt, lacksBodies }: Suspect,
): Promise<boolean> {
  const reply = await callCoordinator({ jobId, meter }, (coordinator) =>
    coordinator.reconcile(jobId, version, lacksBodies),
  );
  if (!reply.ok) throw new Error(`coordinator says ${reply.reason}`);
  if (!reply.wasBehind) return false;
  logEvent("warn", "projection_late", {
    job: jobId,
    late_ms: clock.now() - flushedAt,
    version,
    object_version: reply.version,
  });
  return true;
}
