import { and, eq, isNull, type SQL, sql } from "drizzle-orm";
import { specs } from "../db/schema.ts";
import type { Reference } from "../http/reference.ts";

/** The rows, at most one, that a reference means. */
export function isReferred(reference: Reference): SQL {
  return "uuid" in reference ? eq(specs.uuid, reference.uuid) : eq(specs.slug, reference.slug);
}

/**
 * For a column that refers to a spec: the UUID of the live spec that is meant. Of one that is unknown or
 * archived it makes the empty text, which no spec has: the foreign key then refuses the statement and the
 * whole batch with it, so that nobody has to look first.
 */
export function liveSpecUuid(reference: Reference): SQL<string> {
  const live = and(isReferred(reference), isNull(specs.archivedAt));
  return sql`coalesce((select ${specs.uuid} from ${specs} where ${live}), '')`;
}
