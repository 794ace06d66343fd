const FAILED_QUERY = "Failed query";

/**
 * A failure and everything that caused it, for the log. Of a failed query it holds the statement, never
 * the parameters: drizzle's message has those, too, and they may be secrets.
 */
export function causesOf(error: unknown): string[] {
  const causes: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { message, stack = String(cause) } = cause;
    const [statement = ""] = message.split("\nparams:", 1);
    causes.push(message.startsWith(FAILED_QUERY) ? statement : stack);
  }
  return causes;
}

/** Messages of a failed query and of what caused it, without drizzle's, which hold SQL and parameters. */
function messagesOf(error: unknown): string[] {
  const messages: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (!cause.message.startsWith(FAILED_QUERY)) messages.push(cause.message);
  }
  return messages;
}

/**
 * The columns of the UNIQUE constraint that a failed query ran into, or null for any other failure.
 * SQLite names them as `table.column, table.column`; an index on an expression by `index 'name'`.
 */
export function uniqueViolation(error: unknown): string | null {
  for (const message of messagesOf(error)) {
    const match = /UNIQUE constraint failed: (.+?)(?:: SQLITE_CONSTRAINT.*)?$/.exec(message);
    if (match?.[1] !== undefined) return match[1];
  }
  return null;
}

/**
 * Whether a query failed because a row refers to one that is not there, or would be left referring to
 * one. SQLite does not say which.
 */
export function foreignKeyViolation(error: unknown): boolean {
  return messagesOf(error).some((message) => message.includes("FOREIGN KEY constraint failed"));
}
