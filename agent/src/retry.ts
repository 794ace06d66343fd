/** First ceiling of the full-jitter backoff; it doubles with every failure. */
const BASE_MS = 500;
/** Ceiling of the backoff: a server back after an hour is found within half a minute. */
export const CAP_MS = 30_000;
/** A longer Retry-After is cut, so that a node stays inside its 150 s lease. */
const RETRY_AFTER_CAP_MS = 120_000;

/**
 * Milliseconds to wait before the next try: full jitter, on top of the server's `Retry-After` when it
 * sent one. On top, because nodes of one job that all wait exactly as told would return as one wave.
 *
 * @param failures tries that have failed so far, at least 1
 */
export function backoffMs(failures: number, random: number, retryAfterMs: number | null): number {
  const ceiling = Math.min(CAP_MS, BASE_MS * 2 ** (failures - 1));
  return (retryAfterMs ?? 0) + random * ceiling;
}

/** Parses a `Retry-After` header (RFC 9110 §10.2.3: seconds or HTTP date) to milliseconds, or null. */
export function parseRetryAfter(
  header: string | null,
  now: number,
  capMs = RETRY_AFTER_CAP_MS,
): number | null {
  if (header === null) return null;
  const text = header.trim();
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now;
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), capMs);
}
