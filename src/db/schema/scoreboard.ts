/** What machines have measured, what they are compared with, and which jobs came out how. */
import { sql } from "drizzle-orm";
import { index, integer, primaryKey, real, sqliteTable, text } from "drizzle-orm/sqlite-core";

/**
 * One row per completed QuickMark result of a settled job: what rating needs of it, kept so that a changed
 * baseline can rate it again. Triggers drop it with its task, and when its job is deleted.
 */
export const taskFigures = sqliteTable(
  "task_figures",
  {
    taskId: integer("task_id").primaryKey(),
    /** The job's owner: a machine is compared with its own past within what one person sees. */
    userId: integer("user_id").notNull(),
    machineUuid: text("machine_uuid").notNull(),
    /** Normalised; empty for an unnamed one. */
    model: text("model").notNull(),
    /** When the job ended. */
    at: integer("at").notNull(),
    /** Per GPU; null where it cannot be true. */
    bf16Tflops: real("bf16_tflops"),
    /** Per GPU; null where it cannot be true. */
    memoryBandwidthGbs: real("memory_bandwidth_gbs"),
    /** JSON: `NodeFigures`. */
    figures: text("figures").notNull(),
    /** Which baselines it was last rated by. */
    ratedVersion: integer("rated_version").notNull(),
  },
  (table) => [
    index("task_figures_by_machine").on(
      ...[table.userId, table.machineUuid, table.model, table.at, table.taskId],
    ),
    index("task_figures_by_version").on(table.model, table.ratedVersion),
  ],
);

/** The latest figures of each machine and model, per GPU: what a fleet's median is made of. */
export const machineFigures = sqliteTable(
  "machine_figures",
  {
    model: text("model").notNull(),
    machineUuid: text("machine_uuid").notNull(),
    at: integer("at").notNull(),
    taskId: integer("task_id").notNull(),
    bf16Tflops: real("bf16_tflops"),
    memoryBandwidthGbs: real("memory_bandwidth_gbs"),
  },
  (table) => [
    primaryKey({ columns: [table.model, table.machineUuid] }),
    index("machine_figures_by_time").on(
      ...[table.model, table.at, table.machineUuid, table.bf16Tflops, table.memoryBandwidthGbs],
    ),
  ],
);

/** GPU models that were measured, kept by triggers: which fleets have news, and which jobs to rate again. */
export const gpuModels = sqliteTable(
  "gpu_models",
  {
    model: text("model").primaryKey(),
    machines: integer("machines").notNull().default(0),
    /** Moves with every figure of a machine. */
    changes: integer("changes").notNull().default(0),
    /** `changes` when the fleet's median was last computed. */
    computedChanges: integer("computed_changes").notNull().default(0),
    computedAt: integer("computed_at").notNull().default(0),
    /** Jobs rated by older baselines than these are to be rated again. */
    version: integer("version").notNull().default(0),
    /** Whether there may be such jobs. */
    isStale: integer("is_stale", { mode: "boolean" }).notNull().default(false),
  },
  (table) => [
    index("gpu_models_with_news").on(table.machines).where(sql`changes <> computed_changes`),
    index("gpu_models_stale").on(table.model).where(sql`is_stale = 1`),
  ],
);

/** What a model's metric is compared with, besides what the project ships. */
export const baselines = sqliteTable(
  "baselines",
  {
    model: text("model").notNull(),
    metric: text("metric").notNull(),
    /** Moves with every change of the row; unique over all baselines. */
    version: integer("version").notNull(),
    fleetMedian: real("fleet_median"),
    fleetLowerQuartile: real("fleet_lower_quartile"),
    fleetUpperQuartile: real("fleet_upper_quartile"),
    fleetMachines: integer("fleet_machines"),
    fleetAt: integer("fleet_at"),
    pinnedValue: real("pinned_value"),
    pinnedAt: integer("pinned_at"),
    /** UUID of the administrator. */
    pinnedBy: text("pinned_by"),
  },
  (table) => [primaryKey({ columns: [table.model, table.metric] })],
);

/** One row: the newest version of baselines, and the rules (thresholds, shipped figures) that hold. */
export const scoreboard = sqliteTable("scoreboard", {
  id: integer("id").primaryKey(),
  version: integer("version").notNull(),
  rules: text("rules").notNull(),
});
