import { platformFailure, TimeoutError } from "./platform-failure.ts";

/**
 * Bounds a wait: D1, objects and R2 can hang, and a request must end. The call itself goes on; its result is
 * dropped, and a late rejection counts as handled.
 *
 * @throws TimeoutError
 */
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
 * Repeats a call after failures of the platform that may pass at once (see `platformFailure`). Each attempt
 * makes its own stub or statement: a stub that threw is broken.
 *
 * @param attempt must be safe to repeat, even after it took effect
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
      const isPassing = platformFailure(error)?.retryable === true;
      if (n + 1 >= options.attempts || !isPassing) throw error;
      await sleep(backoffMs(n, RETRY_BACKOFF));
    }
  }
}
