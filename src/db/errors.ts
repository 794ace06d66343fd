const FAILED_QUERY = "Failed query";

/**
 * A failure and all of its causes, for the log. A failed query is represented by its statement without the
 * parameters of drizzle's message, which may be secrets.
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

/** Messages of a failure and its causes, without drizzle's messages, which hold SQL and parameters. */
function messagesOf(error: unknown): string[] {
  const messages: string[] = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (!cause.message.startsWith(FAILED_QUERY)) messages.push(cause.message);
  }
  return messages;
}

/**
 * The columns of the UNIQUE constraint that a failed query violated; null for any other failure.
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
 * True if a query failed since a row refers to a missing row, or since the row that it removes is referred to.
 * SQLite does not tell the two apart.
 */
export function foreignKeyViolation(error: unknown): boolean {
  return messagesOf(error).some((message) => message.includes("FOREIGN KEY constraint failed"));
}
