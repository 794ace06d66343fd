import type { SQL } from "drizzle-orm";
import { type Cursor, readFrom } from "../db/keyset.ts";
import { encodeCursor, parseCursor } from "./cursor.ts";
import type { Neighbours } from "./paging.ts";

/** What a list is ordered by: columns that together are unique, and their values in a row. */
export interface KeysetOrder<Row> {
  columns: readonly { column: SQL; type: "string" | "number" }[];
  descending: boolean;
  /** Whether the last of several columns is the row id. */
  endsInRowId?: boolean;
  keyOf(row: Row): (string | number)[];
  /**
   * Names the list, so that a cursor of another one is refused; the whole query but for the page unless
   * some of it changes neither order nor filters.
   */
  list?: string;
}

/** The clauses of the query that reads a page. It asks for one row more, to know whether one follows. */
export interface PageWindow {
  where: SQL | undefined;
  orderBy: SQL[];
  /** The order from the other end of the list. */
  fromEnd: SQL[];
  limit: number;
  offset: number;
  /** The cursor that `where` stands for; null for a page by its number. */
  from: Cursor | null;
}

export interface PageOf<Row> {
  items: Row[];
  total: number;
  neighbours: Neighbours;
}

/** A page of a list by its number or its cursor, with cursors to its neighbours. */
export async function readPage<Row>(
  query: { page: number; per_page: number; cursor?: string | undefined },
  order: KeysetOrder<Row>,
  read: (window: PageWindow) => Promise<{ rows: Row[]; total: number }>,
): Promise<PageOf<Row>> {
  const { page, per_page: perPage, cursor, ...rest } = query;
  const { columns, descending, endsInRowId = false, keyOf, list = JSON.stringify(rest) } = order;
  const types = columns.map(({ type }) => type);
  const from = cursor === undefined ? null : parseCursor(cursor, types, list);
  const ordering = { columns: columns.map(({ column }) => column), descending, endsInRowId };
  const { where, orderBy, fromEnd } = readFrom(ordering, from);
  const offset = from === null ? (page - 1) * perPage : 0;
  const window = { where, orderBy, fromEnd, limit: perPage + 1, offset, from };
  const { rows, total } = await read(window);
  const items = rows.slice(0, perPage);
  const isBackward = from?.relation === "before";
  if (isBackward) items.reverse();
  const at = (relation: Cursor["relation"], row: Row | undefined) =>
    row === undefined ? null : encodeCursor({ relation, key: keyOf(row) }, list);
  // A page that was reached backwards is followed by the one it was reached from.
  const hasNext = isBackward || rows.length > perPage;
  return {
    items,
    total,
    neighbours: { prev: at("before", items[0]), next: hasNext ? at("after", items.at(-1)) : null },
  };
}
