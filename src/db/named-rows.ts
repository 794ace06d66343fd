/** SQL for tables whose rows have a UUID, a slug and a name: lookup, free slugs, versions, lists. */
import { and, eq, isNull, or, type SQL, type SQLWrapper, sql } from "drizzle-orm";
import type { SQLiteSelect, SQLiteTable } from "drizzle-orm/sqlite-core";
import type { Reference } from "../lib/references.ts";
import type { SlugChoice } from "../lib/slugs.ts";
import type { Database } from "./client.ts";
import type { KeysetOrder, PageWindow } from "./keyset.ts";
import { listCounts } from "./schema.ts";

/** Matches the row that a reference names, at most one. */
export function byReference(
  table: { uuid: SQLWrapper; slug: SQLWrapper },
  reference: Reference,
): SQL {
  return "uuid" in reference
    ? sql`${table.uuid} = ${reference.uuid}`
    : sql`${table.slug} = ${reference.slug}`;
}

/**
 * The slug for a new row: the preferred slug, or the other where that is taken. It has the same value in all
 * statements of a batch up to the insert.
 */
export function freeSlug(
  table: SQLWrapper & { slug: SQLWrapper },
  { preferred, otherwise }: SlugChoice,
): SQL<string> {
  return sql`(case when exists (select 1 from ${table} where ${table.slug} = ${preferred}) then ${otherwise} else ${preferred} end)`;
}

/** The columns that every change of a row sets. */
export function nextVersion(table: { version: SQLWrapper }, now: number) {
  return { modifiedAt: now, version: sql`${table.version} + 1` };
}

/** The column that archives or restores a row. Archiving an archived row leaves its time unchanged. */
export function archiveColumns(
  table: { archivedAt: SQLWrapper },
  archived: boolean | undefined,
  now: number,
) {
  if (archived === undefined) return {};
  return { archivedAt: archived ? sql`coalesce(${table.archivedAt}, ${now})` : null };
}

/** The requested order of a list of named rows. */
export interface NamedOrderQuery {
  sort: "name" | "created";
  direction: "asc" | "desc";
  name?: string | undefined;
}

type OrderField = "name" | "slug" | "createdAt" | "uuid";

/**
 * Orders by name, equal names by slug; or by creation and UUID, as equal names of a table without slugs are.
 *
 * @param options `isUnindexed`: the rows are few and already selected, so no index may serve the order
 */
export function namedOrder<
  Row extends { name: string; createdAt: number; uuid: string; slug?: string },
>(
  table: Record<Exclude<OrderField, "slug">, SQLWrapper> & { slug?: SQLWrapper },
  query: NamedOrderQuery,
  { isUnindexed = false } = {},
): KeysetOrder<Row> {
  const byTime: OrderField[] = ["createdAt", "uuid"];
  const ties: OrderField[] = table.slug === undefined ? byTime : ["slug"];
  // Rows of one name need no order by name, which would keep the index from its range.
  const byName: OrderField[] = query.name === undefined ? ["name", ...ties] : ties;
  const fields = query.sort === "created" ? byTime : byName;
  return {
    columns: fields.map((field) => {
      const column = table[field] ?? table.uuid;
      return {
        column: isUnindexed ? unindexed(column) : sql`${column}`,
        type: field === "createdAt" ? "number" : "string",
      };
    }),
    descending: query.direction === "desc",
    keyOf: (row) => fields.map((field) => row[field] ?? ""),
  };
}

/** An expression of the same value that no index serves. */
export function unindexed(expression: SQLWrapper): SQL {
  return sql`+${expression}`;
}

export interface NameFilter {
  name?: string | undefined;
  search?: string | undefined;
}

/** The conditions of a list's filters, tested row by row; undefined without a filter. */
export function nameFilter(
  { name, search }: NameFilter,
  columns: { name: SQLWrapper; searched: readonly SQLWrapper[] },
): SQL | undefined {
  return and(
    name === undefined ? undefined : sql`${columns.name} = ${name}`,
    search === undefined ? undefined : containsText(columns.searched, search),
  );
}

/** Any of the columns contains the text, without regard to the case of ASCII letters. */
export function containsText(columns: readonly SQLWrapper[], text: string): SQL | undefined {
  return or(...columns.map((column) => sql`instr(lower(${column}), lower(${text})) > 0`));
}

/** Excludes archived rows, unless the list includes them. */
export function unarchived(archivedAt: SQLWrapper, archived: boolean): SQL | undefined {
  return archived ? undefined : isNull(archivedAt);
}

/** Completes the query of a list with the window's order and its part of the listed rows. */
export function inWindow<Query extends SQLiteSelect>(
  query: Query,
  listed: SQL | undefined,
  { where, orderBy, limit, offset }: PageWindow,
) {
  return query
    .where(and(listed, where))
    .orderBy(...orderBy)
    .limit(limit)
    .offset(offset);
}

/** Counts the listed rows one by one. */
export function countRows(db: Database, table: SQLiteTable, listed: SQL | undefined) {
  return db.select({ total: sql<number>`count(*)` }).from(table).where(listed);
}

/** Reads how many items a list without a filter has, from its counter row. */
export function selectTotal(db: Database, list: string) {
  return db.select({ total: listCounts.items }).from(listCounts).where(eq(listCounts.list, list));
}
