import { type SQL, sql } from "drizzle-orm";

/** Orders rows by columns that together are unique, the first one first. */
export interface Ordering {
  columns: readonly SQL[];
  descending: boolean;
}

/** A place in an ordered list: just after, or just before, the row with these values of its columns. */
export interface Cursor {
  relation: "after" | "before";
  key: readonly (string | number)[];
}

/**
 * The clauses that read a list from a cursor on, at the same cost at any depth; from the beginning
 * without one. Rows before a cursor come in reverse, nearest first: turn them around.
 */
export function readFrom({ columns, descending }: Ordering, cursor: Cursor | null) {
  const reversed = cursor?.relation === "before";
  const down = descending !== reversed;
  const direction = sql.raw(down ? "desc" : "asc");
  const orderBy = columns.map((column) => sql`${column} ${direction}`);
  if (cursor === null) return { where: undefined, orderBy, reversed };
  const key = cursor.key.map((value) => sql`${value}`);
  const where = sql`(${sql.join([...columns], sql`, `)}) ${sql.raw(down ? "<" : ">")} (${sql.join(key, sql`, `)})`;
  return { where, orderBy, reversed };
}
