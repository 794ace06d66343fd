/** Time in tests, made independent of the machine's speed. */
import { env } from "cloudflare:workers";
import { onTestFinished, vi } from "vitest";
import { RATE_LIMITS } from "../../../src/http/rate-limit.ts";
import { patient } from "../../patience.ts";

/** Maximum advance of the clock between two reads, even on a slow machine. */
const STEP_MS = 10;

const machineNow = Date.now.bind(Date);
let seenAt = machineNow();
let now = seenAt;

/**
 * Installs a clock that falls behind on a busy machine, so that the server's caches of a few seconds still
 * last until the end of a slow test.
 */
export function installClock(): void {
  Date.now = () => {
    const at = machineNow();
    now += Math.min(Math.max(at - seenAt, 0), STEP_MS);
    seenAt = at;
    return now;
  };
}

/** Resets the clock to the machine's between tests, because alarms use the machine's clock. */
export function catchUp(): void {
  seenAt = machineNow();
  now = seenAt;
}

/** Waits until a check stops throwing. Returns the check's result. */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: patient(120_000), interval: 10 });
}

/** Shortest time-out of the server's calls to D1, R2 and objects; no other timer is this long. */
const LONG_MS = 5_000;
/** Interval at which a delayed time-out checks for its end. */
const LOOK_MS = 5;

/**
 * Suspends the server's time-outs for the rest of the test, so that a slow call never counts as hung. `end`
 * fires the time-outs of calls that hang now or begin to hang in this turn.
 */
export function holdTimeouts(): { end(): void } {
  const { setTimeout: wait, clearTimeout: clear } = globalThis;
  const cleared = new Set<unknown>();
  let ends = 0;
  let isOver = false;
  const set = vi.spyOn(globalThis, "setTimeout");
  // The cast is needed because the platform's type has overloads that a mock cannot declare.
  set.mockImplementation(((act: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) => {
    if (ms === undefined || ms < LONG_MS) return wait(act, ms, ...args);
    const endsBefore = ends;
    // Each timer must fire in its own request or object, so it polls instead of being called by `end`.
    const look = () => {
      if (isOver || cleared.has(handle)) return;
      if (ends > endsBefore) act(...args);
      else wait(look, LOOK_MS);
    };
    const handle = wait(look, LOOK_MS);
    return handle;
  }) as typeof setTimeout);
  const unset = vi.spyOn(globalThis, "clearTimeout").mockImplementation((handle) => {
    cleared.add(handle);
    clear(handle);
  });
  onTestFinished(() => {
    isOver = true;
    set.mockRestore();
    unset.mockRestore();
  });
  return {
    // A call's time-out is set just after the call begins, so `end` waits for the next turn.
    end: () => void wait(() => ends++, 0),
  };
}

/**
 * Makes rate limits count without a window for the rest of the test. The platform's windows follow the
 * machine's clock, and a new window may begin in the middle of a test.
 */
export function countWithoutEnd(): void {
  const counters = [
    [env.LIMIT_ANONYMOUS, RATE_LIMITS.anonymous],
    [env.LIMIT_SIGN_IN_ADDRESS, RATE_LIMITS["sign-in-address"]],
    [env.LIMIT_SIGN_IN_ACCOUNT, RATE_LIMITS["sign-in-account"]],
  ] as const;
  for (const [counter, { requests }] of counters) {
    const counted = new Map<string, number>();
    const spy = vi.spyOn(counter, "limit").mockImplementation(async ({ key }) => {
      const count = (counted.get(key) ?? 0) + 1;
      counted.set(key, count);
      return { success: count <= requests };
    });
    onTestFinished(() => spy.mockRestore());
  }
}
