import { type Clock, MINUTE_MS } from "../lib/clock.ts";

/** An alarm that is late by this much is lost. */
const LATE_MS = MINUTE_MS;

/**
 * The object's one alarm, with its time in memory, since reading it from storage costs a call. Alarms may
 * get lost. An alarm that is set for an earlier time stays: the object sets the next one when it fires.
 */
export class Alarm {
  readonly #storage: DurableObjectStorage;
  readonly #clock: Clock;
  /** Time of the alarm, ms; null for no alarm, undefined until read. */
  #at: number | null | undefined;

  constructor(storage: DurableObjectStorage, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
  }

  /** Sets the alarm for the earliest deadline. Synchronous: part of the same commit as the writes before it. */
  setBy(deadlines: readonly (number | null)[]): void {
    const due = deadlines.filter((at) => at !== null);
    if (due.length === 0) return;
    const at = Math.min(...due);
    if (this.#at !== null && this.#at !== undefined && this.#at <= at) return;
    this.#at = at;
    void this.#storage.setAlarm(at);
  }

  /** As `setBy`, also for a later time than before. Free if the alarm is set for this time: each setting is a row. */
  setAnew(deadlines: readonly (number | null)[]): void {
    const due = Math.min(...deadlines.filter((at) => at !== null));
    if (due !== this.#at) this.#at = null;
    this.setBy(deadlines);
  }

  /** As `setBy`, and puts off an alarm that is much too early: all nodes have a socket now. */
  moveTo(deadlines: readonly (number | null)[]): void {
    const due = Math.min(...deadlines.filter((at) => at !== null));
    if (due !== Infinity && due - (this.#at ?? due) >= LATE_MS) this.#at = null;
    this.setBy(deadlines);
  }

  /** Notes that no alarm is set: it has fired, or its job is gone. */
  clear(): void {
    this.#at = null;
  }

  /** Notes that the alarm may be lost: the next `watch` reads it. */
  doubt(): void {
    this.#at = undefined;
  }

  /**
   * Ensures an alarm is set. Free while one is.
   *
   * @param rearm called when no alarm is set, or the alarm is lost
   * @returns a promise when the alarm has to be read first, else null
   */
  watch(rearm: () => void): Promise<void> | null {
    // The first call since the object woke up: its last instance set the alarm.
    if (this.#at === undefined) return this.#readAlarm(rearm);
    if (this.#at !== null && this.#clock.now() - this.#at >= LATE_MS) {
      this.#at = null;
      rearm();
    }
    return null;
  }

  async #readAlarm(rearm: () => void): Promise<void> {
    const at = await this.#storage.getAlarm();
    // Another call has set the alarm in the meantime.
    if (this.#at !== undefined) return;
    this.#at = at;
    if (at === null) rearm();
  }
}
