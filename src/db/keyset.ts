import { type SQL, sql } from "drizzle-orm";

/** Orders rows by columns that together are unique, by the first column first. */
export interface Ordering {
  columns: readonly SQL[];
  descending: boolean;
  /** True where the last of several columns is the row id, which an index contains without naming it. */
  endsInRowId?: boolean;
}

/** A place in an ordered list: just after or just before the row with this key. */
export interface Cursor {
  relation: "after" | "before";
  key: readonly (string | number)[];
}

/**
 * The clauses that read a list from a cursor on, at the same cost at any depth, or from the beginning for null.
 * Rows before a cursor come in reverse, nearest first: the caller reverses them.
 */
export function readFrom(ordering: Ordering, cursor: Cursor | null) {
  const { columns, descending } = ordering;
  const reversed = cursor?.relation === "before";
  const down = descending !== reversed;
  return {
    where: cursor === null ? undefined : beyond(ordering, down ? "<" : ">", cursor.key),
    orderBy: columns.map((column) => sql`${column} ${sql.raw(down ? "desc" : "asc")}`),
  };
}

function beyond(
  { columns, endsInRowId = false }: Ordering,
  comparison: "<" | ">",
  key: readonly (string | number)[],
): SQL {
  // Numbers are bound as floating point, which full-text tables ignore as a bound of row ids: a cast helps. In
  // a row value a cast would keep SQLite from the index.
  const isRowId = columns.length === 1;
  const values = key.map((value) =>
    isRowId && typeof value === "number" ? sql`cast(${value} as integer)` : sql`${value}`,
  );
  const compare = (operator: string, length: number) =>
    sql`${row(columns.slice(0, length))} ${sql.raw(operator)} ${row(values.slice(0, length))}`;
  const exact = compare(comparison, columns.length);
  // SQLite uses no row id inside an index for a row value, so the columns before it bound the range.
  return endsInRowId ? sql`${compare(`${comparison}=`, columns.length - 1)} and ${exact}` : exact;
}

/** A row value. SQLite has no row values of one column: a single value stays as it is. */
function row(parts: readonly SQL[]): SQL {
  const list = sql.join([...parts], sql`, `);
  return parts.length === 1 ? list : sql`(${list})`;
}

/** The order of a list: columns that together are unique, and their values in a row. */
export interface KeysetOrder<Row> {
  columns: readonly { column: SQL; type: "string" | "number" }[];
  descending: boolean;
  /** As in `Ordering`. */
  endsInRowId?: boolean;
  keyOf(row: Row): (string | number)[];
  /**
   * Names the list, so that a cursor of another list is refused. By default it is the whole query but the page;
   * set it where a parameter changes neither order nor filters.
   */
  list?: string;
}

/** The clauses of the query that reads a page, and one row more, which shows that another page follows. */
export interface PageWindow {
  where: SQL | undefined;
  orderBy: SQL[];
  limit: number;
  offset: number;
  /** The cursor that `where` stands for; null for a page by its number. */
  from: Cursor | null;
}
