/** Hardware specs. */
import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/**
 * Hardware specs: shapes of machines. Beside them, kept by triggers: counter rows (below) and
 * `specs_search`, a full-text index of trigrams that drizzle cannot express. Its row ids are the ids
 * here; its columns `live` and `archived` hold the text of a spec, whichever it is, and the other null.
 */
export const specs = sqliteTable(
  "specs",
  {
    id: integer("id").primaryKey(),
    uuid: text("uuid").notNull().unique(),
    name: text("name").notNull(),
    slug: text("slug").notNull().unique(),
    os: text("os").notNull(),
    architecture: text("architecture").notNull(),
    cpu: integer("cpu").notNull(),
    /** bytes */
    memory: integer("memory").notNull(),
    /** bytes */
    disk: integer("disk").notNull(),
    network: integer("network", { mode: "boolean" }).notNull(),
    createdAt: integer("created_at").notNull(),
    modifiedAt: integer("modified_at").notNull(),
    archivedAt: integer("archived_at"),
    /** Moves with every change: validators are made of it. */
    version: integer("version").notNull().default(1),
  },
  (table) => [
    // The last tie-break is the UUID and not the id: SQLite compares no row id within
    // `(created_at, …) > (?, ?)`, so a cursor would read all specs of one time.
    index("specs_by_name").on(table.name, table.createdAt, table.uuid),
    index("specs_by_time").on(table.createdAt, table.uuid),
    index("specs_live_by_name")
      .on(table.name, table.createdAt, table.uuid)
      .where(sql`archived_at is null`),
    index("specs_live_by_time").on(table.createdAt, table.uuid).where(sql`archived_at is null`),
  ],
);

/**
 * How many specs there are, in all (name `''`, which no spec has) and of each name, kept by triggers on
 * `specs`: a total costs one row at any size.
 */
export const specCounts = sqliteTable("spec_counts", {
  name: text("name").primaryKey(),
  live: integer("live").notNull(),
  total: integer("total").notNull(),
});
