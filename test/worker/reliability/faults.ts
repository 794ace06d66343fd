/**
 * A D1 that fails the way the platform's does, for the objects of this isolate, and time that tests move.
 * Only `DB.batch` is broken: it is what a job's object uses, and owners' requests do not.
 */
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import { systemClock } from "../../../src/lib/clock.ts";

/**
 * - `before`: the request never arrives; `after`: it takes effect, but the answer is lost;
 * - `hang`: neither an answer nor an effect, until it arrives late (`arrive`).
 */
export type D1Mode = "ok" | "before" | "after" | "hang";

export interface Faults {
  setD1(mode: D1Mode): void;
  /** What becomes of the next requests, one after the other, before `setD1` holds again. */
  breakNext(modes: readonly D1Mode[]): void;
  /** How many batches have been broken so far. */
  readonly struck: number;
  /** Requests that have hung arrive after all, the first or the last of them first. */
  arrive(order: "first" | "last"): Promise<void>;
  /** Nothing is waited for any more: whoever was waiting for it is gone. What has hung may still arrive. */
  objectsLost(): void;
  forgetHung(): void;
  /** Waits until nothing is on its way to D1 any more. */
  quiet(): Promise<void>;
  /** Lets so many turns of the event loop pass. */
  turns(count: number): Promise<void>;
  /** Moves the clock of the Worker and its objects; ms since the epoch. */
  setNow(ms: number): void;
  restore(): void;
}

/** Breaks what is asked of it until `restore`. One at a time per isolate. */
export function installFaults(): Faults {
  const batch = env.DB.batch.bind(env.DB);
  const setTimer = globalThis.setTimeout.bind(globalThis);
  const pause = scheduler.wait.bind(scheduler);
  const onTheirWay = new Set<Promise<unknown>>();
  let hung: (() => Promise<unknown>)[] = [];
  let lasting: D1Mode = "ok";
  let next: D1Mode[] = [];
  let struck = 0;
  /** The wait that begins next is the time-out of a request that hangs: nobody sits it out here. */
  let timeOutAtOnce: (() => void) | null = null;

  const follow = <T>(call: Promise<T>): Promise<T> => {
    const settled = call.catch(() => {}).finally(() => onTheirWay.delete(settled));
    onTheirWay.add(settled);
    return call;
  };
  const spies = [
    vi.spyOn(env.DB, "batch").mockImplementation(async (statements) => {
      const mode = next.shift() ?? lasting;
      if (mode === "ok") return follow(batch(statements));
      struck++;
      if (mode === "before") throw new Error("D1_ERROR: Network connection lost.");
      if (mode === "after") {
        await follow(batch(statements));
        throw new Error("D1_ERROR: Internal error while the answer was on its way.");
      }
      hung.push(() => batch(statements));
      const timedOut = Promise.withResolvers<void>();
      timeOutAtOnce = timedOut.resolve;
      void follow(timedOut.promise);
      return new Promise(() => {});
    }),
    vi
      .spyOn(globalThis, "setTimeout")
      // The platform's type has overloads that a mock cannot state.
      .mockImplementation(((act: () => void, ms?: number) => {
        const ended = timeOutAtOnce;
        if (ended === null) return setTimer(act, ms);
        timeOutAtOnce = null;
        return setTimer(() => {
          act();
          ended();
        }, 0);
      }) as typeof setTimeout),
    // Flushes keep a pace, which only costs time here.
    vi.spyOn(scheduler, "wait").mockResolvedValue(undefined),
    vi.spyOn(systemClock, "now"),
    vi.spyOn(console, "log").mockImplementation(() => {}),
    vi.spyOn(console, "warn").mockImplementation(() => {}),
    vi.spyOn(console, "error").mockImplementation(() => {}),
  ] as const;
  const clock = spies[3];

  return {
    setD1(mode) {
      lasting = mode;
      next = [];
    },
    breakNext(modes) {
      next = [...modes];
    },
    get struck() {
      return struck;
    },
    async arrive(order) {
      const late = order === "first" ? hung : hung.toReversed();
      hung = [];
      for (const request of late) await request();
    },
    objectsLost() {
      onTheirWay.clear();
      timeOutAtOnce = null;
    },
    forgetHung() {
      hung = [];
    },
    async quiet() {
      do {
        await Promise.all(onTheirWay);
        // What follows from an answer is begun in the object's own turn.
        await pause(0);
        await pause(0);
      } while (onTheirWay.size > 0);
    },
    async turns(count) {
      for (let turn = 0; turn < count; turn++) await pause(0);
    },
    setNow(ms) {
      clock.mockReturnValue(ms);
    },
    restore() {
      for (const spy of spies) spy.mockRestore();
    },
  };
}
