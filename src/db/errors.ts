/**
 * The columns of the UNIQUE constraint that a failed query ran into, or null for any other failure.
 * SQLite names them as `table.column, table.column`; an index on an expression by `index 'name'`.
 * drizzle wraps the cause and puts the whole SQL into its message, so only causes are looked at.
 */
export function uniqueViolation(error: unknown): string | null {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const match = /UNIQUE constraint failed: (.+?)(?:: SQLITE_CONSTRAINT.*)?$/.exec(cause.message);
    if (match?.[1] !== undefined && !cause.message.startsWith("Failed query")) return match[1];
  }
  return null;
}
