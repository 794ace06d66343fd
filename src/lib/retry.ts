/** Thrown when a platform call outlives its bound. Whether it took effect is unknown. */
export class TimeoutError extends Error {
  override name = "TimeoutError";
}

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

/**
 * Calls again what the platform marks `retryable` and has not marked `overloaded` (an overloaded
 * object gets worse with every further call). Each attempt makes its own stub: a stub that threw is broken.
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
      if (n + 1 >= options.attempts || !isRetryable(error)) throw error;
      await sleep(backoffMs(n, { baseMs: 50, capMs: 500 }));
    }
  }
}

function isRetryable(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  const { retryable, overloaded } = error as { retryable?: unknown; overloaded?: unknown }; // platform errors carry both as plain properties
  return retryable === true && overloaded !== true;
}
