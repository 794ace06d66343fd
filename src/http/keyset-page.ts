import type { SQL } from "drizzle-orm";
import { type Cursor, readFrom } from "../db/keyset.ts";
import { encodeCursor, parseCursor } from "./cursor.ts";
import type { Neighbours } from "./paging.ts";

/** What a list is ordered by: columns that together are unique, and their values in a row. */
export interface KeysetOrder<Row> {
  columns: readonly { column: SQL; type: "string" | "number" }[];
  descending: boolean;
  keyOf(row: Row): (string | number)[];
  /** Of lists with filters: names this one, so that a cursor of another one is refused. */
  list?: string;
}

/** The clauses of the query that reads a page. It asks for one row more, to know whether one follows. */
export interface PageWindow {
  where: SQL | undefined;
  orderBy: SQL[];
  limit: number;
  offset: number;
}

export interface PageOf<Row> {
  items: Row[];
  total: number;
  neighbours: Neighbours;
}

/** A page of a list by its number or its cursor, with cursors to its neighbours. */
export async function readPage<Row>(
  query: { page: number; per_page: number; cursor?: string | undefined },
  { columns, descending, keyOf, list }: KeysetOrder<Row>,
  read: (window: PageWindow) => Promise<{ rows: Row[]; total: number }>,
): Promise<PageOf<Row>> {
  const { page, per_page: perPage, cursor } = query;
  const types = columns.map(({ type }) => type);
  const from = cursor === undefined ? null : parseCursor(cursor, types, list);
  const ordering = { columns: columns.map(({ column }) => column), descending };
  const { where, orderBy } = readFrom(ordering, from);
  const offset = from === null ? (page - 1) * perPage : 0;
  const { rows, total } = await read({ where, orderBy, limit: perPage + 1, offset });
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
