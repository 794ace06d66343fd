import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { SPEC_CHECK_STATUSES } from "../../lib/enums.ts";
import { specs } from "./specs.ts";

/**
 * Standing machines that offer specs and claim the jobs created for them. Triggers maintain their counter rows
 * and `runners_search`, as for specs, and fill `task_id` from `tasks`.
 */
export const runners = sqliteTable(
  "runners",
  {
    id: integer("id").primaryKey(),
    uuid: text("uuid").notNull().unique(),
    name: text("name").notNull(),
    slug: text("slug").notNull().unique(),
    /** SHA-256 of the present key. */
    keyHash: text("key_hash").notNull(),
    createdAt: integer("created_at").notNull(),
    modifiedAt: integer("modified_at").notNull(),
    archivedAt: integer("archived_at"),
    /** Increases with every change by people; part of the entity tag. */
    version: integer("version").notNull().default(1),
    /** Time of its last request for a job, written at most once a minute; or when its socket was opened or closed. */
    lastHeartbeatAt: integer("last_heartbeat_at"),
    /**
     * The job that the runner has reserved or joined, at most one, until the job is known to be over for it. No
     * foreign key, since a job that is over may be removed.
     */
    jobId: integer("job_id"),
    /** Its task of that job, once the task's row is in D1. */
    taskId: integer("task_id"),
    claimedAt: integer("claimed_at"),
    /**
     * For a runner whose job was reserved for a gang: time of its latest claim since, ms; 0 before the first.
     * Otherwise null.
     */
    askedAt: integer("asked_at"),
    /** The lobby that holds its open socket; null without one. */
    lobbyId: integer("lobby_id"),
  },
  (table) => [
    index("runners_by_name").on(table.name, table.slug),
    // For lists of one name in the order of creation.
    index("runners_by_name_time").on(table.name, table.createdAt, table.uuid),
    index("runners_by_time").on(table.createdAt, table.uuid),
    index("runners_live_by_name").on(table.name, table.slug).where(sql`archived_at is null`),
    index("runners_live_by_name_time")
      .on(table.name, table.createdAt, table.uuid)
      .where(sql`archived_at is null`),
    index("runners_live_by_time").on(table.createdAt, table.uuid).where(sql`archived_at is null`),
    // The members of a gang.
    index("runners_of_gang").on(table.jobId).where(sql`asked_at is not null`),
  ],
);

/** The specs that a runner offers. The reference keeps a spec from being deleted. */
export const runnerSpecs = sqliteTable(
  "runner_specs",
  {
    runnerId: integer("runner_id")
      .notNull()
      .references(() => runners.id),
    specUuid: text("spec_uuid")
      .notNull()
      .references(() => specs.uuid),
    /** Its latest check against the spec, written by a trigger on `tasks`; null before the first. */
    specCheck: text("spec_check", { enum: SPEC_CHECK_STATUSES }),
    /** The task that was checked. */
    checkedTaskId: integer("checked_task_id"),
  },
  (table) => [
    primaryKey({ columns: [table.runnerId, table.specUuid] }),
    // For the deletion of a spec, and for the number of its online runners.
    index("runner_specs_by_spec").on(table.specUuid, table.runnerId),
  ],
);

/** As `specCounts`, for runners. */
export const runnerCounts = sqliteTable("runner_counts", {
  name: text("name").primaryKey(),
  live: integer("live").notNull(),
  total: integer("total").notNull(),
});
