/**
 * What breaks on the platform's side, told from faults of our own, in one place: whoever calls D1, an
 * object or R2 asks here whether to try again, and what to tell a client.
 *
 * Any of them may leave a write *maybe committed*: the error says that no answer came, not that nothing
 * happened. So no write is repeated by the server unless the callee takes repeats (objects do: every call
 * of theirs may be repeated); the client gets a 503 and repeats, and what the write is guarded by
 * (`Idempotency-Key`, unique names, versions) makes it one effect.
 *
 * Messages as documented by the platform: "Debug D1" (Error list), "Durable Objects: Error handling" and
 * "Troubleshooting", "R2: Error codes".
 */

/** Thrown when a platform call outlives its bound. Whether it took effect is unknown. */
export class TimeoutError extends Error {
  override name = "TimeoutError";
}

export type FailureKind =
  /** The way there or the machine behind it; the next call takes another one. */
  | "lost"
  /** The database or object was restarted; it comes back at once. */
  | "reset"
  /** It used more memory or CPU time than it may: the same call would do so again. */
  | "exhausted"
  /** More is asked than it can do: gets worse with every further call. */
  | "overloaded"
  /** No answer in time. */
  | "hang"
  /** No room for more rows. */
  | "full"
  /** Something that no list has. */
  | "unknown";

export interface PlatformFailure {
  kind: FailureKind;
  /** Whether a call that may be repeated is worth repeating at once. */
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

/** The first that fits. */
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

/** SQLite says what is wrong with a statement or its rows: no failure of the platform. */
const SQLITE = /: SQLITE_(?!BUSY|IOERR|FULL|INTERRUPT)|no such (?:table|column)|syntax error/;

/** The platform's failure behind an error, or null when it is none: a fault of ours, or an answer. */
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
  // Errors of the platform carry both as plain properties.
  const { retryable, overloaded } = error as { retryable?: unknown; overloaded?: unknown };
  if (overloaded === true) return "overloaded";
  // drizzle's message holds the parameters, which are the caller's words.
  const message = error.message.startsWith("Failed query") ? "" : error.message;
  const known = MESSAGES.find(([pattern]) => pattern.test(message))?.[1];
  if (known !== undefined) return known;
  if (retryable === true) return "lost";
  return message.startsWith("D1_ERROR") && !SQLITE.test(message) ? "unknown" : null;
}
