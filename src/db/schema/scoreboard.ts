/** Figures of machines, baselines to compare them with, and the progress of rating. */
import { sql } from "drizzle-orm";
import { index, integer, primaryKey, real, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { RATED_METRICS } from "../../lib/enums.ts";
import { packedText } from "../forms.ts";
import { fleets, methods, parts } from "../packed.ts";

type FourNumbers = readonly [low: number, first: number, third: number, high: number];

/** Withheld figures have no row in the index: they never stand between a machine's figures and those before. */
export const comparable = sql`coalesce(bf16_tflops, memory_bandwidth_gbs, parts) is not null`;

/**
 * One row per completed QuickMark result of a settled job: its rated figures, and what they are compared with, stored to
 * rate it again when a value is pinned or the rules change. Triggers remove the row with its task, and when its job is deleted.
 */
export const taskFigures = sqliteTable(
  "task_figures",
  {
    taskId: integer("task_id").primaryKey(),
    /** The job's owner: a machine is compared with its past within one person's jobs of one customer. */
    userId: integer("user_id").notNull(),
    /** The job's customer, whatever customer its owner belongs to later. */
    customerId: integer("customer_id").notNull(),
    machineUuid: text("machine_uuid").notNull(),
    /** Normalised; empty for an unnamed model; of a node with several models all of them, separated by bars. */
    model: text("model").notNull(),
    /** The end of the job. */
    at: integer("at").notNull(),
    /** Per GPU; null where it is implausible, or withheld (`benchmarks/measurement.ts`). */
    bf16Tflops: real("bf16_tflops"),
    /** The same. */
    memoryBandwidthGbs: real("memory_bandwidth_gbs"),
    /** As known when the job was first rated: later figures of others never change its verdict. */
    fleets: packedText("fleets", fleets).notNull(),
    /** The figures of each model in place of the ones above, where they count in no fleet: of several models, of slices. */
    parts: packedText("parts", parts),
    /** Methods of the two figures, with which only figures of the same are compared; null for QuickMark's own. */
    methods: packedText("methods", methods),
    /** Classes of the two figures; null for that of QuickMark, `replayed` for recordings, which no fleet counts. */
    bf16Class: text("bf16_class"),
    memoryClass: text("memory_class"),
    /** Version of the baselines that it was last rated by. */
    ratedVersion: integer("rated_version").notNull(),
  },
  (table) => [
    index("task_figures_by_machine")
      .on(table.userId, table.customerId, table.machineUuid, table.model, table.at, table.taskId)
      .where(comparable),
    index("task_figures_by_version").on(table.model, table.ratedVersion),
  ],
);

/**
 * The latest figures of each customer's machines, per GPU and class of methods: the input of a fleet's median. A machine
 * counts once for each customer, since its UUID is only what an agent reports. QuickMark's own figures share a row;
 * other methods each have a class of their own.
 */
export const machineFigures = sqliteTable(
  "machine_figures",
  {
    model: text("model").notNull(),
    customerId: integer("customer_id").notNull(),
    machineUuid: text("machine_uuid").notNull(),
    class: text("class").notNull(),
    at: integer("at").notNull(),
    taskId: integer("task_id").notNull(),
    bf16Tflops: real("bf16_tflops"),
    memoryBandwidthGbs: real("memory_bandwidth_gbs"),
  },
  (table) => [
    primaryKey({ columns: [table.model, table.customerId, table.machineUuid, table.class] }),
    index("machine_figures_by_time").on(
      table.model,
      table.customerId,
      table.class,
      table.at,
      table.bf16Tflops,
      table.memoryBandwidthGbs,
    ),
  ],
);

/** A customer's machines of a model by class of methods, and their medians. Triggers count machines and changes; cron computes the rest. */
export const customerFleets = sqliteTable(
  "customer_fleets",
  {
    model: text("model").notNull(),
    customerId: integer("customer_id").notNull(),
    class: text("class").notNull(),
    machines: integer("machines").notNull().default(0),
    /** Increases with every figure of a machine. */
    changes: integer("changes").notNull().default(0),
    /** `changes` when the medians were last computed. */
    computedChanges: integer("computed_changes").notNull().default(0),
    computedAt: integer("computed_at").notNull().default(0),
    bf16Median: real("bf16_median"),
    /** Machines with a plausible figure, as for memory. */
    bf16Machines: integer("bf16_machines").notNull().default(0),
    memoryMedian: real("memory_median"),
    memoryMachines: integer("memory_machines").notNull().default(0),
    /** The smallest figure, the quartiles, and the largest. */
    bf16Spread: text("bf16_spread", { mode: "json" }).$type<FourNumbers>(),
    memorySpread: text("memory_spread", { mode: "json" }).$type<FourNumbers>(),
  },
  (table) => [
    primaryKey({ columns: [table.model, table.customerId, table.class] }),
    index("customer_fleets_with_news")
      .on(table.computedAt)
      .where(sql`changes <> computed_changes and machines >= 3`),
  ],
);

/** Measured or pinned GPU models: finds the jobs to rate again. */
export const gpuModels = sqliteTable(
  "gpu_models",
  {
    model: text("model").primaryKey(),
    /** Jobs rated by an older version of baselines have to be rated again. */
    version: integer("version").notNull().default(0),
    /** True while there may be such jobs. */
    isStale: integer("is_stale", { mode: "boolean" }).notNull().default(false),
  },
  (table) => [index("gpu_models_stale").on(table.model).where(sql`is_stale = 1`)],
);

/** Baselines of a model's metric by class of methods, besides those that the project ships. */
export const baselines = sqliteTable(
  "baselines",
  {
    model: text("model").notNull(),
    metric: text("metric", { enum: RATED_METRICS }).notNull(),
    class: text("class").notNull(),
    /** Increases with every change of the row; unique over all baselines. */
    version: integer("version").notNull(),
    /** The median of customers' medians; null for fewer than 3 customers with 5 machines each. */
    fleetMedian: real("fleet_median"),
    fleetMachines: integer("fleet_machines"),
    fleetAt: integer("fleet_at"),
    fleetCustomers: integer("fleet_customers"),
    /** Of customers' medians: the smallest, the quartiles, and the largest. */
    fleetSpread: text("fleet_spread", { mode: "json" }).$type<FourNumbers>(),
    pinnedValue: real("pinned_value"),
    pinnedAt: integer("pinned_at"),
    /** UUID of the administrator. */
    pinnedBy: text("pinned_by"),
  },
  (table) => [primaryKey({ columns: [table.model, table.metric, table.class] })],
);

/** A single row: the newest version of baselines, and the present rules (thresholds, shipped figures). */
export const scoreboard = sqliteTable("scoreboard", {
  id: integer("id").primaryKey(),
  version: integer("version").notNull(),
  rules: text("rules").notNull(),
});
