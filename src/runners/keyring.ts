import type { Database } from "../db/client.ts";
import { nameOf, type Reference } from "../http/reference.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import { findByKey } from "./claim-store.ts";
import { hashOfKey, isSameHash } from "./keys.ts";

/** A rotated key is dead everywhere within this time (contract §5), and an archived runner as well. */
const KNOWN_MS = 30 * SECOND_MS;
const MAX_RUNNERS = 10_000;

/** A runner whose key has been seen to be good, as D1 had it within the last 30 s. */
export interface KnownRunner {
  id: number;
  uuid: string;
  keyHash: string;
  /** UUIDs of the live specs that it offers, sorted. */
  specs: readonly string[];
  /** The job that it holds, as far as this isolate knows: D1 is asked before anyone relies on it. */
  jobId: number | null;
}

export interface Keyring {
  /** The runner whose key this isolate has seen lately. No round trip. */
  known(reference: Reference, key: string): KnownRunner | null;
  /**
   * The runner that is meant, if this is its key and it is not archived; notes that it is in contact, at
   * most once a minute. One round trip.
   */
  find(db: Database, reference: Reference, key: string): Promise<KnownRunner | null>;
  /** What has just changed about a runner holds in this isolate at once. */
  forget(uuid: string): void;
}

/** @param timeoutMs a runner out of contact for so long is offline */
export function createKeyring({ clock, timeoutMs }: { clock: Clock; timeoutMs: number }): Keyring {
  // Where less silence makes a runner offline, it is to be heard more often.
  const heartbeatMs = Math.min(MINUTE_MS, timeoutMs * 0.4);
  const knownMs = Math.min(KNOWN_MS, timeoutMs * 0.2);
  const runners = new BoundedCache<KnownRunner>({
    ...{ maxEntries: MAX_RUNNERS, maxAgeMs: knownMs },
    clock,
  });
  /** Who has been written down to be in contact, so that D1 is not asked in vain. */
  const written = new BoundedCache<true>({
    ...{ maxEntries: MAX_RUNNERS, maxAgeMs: heartbeatMs },
    clock,
  });
  /** Counts what has been forgotten: what was read before must not be remembered after. */
  let forgotten = 0;
  const place = (reference: Reference, keyHash: string) => `${nameOf(reference)} ${keyHash}`;

  return {
    known: (reference, key) => runners.get(place(reference, hashOfKey(key))) ?? null,

    async find(db, reference, key) {
      const keyHash = hashOfKey(key);
      const at = place(reference, keyHash);
      const now = clock.now();
      const before = forgotten;
      const isDue = written.get(at) === undefined;
      const row = await findByKey(db, reference, keyHash, now, isDue ? now - heartbeatMs : null);
      // The same work for a runner that there is not.
      const isRight = isSameHash(row?.keyHash ?? "", keyHash);
      if (row === null || !isRight || row.archivedAt !== null) return null;
      written.set(at, true, row.lastHeartbeatAt ?? 0);
      const { id, uuid, specs, jobId } = row;
      const runner = { id, uuid, keyHash, specs: JSON.parse(specs), jobId };
      // Read now, known for 30 s from now: the round trip does not count in its favour.
      if (forgotten === before) runners.set(at, runner, now);
      return runner;
    },

    forget(uuid) {
      forgotten++;
      runners.deleteWhere((runner) => runner.uuid === uuid);
    },
  };
}
