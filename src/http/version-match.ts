import { type SQL, type SQLWrapper, sql } from "drizzle-orm";
import type { Precondition } from "./entity-tag.ts";

/**
 * Whether a row is in a version that the precondition names, for the statement that changes it; see
 * `versionTag`. Undefined where any version will do.
 */
export function isInVersion(
  row: { uuid: SQLWrapper; version: SQLWrapper },
  precondition: Precondition | null,
): SQL | undefined {
  if (precondition === null || precondition === "any") return undefined;
  const version = sql`replace(${row.uuid}, '-', '') || '.' || ${row.version}`;
  // One parameter, however many versions are named: D1 takes a hundred at most.
  return sql`${version} in (select value from json_each(${JSON.stringify(precondition)}))`;
}
