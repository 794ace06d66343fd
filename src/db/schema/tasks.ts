/** Tasks, with the figures of their results. */
import { type SQL, sql } from "drizzle-orm";
import {
  type AnySQLiteColumn,
  index,
  integer,
  primaryKey,
  real,
  sqliteTable,
  text,
} from "drizzle-orm/sqlite-core";
import { JOB_STATES, PERFORMANCE_STATUSES, SPEC_CHECK_STATUSES } from "../../lib/enums.ts";
import type { BodySizes, ImplausibleFields } from "../../lib/stored-json.ts";
import type { SpecCheck } from "../../lib/stored-spec-check.ts";
import { packedText } from "../forms.ts";
import { hexBlob } from "../hex.ts";
import { figures, gpuGroups, steps } from "../packed.ts";
import { nodeVerdict, nodeVerdictPath } from "../packed-verdicts.ts";
import { jobs, owner } from "./jobs.ts";

const live = sql`deleted_at is null`;
const rated = sql`deleted_at is null and performance_status is not null`;
const checked = sql`deleted_at is null and spec_status is not null`;
const withFindings = sql`deleted_at is null and finding_count > 0`;

/**
 * One row per node of a job: a projection of the coordinator's facts. A job's tasks have the id range after the
 * job's own id, so the primary key finds and orders them. Owner and deletion are copied from the job, so that
 * every list of tasks has an index of its own.
 */
export const tasks = sqliteTable(
  "tasks",
  {
    id: integer("id").primaryKey(),
    jobId: integer("job_id")
      .notNull()
      .references(() => jobs.id),
    rank: integer("rank").notNull(),
    version: integer("version").notNull(),
    machineUuid: text("machine_uuid").notNull(),
    /** As its inventory says; null if it says nothing. */
    hostName: text("host_name"),
    machineIp: text("machine_ip"),
    clusterAddress: text("cluster_address"),
    gpuModel: text("gpu_model"),
    gpuCount: integer("gpu_count"),
    /** By model where there are several; null otherwise. */
    gpuModels: packedText("gpu_models", gpuGroups),
    /** Normalised names of its GPU models, for filters; null if it named none. */
    models: text("models", { mode: "json" }).$type<string[]>(),
    /** Sizes of its results and inventory, whose bytes are in the job's object, then in R2 (`db/bodies.ts`). */
    bodies: text("bodies", { mode: "json" }).$type<BodySizes>().notNull().default([]),
    /** Place of its first body in R2, bytes; null until they are there. */
    bodyOffset: integer("body_offset"),
    /** QuickMark's figures; null while it has none. */
    figures: packedText("figures", figures),
    /** Fields of its results that cannot be true; null for none. */
    implausible: text("implausible", { mode: "json" }).$type<ImplausibleFields>(),
    /** The machine beside the spec of its job; null for no spec, and without an inventory. */
    specCheck: text("spec_check", { mode: "json" }).$type<SpecCheck>(),
    specStatus: text("spec_status", { enum: SPEC_CHECK_STATUSES }).generatedAlwaysAs(
      sql`spec_check ->> '$.status'`,
      { mode: "virtual" },
    ),
    state: text("state", { enum: JOB_STATES }).notNull(),
    failedMessage: text("failed_message"),
    /** One per position of the sequence. */
    steps: packedText("steps", steps).notNull(),
    /** 0 to 1 */
    progress: real("progress").notNull().default(0),
    message: text("message"),
    /** How far the node's clock was ahead of the server's, ms, as last reported. */
    clockSkewMs: integer("clock_skew_ms"),
    createdAt: integer("created_at").notNull(),
    startedAt: integer("started_at"),
    endedAt: integer("ended_at"),
    /** Copied from the job when the row is written. */
    customerId: integer("customer_id").notNull().default(0),
    userId: integer("user_id").notNull().default(0),
    owner: owner(),
    /** Copied from the job by a trigger on `jobs`. */
    deletedAt: integer("deleted_at"),
    /** Hash of the task's newest report; null until a report is made. */
    reportHash: hexBlob("report_hash"),
    /** As in `jobs`, while the task has no report. */
    reportError: text("report_error"),
    /** Columns of the scoreboard, as in `jobs`. */
    performanceStatus: text("performance_status", { enum: PERFORMANCE_STATUSES }),
    verdict: packedText("verdict", nodeVerdict),
    findingCount: integer("finding_count"),
    /** The verdict is on a recording; null before the task is rated. */
    isReplayed: integer("is_replayed", { mode: "boolean" }).generatedAlwaysAs(
      sql.raw(
        `iif(performance_status is null, null, verdict ->> '${nodeVerdictPath.isReplayed}' is not null)`,
      ),
      { mode: "virtual" },
    ),
  },
  (table) => {
    // Job and rank break ties, as the id would: SQLite uses no row id of an index in `(created_at, …) > (?, ?)`.
    const order = [table.createdAt, table.jobId, table.rank] as const;
    /** The tasks with a value, for those who see all tasks, a customer's, or their own. */
    const forEachRole = (name: string, value: AnySQLiteColumn, where: SQL) => [
      index(`tasks_by_${name}`)
        .on(value, ...order)
        .where(where),
      index(`tasks_by_customer_${name}`)
        .on(table.customerId, value, ...order)
        .where(where),
      index(`tasks_by_owner_${name}`)
        .on(table.owner, value, ...order)
        .where(where),
    ];
    const withIp = sql`deleted_at is null and machine_ip is not null`;
    return [
      // Includes deleted tasks, for the foreign key's check when a job is removed.
      index("tasks_by_job").on(table.jobId, table.createdAt, table.rank),
      index("tasks_by_time")
        .on(...order)
        .where(live),
      index("tasks_by_customer")
        .on(table.customerId, ...order)
        .where(live),
      index("tasks_by_owner")
        .on(table.owner, ...order)
        .where(live),
      ...forEachRole("state", table.state, live),
      ...forEachRole("machine", table.machineUuid, live),
      ...forEachRole("ip", table.machineIp, withIp),
      ...forEachRole("performance", table.performanceStatus, rated),
      ...forEachRole("spec_check", table.specStatus, checked),
      index("tasks_with_findings")
        .on(...order)
        .where(withFindings),
      index("tasks_with_findings_by_customer")
        .on(table.customerId, ...order)
        .where(withFindings),
      index("tasks_with_findings_by_owner")
        .on(table.owner, ...order)
        .where(withFindings),
    ];
  },
);

/** As `jobCounts`, for tasks. */
export const taskCounts = sqliteTable(
  "task_counts",
  {
    scope: text("scope").notNull(),
    state: text("state", { enum: JOB_STATES }).notNull(),
    tasks: integer("tasks").notNull(),
  },
  (table) => [primaryKey({ columns: [table.scope, table.state] })],
);
