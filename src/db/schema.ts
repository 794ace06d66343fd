/**
 * The D1 tables. Times are integers, milliseconds since the Unix epoch. JSON columns hold text that
 * is passed on as it is. Triggers and partial indexes that drizzle cannot express are added to the
 * generated migration by hand; `test/worker/migrations.test.ts` shows that they are there.
 */
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

/** The tenant. */
export const customers = sqliteTable(
  "customers",
  {
    id: integer("id").primaryKey(),
    uuid: text("uuid").notNull().unique(),
    name: text("name").notNull(),
    slug: text("slug").notNull().unique(),
    createdAt: integer("created_at").notNull(),
    modifiedAt: integer("modified_at").notNull(),
    /** Moves with every change: validators are made of it. */
    version: integer("version").notNull().default(1),
  },
  (table) => [
    index("customers_by_name").on(table.name, table.createdAt, table.uuid),
    index("customers_by_time").on(table.createdAt, table.uuid),
  ],
);

/** People. One who is deleted stays as a row without personal data, since jobs refer to it. */
export const users = sqliteTable(
  "users",
  {
    id: integer("id").primaryKey(),
    uuid: text("uuid").notNull().unique(),
    customerId: integer("customer_id")
      .notNull()
      .references(() => customers.id),
    email: text("email").notNull(),
    name: text("name").notNull(),
    slug: text("slug").notNull().unique(),
    role: text("role").notNull(),
    passwordHash: text("password_hash").notNull(),
    locked: integer("locked", { mode: "boolean" }).notNull().default(false),
    createdAt: integer("created_at").notNull(),
    modifiedAt: integer("modified_at").notNull(),
    /** Moves with every change: validators are made of it. */
    version: integer("version").notNull().default(1),
    /**
     * A link to set a new password works only for the time it was made for: moves with every password, and
     * a little with a lock, another role and another customer.
     */
    passwordChangedAt: integer("password_changed_at").notNull().default(0),
    deletedAt: integer("deleted_at"),
  },
  (table) => [
    uniqueIndex("users_email").on(sql`lower(${table.email})`).where(sql`deleted_at is null`),
    index("users_by_name")
      .on(table.name, table.createdAt, table.uuid)
      .where(sql`deleted_at is null`),
    index("users_by_time").on(table.createdAt, table.uuid).where(sql`deleted_at is null`),
    index("users_by_customer_name")
      .on(table.customerId, table.name, table.createdAt, table.uuid)
      .where(sql`deleted_at is null`),
    index("users_by_customer_time")
      .on(table.customerId, table.createdAt, table.uuid)
      .where(sql`deleted_at is null`),
    // There must always be one: whoever is not to be the last is looked for here.
    index("users_root_admins")
      .on(table.id)
      .where(sql`role = 'root_admin' and locked = 0 and deleted_at is null`),
  ],
);

/**
 * One row per sign-in: what refresh tokens and the access tokens made with them stand for. Gone once it
 * has ended, and with it every token of it.
 */
export const sessions = sqliteTable(
  "sessions",
  {
    id: integer("id").primaryKey(),
    uuid: text("uuid").notNull().unique(),
    userId: integer("user_id")
      .notNull()
      .references(() => users.id),
    /** Counts the refresh tokens: only the latest one works, an earlier one ends the session. */
    generation: integer("generation").notNull().default(1),
    createdAt: integer("created_at").notNull(),
    expiresAt: integer("expires_at").notNull(),
  },
  (table) => [index("sessions_by_user").on(table.userId, table.expiresAt)],
);

/** Tokens of people for automation. The token itself is derived, never stored. */
export const apiTokens = sqliteTable(
  "api_tokens",
  {
    id: integer("id").primaryKey(),
    uuid: text("uuid").notNull().unique(),
    userId: integer("user_id")
      .notNull()
      .references(() => users.id),
    name: text("name").notNull(),
    /** Which token secret signs it: that secret has to stay until the token has expired. */
    keyId: text("key_id").notNull(),
    createdAt: integer("created_at").notNull(),
    /** Null for one that never expires. */
    expiresAt: integer("expires_at"),
    /** Written at most once a minute. */
    lastUsedAt: integer("last_used_at"),
    revokedAt: integer("revoked_at"),
  },
  (table) => [
    index("api_tokens_by_name")
      .on(table.userId, table.name, table.createdAt, table.uuid)
      .where(sql`revoked_at is null`),
    index("api_tokens_by_time")
      .on(table.userId, table.createdAt, table.uuid)
      .where(sql`revoked_at is null`),
  ],
);

/** Failed sign-ins in a row, by account, whether there is one or not: each one makes the next wait longer. */
export const signInFailures = sqliteTable(
  "sign_in_failures",
  {
    /** Hash of the e-mail address in lower case. */
    account: text("account").primaryKey(),
    failures: integer("failures").notNull(),
    /** No password is looked at before. */
    retryAt: integer("retry_at").notNull(),
  },
  (table) => [index("sign_in_failures_by_time").on(table.retryAt)],
);

/** Who did what to whom: rows are added and, by triggers, never changed or removed. */
export const auditEvents = sqliteTable(
  "audit_events",
  {
    id: integer("id").primaryKey({ autoIncrement: true }),
    at: integer("at").notNull(),
    action: text("action").notNull(),
    /** `user`, `token`, `node` or `anonymous`; who it was, as far as is known. */
    actorKind: text("actor_kind").notNull(),
    actor: text("actor"),
    subjectKind: text("subject_kind"),
    subject: text("subject"),
    /** Whose administrators may read it, besides root administrators. */
    customerId: integer("customer_id"),
    requestId: text("request_id").notNull(),
    address: text("address"),
    /** JSON object. */
    details: text("details").notNull().default("{}"),
  },
  (table) => [
    index("audit_events_by_customer").on(table.customerId, table.id),
    // Refusals are written at most once a minute per actor and action.
    index("audit_events_by_actor").on(table.actor, table.action, table.at),
    index("audit_events_by_subject").on(table.subject, table.id),
    index("audit_events_by_action").on(table.action, table.id),
  ],
);

/**
 * How many items lists without a filter have, kept by triggers. `customers`; `users`, those not deleted,
 * and `users:<customer's id>`; `audit_events:<customer's id>`. All audit events together need no counter:
 * their ids have no gaps.
 */
export const listCounts = sqliteTable("list_counts", {
  list: text("list").primaryKey(),
  items: integer("items").notNull(),
});

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
  },
  (table) => [
    uniqueIndex("jobs_live_name").on(table.customerId, table.name).where(sql`deleted_at is null`),
    index("jobs_by_time").on(table.createdAt, table.id).where(sql`deleted_at is null`),
    index("jobs_by_customer_time")
      .on(table.customerId, table.createdAt, table.id)
      .where(sql`deleted_at is null`),
    index("jobs_by_user_time")
      .on(table.userId, table.createdAt, table.id)
      .where(sql`deleted_at is null`),
    // Deleting a spec looks here for a job that refers to it.
    index("jobs_by_spec").on(table.specUuid).where(sql`spec_uuid is not null`),
    // What runners that offer a spec can still join, oldest first.
    index("jobs_open_by_spec")
      .on(table.specUuid, table.createdAt, table.id)
      .where(
        sql`spec_uuid is not null and deleted_at is null and state in ('created', 'starting')`,
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
  },
  (table) => {
    // Job and rank break ties as the id does, which SQLite compares in no `(created_at, …) > (?, ?)`.
    const order = [table.createdAt, table.jobId, table.rank] as const;
    const live = sql`deleted_at is null`;
    const withIp = sql`deleted_at is null and machine_ip is not null`;
    return [
      index("tasks_by_job").on(table.jobId, table.createdAt, table.rank).where(live),
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

/** What a node measured in one step. Written once: a slot never changes. */
export const taskResults = sqliteTable(
  "task_results",
  {
    taskId: integer("task_id").notNull(),
    position: integer("position").notNull(),
    /** JSON, normalised by the benchmark's schema. */
    results: text("results").notNull(),
  },
  (table) => [primaryKey({ columns: [table.taskId, table.position] })],
);

/**
 * Requests that must not take effect twice, written in the batch of what they created. `facts` is JSON
 * from which the first reply is built again.
 */
export const idempotencyKeys = sqliteTable(
  "idempotency_keys",
  {
    scope: text("scope").notNull(),
    key: text("key").notNull(),
    fingerprint: text("fingerprint").notNull(),
    facts: text("facts").notNull(),
    createdAt: integer("created_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.scope, table.key] })],
);
