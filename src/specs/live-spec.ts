import { and, isNull, type SQL, sql } from "drizzle-orm";
import { byReference } from "../db/named-rows.ts";
import { specs } from "../db/schema.ts";
import type { Reference } from "../lib/references.ts";

/**
 * The UUID of the live spec that a reference names, for a column that refers to specs. An unknown or archived
 * spec gives the empty text, which the foreign key refuses together with the whole batch.
 */
export function liveSpecUuid(reference: Reference): SQL<string> {
  const live = and(byReference(specs, reference), isNull(specs.archivedAt));
  return sql`coalesce((select ${specs.uuid} from ${specs} where ${live}), '')`;
}
