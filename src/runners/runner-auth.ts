import type { Database } from "../db/client.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, MINUTE_MS, SECOND_MS } from "../lib/clock.ts";
import { hashOfKey, isSameHash } from "../lib/keys.ts";
import { nameOf, type Reference } from "../lib/references.ts";
import { findByKey } from "./claim-store.ts";

/** A rotated key, and the key of an archived runner, stops working everywhere within this time. */
const REMEMBERED_MS = 30 * SECOND_MS;
const MAX_RUNNERS = 10_000;

/** A runner that has sent its key, as stored in D1 at most 30 s ago. */
export interface AuthenticatedRunner {
  id: number;
  uuid: string;
  keyHash: string;
  /** UUIDs of the live specs that it offers, sorted. */
  specs: readonly string[];
  /** UUIDs of all specs that it offers, archived ones too, sorted. */
  offered: readonly string[];
  /** Its job, as far as this isolate knows; D1 is read before anything relies on it. */
  jobId: number | null;
}

/** Authenticates runners by their keys. */
export class RunnerAuth {
  readonly #clock: Clock;
  readonly #heartbeatMs: number;
  readonly #runners: BoundedCache<AuthenticatedRunner>;
  /** Runners whose contact was written to D1 lately, so it is not written again. */
  readonly #written: BoundedCache<true>;
  /** Counts calls of `forget`: a row read before such a call must not be remembered after it. */
  #forgotten = 0;

  /** @param deps `timeoutMs`: a runner out of contact for this long is offline */
  constructor({ clock, timeoutMs }: { clock: Clock; timeoutMs: number }) {
    this.#clock = clock;
    // A shorter time-out needs more frequent writes of the contact.
    this.#heartbeatMs = Math.min(MINUTE_MS, timeoutMs * 0.4);
    const rememberedMs = Math.min(REMEMBERED_MS, timeoutMs * 0.2);
    this.#runners = new BoundedCache({ maxEntries: MAX_RUNNERS, maxAgeMs: rememberedMs, clock });
    const maxAgeMs = this.#heartbeatMs;
    this.#written = new BoundedCache({ maxEntries: MAX_RUNNERS, maxAgeMs, clock });
  }

  /** The runner, if this isolate has seen the key lately. No round trip. */
  remembered(reference: Reference, key: string): AuthenticatedRunner | null {
    return this.#runners.get(cacheKey(reference, hashOfKey(key))) ?? null;
  }

  /**
   * The runner that the reference names, if this is its key and it is not archived; writes its contact at
   * most once a minute. One round trip.
   *
   * @param isContact false if another statement of the request writes the contact
   */
  async find(
    db: Database,
    reference: Reference,
    key: string,
    isContact = true,
  ): Promise<AuthenticatedRunner | null> {
    const keyHash = hashOfKey(key);
    const at = cacheKey(reference, keyHash);
    const now = this.#clock.now();
    const before = this.#forgotten;
    const isDue = isContact && this.#written.get(at) === undefined;
    const writtenBefore = isDue ? now - this.#heartbeatMs : null;
    const row = await findByKey(db, reference, keyHash, now, writtenBefore);
    // Compares for an unknown runner too, so that it takes the same time.
    const isRight = isSameHash(row?.keyHash ?? "", keyHash);
    if (row === null || !isRight || row.archivedAt !== null) return null;
    this.#written.set(at, true, row.lastHeartbeatAt ?? 0);
    const { id, uuid, specs, offered, jobId } = row;
    // Most offer no archived spec: one list is remembered for both.
    const isSame = specs.length === offered.length;
    const runner = { id, uuid, keyHash, specs, offered: isSame ? specs : offered, jobId };
    // The 30 s count from before the read: the row may have changed during the round trip.
    if (this.#forgotten === before) this.#runners.set(at, runner, now);
    return runner;
  }

  /** Makes a change of a runner take effect in this isolate at once. */
  forget(uuid: string): void {
    this.#forgotten++;
    this.#runners.deleteWhere((runner) => runner.uuid === uuid);
  }
}

function cacheKey(reference: Reference, keyHash: string): string {
  return `${nameOf(reference)} ${keyHash}`;
}
