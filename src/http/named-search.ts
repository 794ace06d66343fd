/**
 * How `search` finds things that have a name, a slug and a UUID: the newest matches by the trigram index
 * beside their table, each then looked at.
 */
import { and, eq, isNull, or, type SQL, type SQLWrapper, sql } from "drizzle-orm";
import { INDEXED_SEARCH_LENGTH, MAX_SEARCH_MATCHES } from "./list-query.ts";

/** A table whose search index has the row ids of it and the columns `live` and `archived`. */
export interface SearchedTable {
  table: SQLWrapper;
  id: SQLWrapper;
  uuid: SQLWrapper;
  name: SQLWrapper;
  slug: SQLWrapper;
  archivedAt: SQLWrapper;
  /** Name of the full-text table. */
  index: string;
}

export interface NamedFilter {
  /** Whether archived ones are listed, too. */
  archived: boolean;
  name?: string | undefined;
  search?: string | undefined;
}

/**
 * The rows that a search finds. They are few, and read by their ids: no other index may tempt the
 * database to read more, so all other conditions and the order are to be `unindexed`.
 */
export function foundBy(
  searched: SearchedTable,
  filter: NamedFilter,
  text: string,
): SQL | undefined {
  const { archived, name } = filter;
  return and(
    sql`${searched.id} in (${newestMatches(searched, filter, text)})`,
    contains(searched, text),
    archived ? undefined : isNull(unindexed(searched.archivedAt)),
    name === undefined ? undefined : eq(unindexed(searched.name), name),
  );
}

/** An expression with the same value that no index serves. */
export function unindexed(expression: SQLWrapper): SQL {
  return sql`+${expression}`;
}

/** Exactly what a search asks for: a literal part of name, slug or UUID; `lower` knows ASCII alone. */
export function contains(
  columns: Pick<SearchedTable, "name" | "slug" | "uuid">,
  text: string,
): SQL | undefined {
  const within = (column: SQLWrapper) => sql`instr(lower(${column}), lower(${text})) > 0`;
  return or(within(columns.name), within(columns.slug), within(columns.uuid));
}

/**
 * The ids of at most `MAX_SEARCH_MATCHES` rows, newest first. The index folds the case of all scripts,
 * so there may be some among them that do not match exactly.
 */
function newestMatches(
  searched: SearchedTable,
  { archived, name }: NamedFilter,
  text: string,
): SQL {
  // As the index holds it: between the marks there is nothing but the name.
  const wholeName = name === undefined ? [] : [`\u0001${name}\u0002`];
  const phrases = [text, ...wholeName].filter(
    (phrase) => [...phrase].length >= INDEXED_SEARCH_LENGTH,
  );
  if (phrases.length === 0) {
    const { table, id, archivedAt } = searched;
    const scanned = and(archived ? undefined : isNull(archivedAt), contains(searched, text));
    return sql`select ${id} from ${table} where ${scanned} order by ${id} desc limit ${MAX_SEARCH_MATCHES}`;
  }
  const all = phrases.map((phrase) => `"${phrase.replaceAll('"', '""')}"`).join(" AND ");
  const match = archived ? all : `live : (${all})`;
  const index = sql.identifier(searched.index);
  return sql`select rowid from ${index} where ${index} match ${match} order by rowid desc limit ${MAX_SEARCH_MATCHES}`;
}
