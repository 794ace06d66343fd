/** Machines as their jobs have shown them. */
import { integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";
import { PERFORMANCE_STATUSES, SPEC_CHECK_STATUSES } from "../../lib/enums.ts";
import { packedText } from "../forms.ts";
import { gpuGroups } from "../packed.ts";

/**
 * A row for each machine and scope that sees it, as `counterKey` names scopes: its UUID is only what an agent reports, so
 * that nobody learns what the jobs of others say of the same one. Triggers on `tasks` and `jobs` write the rows and the
 * full-text index of their terms (`machines_indexed`).
 */
export const machines = sqliteTable(
  "machines",
  {
    /** Rises with `last_seen_at`: 4,096 numbers for each millisecond since 2024. Changes when the machine is seen again. */
    id: integer("id").primaryKey(),
    scope: text("scope").notNull(),
    machineUuid: text("machine_uuid").notNull(),
    /** Jobs not deleted that it has joined. */
    jobs: integer("jobs").notNull(),
    lastTaskId: integer("last_task_id").notNull(),
    lastJobId: integer("last_job_id").notNull(),
    lastSeenAt: integer("last_seen_at").notNull(),
    // Of its newest task that says so, among the last 10.
    hostName: text("host_name"),
    gpuModels: packedText("gpu_models", gpuGroups),
    provider: text("provider"),
    region: text("region"),
    status: text("status", { enum: PERFORMANCE_STATUSES }),
    findingCount: integer("finding_count"),
    /** Of the task that has the status: its figures are a recording. */
    isReplayed: integer("is_replayed", { mode: "boolean" }),
    specCheck: text("spec_check", { enum: SPEC_CHECK_STATUSES }),
    /** The terms of its lists as a JSON array, each of them with a counter row. */
    labels: text("labels").notNull(),
  },
  (table) => [uniqueIndex("machines_by_uuid").on(table.scope, table.machineUuid)],
);

/** Numbers of machines by the term of a list, maintained by triggers on `machines`. */
export const machineCounts = sqliteTable("machine_counts", {
  label: text("label").primaryKey(),
  machines: integer("machines").notNull(),
});
