/** How `search` finds specs: the newest matches by the trigram index, each then looked at. */
import { and, eq, isNull, or, type SQL, sql } from "drizzle-orm";
import { specs } from "../db/schema.ts";
import { INDEXED_SEARCH_LENGTH, MAX_SEARCH_MATCHES } from "../http/list-query.ts";

export interface SpecFilter {
  /** Whether archived specs are listed, too. */
  archived: boolean;
  name?: string | undefined;
  search?: string | undefined;
}

/**
 * The rows that a search finds. They are few, and read by their ids: no other index may tempt the
 * database to read more, so all other conditions and the order are to be `unindexed`.
 */
export function foundBy(filter: SpecFilter, text: string): SQL | undefined {
  const { archived, name } = filter;
  return and(
    sql`${specs.id} in (${newestMatches(filter, text)})`,
    contains(text),
    archived ? undefined : isNull(unindexed(sql`${specs.archivedAt}`)),
    name === undefined ? undefined : eq(unindexed(sql`${specs.name}`), name),
  );
}

/** An expression with the same value that no index serves. */
export function unindexed(expression: SQL): SQL {
  return sql`+${expression}`;
}

/** Exactly what a search asks for: a literal part of name, slug or UUID; `lower` knows ASCII alone. */
function contains(text: string): SQL | undefined {
  const within = (column: typeof specs.name | typeof specs.slug | typeof specs.uuid) =>
    sql`instr(lower(${column}), lower(${text})) > 0`;
  return or(within(specs.name), within(specs.slug), within(specs.uuid));
}

/**
 * The ids of at most `MAX_SEARCH_MATCHES` specs, newest first. The index folds the case of all scripts,
 * so there may be some among them that do not match exactly.
 */
function newestMatches({ archived, name }: SpecFilter, text: string): SQL {
  // As `specs_search` holds it: between the marks there is nothing but the name.
  const wholeName = name === undefined ? [] : [`\u0001${name}\u0002`];
  const phrases = [text, ...wholeName].filter(
    (phrase) => [...phrase].length >= INDEXED_SEARCH_LENGTH,
  );
  if (phrases.length === 0) {
    const scanned = and(archived ? undefined : isNull(specs.archivedAt), contains(text));
    return sql`select ${specs.id} from ${specs} where ${scanned} order by ${specs.id} desc limit ${MAX_SEARCH_MATCHES}`;
  }
  const all = phrases.map((phrase) => `"${phrase.replaceAll('"', '""')}"`).join(" AND ");
  const match = archived ? all : `live : (${all})`;
  return sql`select rowid from specs_search where specs_search match ${match} order by rowid desc limit ${MAX_SEARCH_MATCHES}`;
}
