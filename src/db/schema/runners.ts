/** Standing machines. */
import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { specs } from "./specs.ts";

/**
 * Standing machines that offer specs and claim the jobs made for them. Beside them, kept by triggers as
 * for specs: counter rows, and `runners_search`. A trigger on `tasks` fills `task_id`.
 */
export const runners = sqliteTable(
  "runners",
  {
    id: integer("id").primaryKey(),
    uuid: text("uuid").notNull().unique(),
    name: text("name").notNull(),
    slug: text("slug").notNull().unique(),
    /** SHA-256 of the key that works now. */
    keyHash: text("key_hash").notNull(),
    createdAt: integer("created_at").notNull(),
    modifiedAt: integer("modified_at").notNull(),
    archivedAt: integer("archived_at"),
    /** Moves with every change by people: validators are made of it. */
    version: integer("version").notNull().default(1),
    /** When it last asked for a job; written at most once a minute. */
    lastHeartbeatAt: integer("last_heartbeat_at"),
    /**
     * The job that it has reserved or joined, until that is known to be over for it: a runner holds one
     * at most. No foreign key: what is over may be gone.
     */
    jobId: integer("job_id"),
    /** Its task of that job, once D1 has heard of it. */
    taskId: integer("task_id"),
    claimedAt: integer("claimed_at"),
  },
  (table) => [
    index("runners_by_name").on(table.name, table.createdAt, table.uuid),
    index("runners_by_time").on(table.createdAt, table.uuid),
    index("runners_live_by_name")
      .on(table.name, table.createdAt, table.uuid)
      .where(sql`archived_at is null`),
    index("runners_live_by_time").on(table.createdAt, table.uuid).where(sql`archived_at is null`),
  ],
);

/** Which specs a runner offers. The reference keeps a spec from being deleted. */
export const runnerSpecs = sqliteTable(
  "runner_specs",
  {
    runnerId: integer("runner_id")
      .notNull()
      .references(() => runners.id),
    specUuid: text("spec_uuid")
      .notNull()
      .references(() => specs.uuid),
  },
  (table) => [
    primaryKey({ columns: [table.runnerId, table.specUuid] }),
    // Deleting a spec looks here, and so does the catalogue for who is online.
    index("runner_specs_by_spec").on(table.specUuid, table.runnerId),
  ],
);

/** As `specCounts`, of runners. */
export const runnerCounts = sqliteTable("runner_counts", {
  name: text("name").primaryKey(),
  live: integer("live").notNull(),
  total: integer("total").notNull(),
});
