import { type SQL, type SQLWrapper, sql } from "drizzle-orm";

/** The versions that `If-Match` names: any, or a list of `<UUID as 32 digits>.<version>`. */
export type Precondition = "any" | readonly string[];

/**
 * Matches a row in a version that the precondition names (see `versionTag`), for the statement that
 * changes it. Every row matches without a precondition.
 */
export function inVersion(
  row: { uuid: SQLWrapper; version: SQLWrapper },
  precondition: Precondition | null,
): SQL {
  if (precondition === null || precondition === "any") return sql`true`;
  const version = sql`replace(${row.uuid}, '-', '') || '.' || ${row.version}`;
  // One parameter for all versions, since D1 allows a hundred.
  return sql`${version} in (select value from json_each(${JSON.stringify(precondition)}))`;
}
