/** Jobs and what their coordinators tell D1 of them. */
import { sql } from "drizzle-orm";
import {
  index,
  integer,
  primaryKey,
  real,
  sqliteTable,
  text,
  uniqueIndex,
} from "drizzle-orm/sqlite-core";
import { customers, users } from "./identity.ts";
import { specs } from "./specs.ts";

const live = sql`deleted_at is null`;
const rated = sql`deleted_at is null and performance_status is not null`;

/**
 * One row per job. Columns up to `expires_at` are D1's own facts, written once at creation. From
 * `state` on they are the projection of the job's coordinator, once `coordinated` is 1 (design §3).
 */
export const jobs = sqliteTable(
  "jobs",
  {
    id: integer("id").primaryKey(),
    customerId: integer("customer_id")
      .notNull()
      .references(() => customers.id),
    userId: integer("user_id")
      .notNull()
      .references(() => users.id),
    name: text("name").notNull(),
    description: text("description"),
    nodeCount: integer("node_count").notNull(),
    /** JSON: `[{benchmark_id, config}]` in the order they run. */
    sequence: text("sequence").notNull(),
    /** JSON: array of strings. */
    tags: text("tags").notNull(),
    /** Which token secret signs this job's token: the token itself is derived, never stored. */
    tokenKeyId: text("token_key_id").notNull(),
    /** The time in the job's id (`jobCreatedAt`), so that both order alike. */
    createdAt: integer("created_at").notNull(),
    expiresAt: integer("expires_at").notNull(),
    deletedAt: integer("deleted_at"),
    /** 1 once the job's coordinator has taken it over: from then on only it changes the columns below. */
    coordinated: integer("coordinated", { mode: "boolean" }).notNull().default(false),
    version: integer("version").notNull().default(0),
    state: text("state").notNull(),
    currentNodes: integer("current_nodes").notNull().default(0),
    startedAt: integer("started_at"),
    endedAt: integer("ended_at"),
    /** Times to sort by: one that is not known yet is the smallest. */
    startedOrder: integer("started_order").generatedAlwaysAs(sql`coalesce(started_at, 0)`, {
      mode: "virtual",
    }),
    endedOrder: integer("ended_order").generatedAlwaysAs(sql`coalesce(ended_at, 0)`, {
      mode: "virtual",
    }),
    /** JSON: `StepRecord[]`, one per position of the sequence. */
    steps: text("steps").notNull().default("[]"),
    /** JSON: `JobEvent[]`, oldest first. */
    events: text("events").notNull().default("[]"),
    /** When the row was last written: cron looks for live jobs that fell silent. */
    flushedAt: integer("flushed_at").notNull(),
    /**
     * The hardware spec that the job was made for: D1's own fact, never changed, also of deleted jobs.
     * The reference keeps the spec from being deleted.
     */
    specUuid: text("spec_uuid").references(() => specs.uuid),
    /** Where the job was created, such as `https://assay.example`: its reports name it. */
    origin: text("origin"),
    /** Which of `reports` is the job's newest; null until one is made. */
    reportHash: text("report_hash"),
    /**
     * When cron next looks at the job: at its expiry while D1 owns it, then whenever its row has not been
     * written for a while; null once it has ended. 0 of rows that an older version of the server wrote.
     */
    checkAt: integer("check_at").default(0),
    /** When the results moved to R2; null while D1 holds them. */
    archivedAt: integer("archived_at"),
    // The scoreboard's columns: written after the job has settled, and again when a baseline changes.
    /** How it came out; null until it is rated, and where nothing was measured. */
    performanceStatus: text("performance_status"),
    /** JSON: `JobVerdict` without its nodes. */
    verdict: text("verdict"),
    baselineVersion: integer("baseline_version"),
    ratedAt: integer("rated_at"),
  },
  (table) => [
    uniqueIndex("jobs_live_name").on(table.customerId, table.name).where(live),
    // Lists, newest first: ids rise with time, and every index ends in the row id, which is the job's id.
    index("jobs_live").on(table.id).where(live),
    index("jobs_by_customer").on(table.customerId).where(live),
    index("jobs_by_user").on(table.userId).where(live),
    index("jobs_by_state").on(table.state).where(live),
    index("jobs_by_customer_state").on(table.customerId, table.state).where(live),
    index("jobs_by_user_state").on(table.userId, table.state).where(live),
    // Other orders, for customers alone; names have theirs in `jobs_live_name`.
    index("jobs_ordered_by_state").on(table.customerId, table.state, table.createdAt).where(live),
    index("jobs_ordered_by_start")
      .on(table.customerId, table.startedOrder, table.createdAt)
      .where(live),
    index("jobs_ordered_by_end")
      .on(table.customerId, table.endedOrder, table.createdAt)
      .where(live),
    index("jobs_ordered_by_size")
      .on(table.customerId, table.nodeCount, table.createdAt)
      .where(live),
    index("jobs_ordered_by_nodes")
      .on(table.customerId, table.currentNodes, table.createdAt)
      .where(live),
    // Deleting a spec looks here for a job that refers to it.
    index("jobs_by_spec").on(table.specUuid).where(sql`spec_uuid is not null`),
    // Deleted, with reports that cron has still to remove.
    index("jobs_to_clear")
      .on(table.deletedAt)
      .where(sql`deleted_at is not null and report_hash is not null`),
    // Settled, and not reported yet: what cron looks for should the job's object have failed to.
    index("jobs_to_report")
      .on(table.endedAt)
      .where(
        sql`ended_at is not null and report_hash is null and user_id <> 0 and deleted_at is null`,
      ),
    // What runners that offer a spec can still join, oldest first.
    index("jobs_open_by_spec")
      .on(table.specUuid, table.createdAt, table.id)
      .where(
        sql`spec_uuid is not null and deleted_at is null and state in ('created', 'starting')`,
      ),
    // What cron has to look at, the longest due first: of D1's own jobs, and of those with an object.
    index("jobs_to_check")
      .on(table.coordinated, table.checkAt, table.id)
      .where(sql`check_at is not null`),
    // Whose results D1 still holds, the first to end first.
    index("jobs_to_archive")
      .on(table.endedAt, table.id)
      .where(sql`archived_at is null and ended_at is not null`),
    index("jobs_rated").on(table.id).where(rated),
    index("jobs_rated_by_customer").on(table.customerId).where(rated),
    index("jobs_rated_by_user").on(table.userId).where(rated),
    // Settled, and not rated yet: what cron looks for should its object have failed to.
    index("jobs_to_rate")
      .on(table.endedAt)
      .where(
        sql`ended_at is not null and rated_at is null and current_nodes > 0 and deleted_at is null`,
      ),
  ],
);

/**
 * Jobs not deleted, per scope and state, kept by triggers on `jobs`: a total costs seven rows at any
 * size. Scope is `all`, `customer:<id>` or `user:<id>`.
 */
export const jobCounts = sqliteTable(
  "job_counts",
  {
    scope: text("scope").notNull(),
    state: text("state").notNull(),
    jobs: integer("jobs").notNull(),
  },
  (table) => [primaryKey({ columns: [table.scope, table.state] })],
);

/** Jobs not deleted, per scope, state and how they came out, kept by triggers on `jobs`. As `jobCounts`. */
export const performanceCounts = sqliteTable(
  "performance_counts",
  {
    scope: text("scope").notNull(),
    state: text("state").notNull(),
    status: text("status").notNull(),
    jobs: integer("jobs").notNull(),
  },
  (table) => [primaryKey({ columns: [table.scope, table.state, table.status] })],
);

/**
 * One row per tag of a job that is not deleted, kept by triggers on `jobs`: which tags there are, and which
 * jobs have one, newest first, for every scope. Without a key of its own: four rows are written per tag.
 */
export const jobTags = sqliteTable(
  "job_tags",
  {
    jobId: integer("job_id").notNull(),
    tag: text("tag").notNull(),
    customerId: integer("customer_id").notNull(),
    userId: integer("user_id").notNull(),
    createdAt: integer("created_at").notNull(),
  },
  (table) => {
    const jobsOfTag = [table.tag, table.createdAt, table.jobId] as const;
    return [
      index("job_tags_by_tag").on(...jobsOfTag),
      index("job_tags_by_customer").on(table.customerId, ...jobsOfTag),
      index("job_tags_by_user").on(table.userId, ...jobsOfTag),
    ];
  },
);

/**
 * One row per node of a job: the projection of what the coordinator knows of it. A job's tasks are the
 * id range after the job's own id, so the primary key finds and orders them. Whose they are, and whether
 * they are deleted, is as of their job: copied, so that every list of tasks has an index of its own.
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
    machineIp: text("machine_ip"),
    clusterAddress: text("cluster_address"),
    gpuModel: text("gpu_model"),
    gpuCount: integer("gpu_count"),
    /** JSON, as the agent sent it. */
    inventory: text("inventory"),
    state: text("state").notNull(),
    failedMessage: text("failed_message"),
    /** JSON: `Step[]`, one per position of the sequence. */
    steps: text("steps").notNull(),
    /** 0 to 1 */
    progress: real("progress").notNull().default(0),
    message: text("message"),
    createdAt: integer("created_at").notNull(),
    startedAt: integer("started_at"),
    endedAt: integer("ended_at"),
    /** The job's, copied by whoever writes the row. */
    customerId: integer("customer_id").notNull().default(0),
    userId: integer("user_id").notNull().default(0),
    /** The job's; a trigger on `jobs` keeps it. */
    deletedAt: integer("deleted_at"),
    /** Which of `reports` is the task's newest; null until one is made. */
    reportHash: text("report_hash"),
    /** The scoreboard's, as those of the job. */
    performanceStatus: text("performance_status"),
    /** JSON: `NodeVerdict`. */
    verdict: text("verdict"),
  },
  (table) => {
    // Job and rank break ties as the id does, which SQLite compares in no `(created_at, …) > (?, ?)`.
    const order = [table.createdAt, table.jobId, table.rank] as const;
    const withIp = sql`deleted_at is null and machine_ip is not null`;
    return [
      // Of deleted jobs, too: the foreign key looks here when a job is removed for good.
      index("tasks_by_job").on(table.jobId, table.createdAt, table.rank),
      index("tasks_by_time")
        .on(...order)
        .where(live),
      index("tasks_by_customer")
        .on(table.customerId, ...order)
        .where(live),
      index("tasks_by_user")
        .on(table.userId, ...order)
        .where(live),
      index("tasks_by_state")
        .on(table.state, ...order)
        .where(live),
      index("tasks_by_customer_state")
        .on(table.customerId, table.state, ...order)
        .where(live),
      index("tasks_by_user_state")
        .on(table.userId, table.state, ...order)
        .where(live),
      index("tasks_by_machine")
        .on(table.machineUuid, ...order)
        .where(live),
      index("tasks_by_customer_machine")
        .on(table.customerId, table.machineUuid, ...order)
        .where(live),
      index("tasks_by_user_machine")
        .on(table.userId, table.machineUuid, ...order)
        .where(live),
      index("tasks_by_ip")
        .on(table.machineIp, ...order)
        .where(withIp),
      index("tasks_by_customer_ip")
        .on(table.customerId, table.machineIp, ...order)
        .where(withIp),
      index("tasks_by_user_ip")
        .on(table.userId, table.machineIp, ...order)
        .where(withIp),
      index("tasks_by_performance")
        .on(table.performanceStatus, ...order)
        .where(rated),
      index("tasks_by_customer_performance")
        .on(table.customerId, table.performanceStatus, ...order)
        .where(rated),
      index("tasks_by_user_performance")
        .on(table.userId, table.performanceStatus, ...order)
        .where(rated),
    ];
  },
);

/** As `jobCounts`, of tasks. */
export const taskCounts = sqliteTable(
  "task_counts",
  {
    scope: text("scope").notNull(),
    state: text("state").notNull(),
    tasks: integer("tasks").notNull(),
  },
  (table) => [primaryKey({ columns: [table.scope, table.state] })],
);

/** What a node measured in one step. Written once: a slot never changes, but for where its JSON is. */
export const taskResults = sqliteTable(
  "task_results",
  {
    taskId: integer("task_id").notNull(),
    position: integer("position").notNull(),
    /** JSON, normalised by the benchmark's schema; empty once it has moved to R2. */
    results: text("results").notNull(),
    /** Where in the job's object in R2 the JSON is, in bytes; null while it is here. */
    archiveOffset: integer("archive_offset"),
    archiveBytes: integer("archive_bytes"),
  },
  (table) => [primaryKey({ columns: [table.taskId, table.position] })],
);
