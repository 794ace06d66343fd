/** What the tables of customers, people and API tokens have in common. */
import { eq, or, type SQL, type SQLWrapper, sql } from "drizzle-orm";
import type { Database } from "../db/client.ts";
import { customers, listCounts } from "../db/schema.ts";
import type { NamedListQuery } from "../http/list-query.ts";
import type { Reference } from "../http/reference.ts";

/** The rows, at most one, that a reference means. */
export function isReferred(
  table: { uuid: SQLWrapper; slug: SQLWrapper },
  reference: Reference,
): SQL {
  return "uuid" in reference
    ? sql`${table.uuid} = ${reference.uuid}`
    : sql`${table.slug} = ${reference.slug}`;
}

/** The id of the customer that is meant; null when there is none. */
export function customerIdOf(reference: Reference): SQL<number | null> {
  return sql`(select ${customers.id} from ${customers} where ${isReferred(customers, reference)})`;
}

/** What the filters of a list ask for; undefined when nothing. `lower` knows ASCII alone. */
export function filtered(
  { name, search }: Pick<NamedListQuery, "name" | "search">,
  columns: { name: SQLWrapper; searched: readonly SQLWrapper[] },
): SQL | undefined {
  const conditions = [
    ...(name === undefined ? [] : [sql`${columns.name} = ${name}`]),
    ...(search === undefined
      ? []
      : [
          sql`(${or(...columns.searched.map((column) => sql`instr(lower(${column}), lower(${search})) > 0`))})`,
        ]),
  ];
  return conditions.length === 0 ? undefined : sql.join(conditions, sql` and `);
}

/** How many items a list without a filter has, by its counter row. */
export function selectTotal(db: Database, list: string) {
  return db.select({ total: listCounts.items }).from(listCounts).where(eq(listCounts.list, list));
}
