import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { ARCHITECTURES, OPERATING_SYSTEMS } from "../../lib/enums.ts";

/**
 * Hardware specs: shapes of machines. Triggers maintain their counter rows (below) and `specs_search`, a
 * full-text index of trigrams, which drizzle cannot express. The index has the row ids of the specs; the text of
 * a spec is in its column `live` or `archived`, and the other column is null.
 */
export const specs = sqliteTable(
  "specs",
  {
    id: integer("id").primaryKey(),
    uuid: text("uuid").notNull().unique(),
    name: text("name").notNull(),
    slug: text("slug").notNull().unique(),
    os: text("os", { enum: OPERATING_SYSTEMS }).notNull(),
    architecture: text("architecture", { enum: ARCHITECTURES }).notNull(),
    cpu: integer("cpu").notNull(),
    /** bytes */
    memory: integer("memory").notNull(),
    /** bytes */
    disk: integer("disk").notNull(),
    network: integer("network", { mode: "boolean" }).notNull(),
    createdAt: integer("created_at").notNull(),
    modifiedAt: integer("modified_at").notNull(),
    archivedAt: integer("archived_at"),
    /** Increases with every change; part of the entity tag. */
    version: integer("version").notNull().default(1),
  },
  (table) => [
    // The UUID breaks ties, not the id: SQLite uses no row id of an index in `(created_at, …) > (?, ?)`, so a
    // cursor would read all specs of one time.
    index("specs_by_name").on(table.name, table.slug),
    // For lists of one name in the order of creation.
    index("specs_by_name_time").on(table.name, table.createdAt, table.uuid),
    index("specs_by_time").on(table.createdAt, table.uuid),
    index("specs_live_by_name").on(table.name, table.slug).where(sql`archived_at is null`),
    index("specs_live_by_name_time")
      .on(table.name, table.createdAt, table.uuid)
      .where(sql`archived_at is null`),
    index("specs_live_by_time").on(table.createdAt, table.uuid).where(sql`archived_at is null`),
  ],
);

/**
 * Numbers of specs by name, and of all specs under the name `''`, which no spec has. Triggers on `specs` maintain
 * them: a total costs one row at any size.
 */
export const specCounts = sqliteTable("spec_counts", {
  name: text("name").primaryKey(),
  live: integer("live").notNull(),
  total: integer("total").notNull(),
});
