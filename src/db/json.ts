import { type SQL, sql } from "drizzle-orm";

/**
 * Parses the JSON text of an expression; null stays null, so `T` includes null where the expression can be
 * null. Columns of mode JSON that are selected as they are do not need it.
 */
export function fromJson<T>(
  expression: SQL,
  read: (value: unknown) => T = (value) => value as T, // the caller knows what it selects
): SQL<T> {
  // Nested, since drizzle omits table names at the top level of a selected expression.
  return sql`${expression}`.mapWith((text: string): T => read(JSON.parse(text)));
}
