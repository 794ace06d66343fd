/**
 * Simulates D1 failures for the objects of this isolate, and a clock that tests move. Only `DB.batch` is
 * broken, because a job's object uses it and owners' requests do not.
 */
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import { systemClock } from "../../../src/lib/clock.ts";

/**
 * - `before`: the request never arrives.
 * - `after`: the request takes effect, but the answer is lost.
 * - `hang`: the request has no answer, and no effect until it arrives late (`arrive`).
 */
export type D1Mode = "ok" | "before" | "after" | "hang";

export interface Faults {
  setD1(mode: D1Mode): void;
  /** Applies one mode to each of the next requests, in order; the mode of `setD1` applies after them. */
  breakNext(modes: readonly D1Mode[]): void;
  /** Number of batches broken so far. */
  readonly brokenBatches: number;
  /** Delivers the hung requests, oldest or newest first. */
  arrive(order: "first" | "last"): Promise<void>;
  /** Stops waiting for pending requests, whose objects are gone. Hung requests may still arrive. */
  objectsLost(): void;
  forgetHung(): void;
  /** Waits until no request to D1 is pending. */
  quiet(): Promise<void>;
  /** Lets `count` turns of the event loop pass. */
  turns(count: number): Promise<void>;
  /** Sets the clock of the Worker and its objects, in ms since the epoch. */
  setNow(ms: number): void;
  restore(): void;
}

/** Installs the fault simulation until `restore`. Only one may be installed per isolate. */
export function installFaults(): Faults {
  const batch = env.DB.batch.bind(env.DB);
  const setTimer = globalThis.setTimeout.bind(globalThis);
  const pause = scheduler.wait.bind(scheduler);
  const onTheirWay = new Set<Promise<unknown>>();
  let hung: (() => Promise<unknown>)[] = [];
  let lasting: D1Mode = "ok";
  let next: D1Mode[] = [];
  let brokenBatches = 0;
  /** Ends the next timer at once: it is the time-out of a hung request, and tests need not wait for it. */
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
      brokenBatches++;
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
      // The cast is needed because the platform's type has overloads that a mock cannot declare.
      .mockImplementation(((act: () => void, ms?: number) => {
        const ended = timeOutAtOnce;
        if (ended === null) return setTimer(act, ms);
        timeOutAtOnce = null;
        return setTimer(() => {
          act();
          ended();
        }, 0);
      }) as typeof setTimeout),
    // Flushes are paced, which only costs time in tests.
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
    get brokenBatches() {
      return brokenBatches;
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
        // The object acts on an answer in a later turn of its own.
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
