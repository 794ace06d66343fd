import { type Clock, MINUTE_MS } from "../lib/clock.ts";

/** An alarm that is so late was lost. */
const LATE_MS = MINUTE_MS;

/**
 * The object's one alarm, and what is known of it: alarms get lost, and asking for one costs a call. It is
 * set for the earliest deadline; one that stands earlier is left, since whoever it wakes sets the next.
 */
export class AlarmKeeper {
  readonly #storage: DurableObjectStorage;
  readonly #clock: Clock;
  /** When the alarm is set for, ms; undefined until it is known. */
  #at: number | null | undefined;

  constructor(storage: DurableObjectStorage, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
  }

  /** Synchronous: part of the same commit as the writes before it. */
  setBy(deadlines: readonly (number | null)[]): void {
    const due = deadlines.filter((at) => at !== null);
    if (due.length === 0) return;
    const at = Math.min(...due);
    if (this.#at !== null && this.#at !== undefined && this.#at <= at) return;
    this.#at = at;
    void this.#storage.setAlarm(at);
  }

  /** None stands: it has fired, or what it was for is gone. */
  clear(): void {
    this.#at = null;
  }

  /** It may be gone, whatever this object remembers. */
  doubt(): void {
    this.#at = undefined;
  }

  /**
   * Whoever calls sees to it that an alarm is set, and costs nothing for it while one is.
   *
   * @param rearm called when none stands
   * @returns when that is not known at once; null when it is
   */
  watch(rearm: () => void): Promise<void> | null {
    // The first call since this object woke up: what its last instance has set is not known yet.
    if (this.#at === undefined) return this.#recall(rearm);
    if (this.#at !== null && this.#clock.now() - this.#at >= LATE_MS) {
      this.#at = null;
      rearm();
    }
    return null;
  }

  async #recall(rearm: () => void): Promise<void> {
    const at = await this.#storage.getAlarm();
    // Set in the meantime.
    if (this.#at !== undefined) return;
    this.#at = at;
    if (at === null) rearm();
  }
}
