import { type SQLWrapper, sql } from "drizzle-orm";
import type { KeysetOrder } from "./keyset-page.ts";
import { unindexed } from "./named-search.ts";

/** What a list of named things is asked for, as far as its order goes. */
export interface NamedOrderQuery {
  sort: "name" | "created";
  direction: "asc" | "desc";
  name?: string | undefined;
}

/**
 * By name or by creation, and equal ones by creation and UUID.
 *
 * @param options `isUnindexed`: the rows are few and found otherwise, and their order must tempt no index
 */
export function namedOrder<Row extends { name: string; createdAt: number; uuid: string }>(
  { name, createdAt, uuid }: Record<"name" | "createdAt" | "uuid", SQLWrapper>,
  query: NamedOrderQuery,
  { isUnindexed = false } = {},
): KeysetOrder<Row> {
  const column = (of: SQLWrapper) => (isUnindexed ? unindexed(of) : sql`${of}`);
  const byTime = [
    { column: column(createdAt), type: "number" as const },
    { column: column(uuid), type: "string" as const },
  ];
  const byName = [{ column: column(name), type: "string" as const }, ...byTime];
  // Among rows of one name the name orders nothing, and left out it leaves the index its range.
  const columns = query.sort === "created" || query.name !== undefined ? byTime : byName;
  return {
    columns,
    descending: query.direction === "desc",
    keyOf: (row) => [row.name, row.createdAt, row.uuid].slice(-columns.length),
  };
}
