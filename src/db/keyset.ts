import { type SQL, sql } from "drizzle-orm";

/** Orders rows by columns that together are unique, the first one first. */
export interface Ordering {
  columns: readonly SQL[];
  descending: boolean;
  /** Whether the last of several columns is the row id, which an index holds without naming it. */
  endsInRowId?: boolean;
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
export function readFrom(ordering: Ordering, cursor: Cursor | null) {
  const { columns, descending } = ordering;
  const reversed = cursor?.relation === "before";
  const down = descending !== reversed;
  const orderBy = (isDown: boolean) =>
    columns.map((column) => sql`${column} ${sql.raw(isDown ? "desc" : "asc")}`);
  return {
    where: cursor === null ? undefined : beyond(ordering, down ? "<" : ">", cursor.key),
    orderBy: orderBy(down),
    /** The same order from its other end. */
    fromEnd: orderBy(!down),
    reversed,
  };
}

function beyond(
  { columns, endsInRowId = false }: Ordering,
  comparison: "<" | ">",
  key: readonly (string | number)[],
): SQL {
  // Numbers are bound as floating point, which full-text tables do not take for a bound of row ids. In a
  // row value a cast would keep SQLite from the index.
  const isRowId = columns.length === 1;
  const values = key.map((value) =>
    isRowId && typeof value === "number" ? sql`cast(${value} as integer)` : sql`${value}`,
  );
  const compare = (sign: string, length: number) =>
    sql`${row(columns.slice(0, length))} ${sql.raw(sign)} ${row(values.slice(0, length))}`;
  const exact = compare(comparison, columns.length);
  // SQLite finds no row id in an index for a row value: the columns before it make the range.
  return endsInRowId ? sql`${compare(`${comparison}=`, columns.length - 1)} and ${exact}` : exact;
}

/** One value stands for itself: a row of one is no row value. */
function row(parts: readonly SQL[]): SQL {
  const list = sql.join([...parts], sql`, `);
  return parts.length === 1 ? list : sql`(${list})`;
}
