import type { Database } from "../db/client.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, HOUR_MS, MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import { TimeoutError } from "../lib/platform-failure.ts";
import { withTimeout } from "../lib/retry.ts";
import { findCandidates } from "./claim-store.ts";

/** D1 is asked at most so often for one set of specs, however many runners ask. */
export const FRESH_MS = 3 * SECOND_MS;
/** Whoever waits for another request's answer does so no longer: that request may have been cut off. */
const SHARED_WAIT_MS = 2 * SECOND_MS;
/** So often at most; then D1 is slow, and more who ask it would not help. */
const MAX_WAITS = 2;
/** One job that cannot be reached must not hold up all others of its spec: for so long it comes last. */
const SHUNNED_MS = 10 * MINUTE_MS;
const MAX_SETS = 1_000;
const MAX_CLOSED = 10_000;

export interface Candidates {
  /** Ids of jobs that a runner offering these specs may join, oldest first. At most one round trip. */
  of(db: Database, specs: readonly string[]): Promise<readonly number[]>;
  /** The job takes nobody any more: no runner of this isolate is sent there again. */
  close(jobId: number): void;
  /** The job's object does not answer: runners of this isolate are sent anywhere else first. */
  shun(jobId: number): void;
}

/** The jobs that wait for nodes, shared by all runners of this isolate that offer the same specs. */
export function createCandidates({ clock }: { clock: Clock }): Candidates {
  const known = new BoundedCache<readonly number[]>({
    ...{ maxEntries: MAX_SETS, maxAgeMs: FRESH_MS },
    clock,
  });
  /** Full or ended, which D1 may hear of later than we do. Neither is ever undone. */
  const closed = new BoundedCache<true>({
    ...{ maxEntries: MAX_CLOSED, maxAgeMs: HOUR_MS },
    clock,
  });
  const shunned = new BoundedCache<true>({
    ...{ maxEntries: MAX_CLOSED, maxAgeMs: SHUNNED_MS },
    clock,
  });
  const reading = new Map<string, Promise<readonly number[]>>();

  const read = async (db: Database, set: string, specs: readonly string[]) => {
    const now = clock.now();
    const found = await findCandidates(db, specs, now);
    const ids = found.map(({ id }) => id);
    known.set(set, ids, now);
    return ids;
  };

  /** What is known; else one of those who ask at the same time reads, and the others wait for it. */
  const share = async (db: Database, set: string, specs: readonly string[]) => {
    for (let waits = 1; ; waits++) {
      const ids = known.get(set);
      if (ids !== undefined) return ids;
      const underway = reading.get(set);
      if (underway === undefined) break;
      try {
        return await withTimeout(underway, SHARED_WAIT_MS, "candidates of another request");
      } catch (error) {
        if (!(error instanceof TimeoutError) || waits === MAX_WAITS) throw error;
        // The first to get here reads anew, and the others wait for that.
        if (reading.get(set) === underway) reading.delete(set);
      }
    }
    const own = read(db, set, specs);
    reading.set(set, own);
    try {
      return await own;
    } finally {
      if (reading.get(set) === own) reading.delete(set);
    }
  };

  return {
    async of(db, specs) {
      if (specs.length === 0) return [];
      const set = specs.join();
      const ids = await share(db, set, specs);
      const open = ids.filter((id) => !closed.get(String(id)));
      const isShunned = (id: number) => shunned.get(String(id)) === true;
      return [...open.filter((id) => !isShunned(id)), ...open.filter(isShunned)];
    },
    close: (jobId) => closed.set(String(jobId), true),
    shun: (jobId) => shunned.set(String(jobId), true),
  };
}
