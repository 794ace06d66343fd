/**
 * The taxonomy of failures of D1, objects and R2. It decides which calls the server repeats, and how long a
 * client waits before it repeats its request.
 *
 * Any failure may leave a write *maybe committed*: no answer came, but something may have happened. So the
 * server repeats no write unless the callee accepts repeats, as every call of an object does. The client
 * gets a 503 and repeats its request; `Idempotency-Key`, unique names and versions make it one effect.
 *
 * Messages as documented by the platform: "Debug D1" (Error list), "Durable Objects: Error handling" and
 * "Troubleshooting", "R2: Error codes".
 */

/** Thrown when a platform call exceeds its time-out; the call may have taken effect. */
export class TimeoutError extends Error {
  override name = "TimeoutError";
}

export type FailureKind =
  /** The connection or the machine behind it was lost; the next call takes another one. */
  | "lost"
  /** The database or object was restarted; it comes back at once. */
  | "reset"
  /** Memory or CPU time exceeded: the same call would exceed them again. */
  | "exhausted"
  /** Too many calls: every further call makes it worse. */
  | "overloaded"
  /** No answer in time. */
  | "hang"
  /** No space for more rows. */
  | "full"
  /** A failure of D1 that `MESSAGES` does not list. */
  | "unknown";

export interface PlatformFailure {
  kind: FailureKind;
  /** A call that is safe to repeat may succeed at once. */
  retryable: boolean;
  /** For `Retry-After`. */
  retryAfterSeconds: number;
}

const RETRY_AFTER_SECONDS: Readonly<Record<FailureKind, number>> = {
  lost: 2,
  reset: 2,
  exhausted: 5,
  overloaded: 10,
  hang: 5,
  full: 60,
  unknown: 5,
};

/** The first match decides. */
const MESSAGES: readonly [RegExp, FailureKind][] = [
  [/exceeded its (?:memory|CPU time) limit/i, "exhausted"],
  [/is overloaded|too many requests queued|queued for too long|\(10058\)$/i, "overloaded"],
  [/exceeded maximum DB size|maximum account storage limit/i, "full"],
  [/caused object to be reset|reset because its code was updated|was reset\b/i, "reset"],
  [
    /network connection lost|transient issue on remote node|can't read from request stream|^(?:D1_ERROR: )?internal error\b|\((?:10001|10043|10054)\)$/i,
    "lost",
  ],
];

/** Errors of a statement or its rows are not failures of the platform. */
const SQLITE = /: SQLITE_(?!BUSY|IOERR|FULL|INTERRUPT)|no such (?:table|column)|syntax error/;

/** The platform failure that caused an error; null for any other error. */
export function platformFailure(error: unknown): PlatformFailure | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const kind = kindOf(cause);
    if (kind !== null) {
      const retryable = kind === "lost" || kind === "reset";
      return { kind, retryable, retryAfterSeconds: RETRY_AFTER_SECONDS[kind] };
    }
  }
  return null;
}

function kindOf(error: Error): FailureKind | null {
  if (error instanceof TimeoutError) return "hang";
  // The platform sets both as plain properties of its errors.
  const { retryable, overloaded } = error as { retryable?: unknown; overloaded?: unknown };
  if (overloaded === true) return "overloaded";
  // drizzle's message holds parameters, which callers choose: they must not match a pattern.
  const message = error.message.startsWith("Failed query") ? "" : error.message;
  const listed = MESSAGES.find(([pattern]) => pattern.test(message))?.[1];
  if (listed !== undefined) return listed;
  if (retryable === true) return "lost";
  return message.startsWith("D1_ERROR") && !SQLITE.test(message) ? "unknown" : null;
}
