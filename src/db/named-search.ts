/**
 * Lists of named rows that can be archived and are searched by a trigram index beside their table. A search
 * takes only the newest matches of the index, and tests each of them exactly.
 */
import { and, eq, type SQL, type SQLWrapper, sql } from "drizzle-orm";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";
import type { Database } from "./client.ts";
import { containsText, countRows, type NameFilter, unarchived, unindexed } from "./named-rows.ts";
import type { runnerCounts, specCounts } from "./schema.ts";

/** A search considers at most this many matches. */
export const MAX_SEARCH_MATCHES = 1_000;

/** Shorter patterns have no trigram for the index to find. */
export const INDEXED_SEARCH_LENGTH = 3;

/** A table, its counters, and its search index, which has the same row ids and columns `live` and `archived`. */
export interface SearchedTable {
  table: SQLiteTable & Record<"id" | "uuid" | "name" | "slug" | "archivedAt", SQLWrapper>;
  /** Name of the full-text table. */
  index: string;
  /** Rows by name; the row of the empty name counts all. */
  counts: typeof specCounts | typeof runnerCounts;
}

export interface ArchivedFilter extends NameFilter {
  /** Archived rows are listed too. */
  archived: boolean;
}

/** Matches the rows of a list. A search matches few rows, so its order must be unindexed. */
export function listedBy(searched: SearchedTable, filter: ArchivedFilter): SQL | undefined {
  const { table } = searched;
  const { archived, name, search } = filter;
  if (search === undefined) {
    return and(
      unarchived(table.archivedAt, archived),
      name === undefined ? undefined : sql`${table.name} = ${name}`,
    );
  }
  // The matches are read by their ids; through another index the database would read more rows.
  return and(
    sql`${table.id} in (${newestMatches(searched, filter, search)})`,
    matchesFilter(table, filter),
  );
}

/** Tests a list's filters on rows that are few and already selected: no index may serve them. */
export function matchesFilter(
  table: SearchedTable["table"],
  { archived, name, search }: ArchivedFilter,
): SQL | undefined {
  return and(
    search === undefined ? undefined : contains(table, search),
    unarchived(unindexed(table.archivedAt), archived),
    name === undefined ? undefined : sql`${unindexed(table.name)} = ${name}`,
  );
}

/** The total of a list: from the counters, or by counting the matches of a search. */
export function totalOf(db: Database, searched: SearchedTable, filter: ArchivedFilter) {
  const { archived, name = "", search } = filter;
  if (search !== undefined) return countRows(db, searched.table, listedBy(searched, filter));
  const { counts } = searched;
  return db
    .select({ total: sql<number>`${archived ? counts.total : counts.live}`.as("total") })
    .from(counts)
    .where(eq(counts.name, name));
}

function contains({ name, slug, uuid }: SearchedTable["table"], text: string) {
  return containsText([name, slug, uuid], text);
}

/**
 * Selects the ids of at most `MAX_SEARCH_MATCHES` rows, newest first. The index ignores the case of all scripts,
 * so some rows may not match exactly.
 */
function newestMatches(
  { table, index: indexName }: SearchedTable,
  { archived, name }: ArchivedFilter,
  text: string,
): SQL {
  // The index stores the whole name between these marks.
  const wholeName = name === undefined ? [] : [`\u0001${name}\u0002`];
  const phrases = [text, ...wholeName].filter(
    (phrase) => [...phrase].length >= INDEXED_SEARCH_LENGTH,
  );
  if (phrases.length === 0) {
    const scanned = and(unarchived(table.archivedAt, archived), contains(table, text));
    return sql`select ${table.id} from ${table} where ${scanned} order by ${table.id} desc limit ${MAX_SEARCH_MATCHES}`;
  }
  const all = phrases.map((phrase) => `"${phrase.replaceAll('"', '""')}"`).join(" AND ");
  const match = archived ? all : `live : (${all})`;
  const index = sql.identifier(indexName);
  return sql`select rowid from ${index} where ${index} match ${match} order by rowid desc limit ${MAX_SEARCH_MATCHES}`;
}
