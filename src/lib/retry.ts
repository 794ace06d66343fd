import { platformFailure, TimeoutError } from "./platform-failure.ts";

/** Bounds a wait: D1 and objects can hang, and a request must end. The call itself is not cancelled. */
export async function withTimeout<T>(
  call: Promise<T>,
  timeoutMs: number,
  what: string,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new TimeoutError(`${what} took over ${timeoutMs} ms`)),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([call, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Exponential backoff with full jitter: uniform between 0 and `min(capMs, baseMs * 2^attempt)`.
 * Source: "Exponential Backoff And Jitter", AWS Architecture Blog.
 */
export function backoffMs(
  attempt: number,
  bounds: { baseMs: number; capMs: number },
  random: () => number = Math.random,
): number {
  return random() * Math.min(bounds.capMs, bounds.baseMs * 2 ** attempt);
}

const RETRY_BACKOFF = { baseMs: 50, capMs: 500 };

/**
 * Calls again what failed on the platform's side and may go better at once (see `platformFailure`). Each
 * attempt makes its own stub or statement: a stub that threw is broken.
 *
 * @param attempt a call that may be repeated, whether it took effect or not
 */
export async function retryPlatformCall<T>(
  attempt: () => Promise<T>,
  options: { attempts: number; sleep?: (ms: number) => Promise<void> },
): Promise<T> {
  const sleep = options.sleep ?? ((ms: number) => new Promise((done) => setTimeout(done, ms)));
  for (let n = 0; ; n++) {
    try {
      return await attempt();
    } catch (error) {
      const isWorthIt = platformFailure(error)?.retryable === true;
      if (n + 1 >= options.attempts || !isWorthIt) throw error;
      await sleep(backoffMs(n, RETRY_BACKOFF));
    }
  }
}
