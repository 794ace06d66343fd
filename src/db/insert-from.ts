import { Column, getTableColumns, is, type Placeholder, SQL, sql } from "drizzle-orm";
import type { SQLiteTable } from "drizzle-orm/sqlite-core";
import type { Database } from "./client.ts";

type ValuesOf<Table extends SQLiteTable> = {
  [Name in keyof Table["$inferInsert"]]: Table["$inferInsert"][Name] | SQL | Column | Placeholder;
};

/**
 * `insert into … select … from …`: inserts a row for each row of `from`, with values by column. Columns left
 * out get their default.
 *
 * @param from `from … where …`, or `where …` alone; values may use its columns
 */
export function insertFrom<Table extends SQLiteTable>(
  db: Database,
  table: Table,
  values: ValuesOf<Table>,
  from: SQL,
) {
  const byName = new Map<string, unknown>(Object.entries(values));
  const columns = Object.entries(getTableColumns(table));
  const written = columns.filter(([, { generated }]) => generated === undefined);
  const selected = written.map(([name, column]) => {
    const value = byName.get(name) ?? column.default ?? null;
    return is(value, SQL) || is(value, Column) ? sql`${value}` : sql`${sql.param(value, column)}`;
  });
  return db.insert(table).select(sql`select ${sql.join(selected, sql`, `)} ${from}`);
}
