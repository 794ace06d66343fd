/** Jobs: D1's own facts, and the projection that their coordinators write. */
import { sql } from "drizzle-orm";
import {
  index,
  integer,
  primaryKey,
  sqliteTable,
  text,
  uniqueIndex,
} from "drizzle-orm/sqlite-core";
import {
  GANG_STATES,
  JOB_STATES,
  JOINABLE_STATES,
  PERFORMANCE_STATUSES,
  SPEC_CHECK_STATUSES,
} from "../../lib/enums.ts";
import type { FoldedOrigins, SequenceStep } from "../../lib/stored-json.ts";
import { packedText } from "../forms.ts";
import { hexBlob } from "../hex.ts";
import { events, jobSteps } from "../packed.ts";
import { jobVerdict } from "../packed-verdicts.ts";
import { customers, users } from "./identity.ts";
import { specs } from "./specs.ts";

/**
 * The list of `JOINABLE_STATES` as SQL text: SQLite uses the index of open jobs only if a query spells out the
 * condition of the index.
 */
export const joinableStates = sql.raw(
  `(${JOINABLE_STATES.map((state) => `'${state}'`).join(", ")})`,
);

const live = sql`deleted_at is null`;
const rated = sql`deleted_at is null and performance_status is not null`;
const checked = sql`deleted_at is null and spec_check is not null`;
const withFindings = sql`deleted_at is null and finding_count > 0`;

/**
 * A person in a customer, as `counterKey` names their scope: a person who moves leaves their jobs behind. One column,
 * so that no index of the customer's other jobs can seem as good.
 */
export const owner = () =>
  text("owner").generatedAlwaysAs(sql`'user:' || user_id || ':' || customer_id`, {
    mode: "virtual",
  });

/**
 * One row per job. Columns up to `expires_at` are D1's own facts, written once at creation. Columns from `state`
 * on are the projection of the job's coordinator, once `coordinated` is set (docs/architecture.md, "Who owns
 * which fact").
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
    owner: owner(),
    name: text("name").notNull(),
    description: text("description"),
    nodeCount: integer("node_count").notNull(),
    /** In the order they run. */
    sequence: text("sequence", { mode: "json" }).$type<SequenceStep[]>().notNull(),
    tags: text("tags", { mode: "json" }).$type<string[]>().notNull(),
    /** Where the machines were rented, and under which order: as given at creation, never changed; null for none. */
    provider: text("provider"),
    region: text("region"),
    orderReference: text("order_reference"),
    /** The three above as filters compare them (`jobs/origins.ts`), for the search by label; null for none. */
    foldedOrigins: text("folded_origins", { mode: "json" }).$type<FoldedOrigins>(),
    /** Id of the token secret that signs the job's token, which is derived and never stored. */
    tokenKeyId: text("token_key_id").notNull(),
    /** The time in the job's id (`jobCreatedAt`), so that both have the same order. */
    createdAt: integer("created_at").notNull(),
    expiresAt: integer("expires_at").notNull(),
    deletedAt: integer("deleted_at"),
    /** Set when the job's coordinator takes over: from then on it alone changes the columns below. */
    coordinated: integer("coordinated", { mode: "boolean" }).notNull().default(false),
    version: integer("version").notNull().default(0),
    state: text("state", { enum: JOB_STATES }).notNull(),
    currentNodes: integer("current_nodes").notNull().default(0),
    startedAt: integer("started_at"),
    endedAt: integer("ended_at"),
    /** Times to sort by; a time that has not come is 0, and sorts first. */
    startedOrder: integer("started_order").generatedAlwaysAs(sql`coalesce(started_at, 0)`, {
      mode: "virtual",
    }),
    endedOrder: integer("ended_order").generatedAlwaysAs(sql`coalesce(ended_at, 0)`, {
      mode: "virtual",
    }),
    /** One per position of the sequence. */
    steps: packedText("steps", jobSteps).notNull().default(sql`'[]'`),
    /** Oldest first. */
    events: packedText("events", events).notNull().default(sql`'[]'`),
    /** Time of the row's last write; cron looks for live jobs without a recent one. */
    flushedAt: integer("flushed_at").notNull(),
    /**
     * The hardware spec that the job was created for: D1's own fact, never changed. The reference keeps the spec
     * from being deleted, even after the job is.
     */
    specUuid: text("spec_uuid").references(() => specs.uuid),
    /**
     * The spec that the job's machines are compared with, if that is not `spec_uuid`: D1's own fact, never changed. It
     * keeps the spec from being deleted, too.
     */
    expectedSpecUuid: text("expected_spec_uuid").references(() => specs.uuid),
    /** The worst of its machines, compared with their spec; null for no spec, and until the first is compared. */
    specCheck: text("spec_check", { enum: SPEC_CHECK_STATUSES }),
    /**
     * For a job of a spec with a cluster step, whose runners begin together: `waiting` until they have met, `met`
     * from then on; null for all other jobs. This and the next two columns are D1's own, written by claims.
     */
    gang: text("gang", { enum: GANG_STATES }),
    /** Runners that it takes all at once, while its gang has not met; 0 for all other jobs. */
    gangSize: integer("gang_size").generatedAlwaysAs(
      sql`case gang when 'waiting' then node_count else 0 end`,
      { mode: "virtual" },
    ),
    /** Time of the latest reservation of all its runners, ms. */
    reservedAt: integer("reserved_at"),
    /** Time since which free runners are held for it, ms. */
    heldSince: integer("held_since"),
    /** Origin of the server where the job was created, such as `https://assay.example`; its reports name it. */
    origin: text("origin"),
    /** Hash of the job's newest report; null until a report is made. */
    reportHash: hexBlob("report_hash"),
    /** Attempts at the reports that have begun since the last success; one that fails in time is taken back. */
    reportAttempts: integer("report_attempts").notNull().default(0),
    /** Why reports are missing for good, for people; null while the server still tries, and once they are made. */
    reportError: text("report_error"),
    /**
     * Time of cron's next check: the job's expiry while D1 owns it, then a while after the row's last write; null
     * once the job has ended and its bodies are in R2. 0 means that a check is due.
     */
    checkAt: integer("check_at").default(0),
    /** Bytes of all results and inventories in R2; null while they are in the job's object. */
    bodyBytes: integer("body_bytes"),
    // The scoreboard's columns: written after the job has settled, and again when a baseline changes.
    /** Status of the verdict; null until the job is rated, and where nothing was measured. */
    performanceStatus: text("performance_status", { enum: PERFORMANCE_STATUSES }),
    verdict: packedText("verdict", jobVerdict),
    baselineVersion: integer("baseline_version"),
    ratedAt: integer("rated_at"),
    /** Findings of its nodes, all of them; null for none. */
    findingCount: integer("finding_count"),
  },
  (table) => [
    uniqueIndex("jobs_live_name").on(table.customerId, table.name).where(live),
    // Lists, newest first: ids rise with time, and every index ends in the row id, which is the job's id.
    index("jobs_live").on(table.id).where(live),
    index("jobs_by_customer").on(table.customerId).where(live),
    index("jobs_by_owner").on(table.owner).where(live),
    index("jobs_by_state").on(table.state).where(live),
    index("jobs_by_customer_state").on(table.customerId, table.state).where(live),
    index("jobs_by_owner_state").on(table.owner, table.state).where(live),
    // Other orders of a customer's list; `jobs_live_name` serves the order by name.
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
    // Finds the jobs that keep a spec from being deleted.
    index("jobs_by_spec").on(table.specUuid).where(sql`spec_uuid is not null`),
    index("jobs_by_expected_spec")
      .on(table.expectedSpecUuid)
      .where(sql`expected_spec_uuid is not null`),
    // Deleted jobs whose reports and bodies cron has still to remove.
    index("jobs_to_clear")
      .on(table.deletedAt)
      .where(sql`deleted_at is not null and (report_hash is not null or body_bytes > 0)`),
    // Settled jobs without a report, for cron: their objects may have failed to make one.
    index("jobs_to_report")
      .on(table.endedAt)
      .where(
        sql`ended_at is not null and report_hash is null and report_error is null and user_id <> 0 and deleted_at is null`,
      ),
    // Jobs that runners of a spec can still join: of each customer and size of gang, oldest first.
    index("jobs_open_by_spec")
      .on(table.specUuid, table.customerId, table.gangSize, table.createdAt, table.id)
      .where(sql`spec_uuid is not null and deleted_at is null and state in ${joinableStates}`),
    // The latest tries of a customer's gang jobs, ended and deleted ones too.
    index("jobs_held")
      .on(table.specUuid, table.customerId, table.heldSince)
      .where(sql`held_since is not null`),
    index("jobs_reserved")
      .on(table.specUuid, table.customerId, table.reservedAt)
      .where(sql`reserved_at is not null and gang = 'waiting'`),
    // Jobs that cron has to check, the longest due first: D1's own jobs, and jobs with an object.
    index("jobs_to_check")
      .on(table.coordinated, table.checkAt, table.id)
      .where(sql`check_at is not null`),
    index("jobs_rated").on(table.id).where(rated),
    index("jobs_rated_by_customer").on(table.customerId).where(rated),
    index("jobs_rated_by_owner").on(table.owner).where(rated),
    index("jobs_checked").on(table.specCheck).where(checked),
    index("jobs_checked_by_customer").on(table.customerId, table.specCheck).where(checked),
    index("jobs_checked_by_owner").on(table.owner, table.specCheck).where(checked),
    index("jobs_with_findings").on(table.id).where(withFindings),
    index("jobs_with_findings_by_customer").on(table.customerId).where(withFindings),
    index("jobs_with_findings_by_owner").on(table.owner).where(withFindings),
    // Settled jobs without a rating, for cron: their objects may have failed to rate them.
    index("jobs_to_rate")
      .on(table.endedAt)
      .where(
        sql`ended_at is not null and rated_at is null and current_nodes > 0 and deleted_at is null`,
      ),
  ],
);

/**
 * Numbers of live jobs by scope and state, maintained by triggers on `jobs`: a total costs seven rows at any
 * size. The scope is `all`, `customer:<id>` or `user:<id>:<customer's id>`.
 */
export const jobCounts = sqliteTable(
  "job_counts",
  {
    scope: text("scope").notNull(),
    state: text("state", { enum: JOB_STATES }).notNull(),
    jobs: integer("jobs").notNull(),
  },
  (table) => [primaryKey({ columns: [table.scope, table.state] })],
);

/**
 * What the jobs of each customer take, deleted ones included until their bodies are gone; maintained by triggers on
 * `jobs`. Creation compares it with the quotas (`jobs/quotas.ts`).
 */
export const customerUsage = sqliteTable("customer_usage", {
  customerId: integer("customer_id").primaryKey(),
  /** UTC day of the latest creation, days since the epoch. */
  day: integer("day").notNull().default(0),
  /** Jobs created on that day. */
  jobs: integer("jobs").notNull().default(0),
  /** Bytes of bodies in R2. */
  bytes: integer("bytes").notNull().default(0),
  /** Set by cron for the owner of jobs without an account while the database is large. */
  isClosed: integer("is_closed", { mode: "boolean" }).notNull().default(false),
});

/** As `jobCounts`, for rated jobs, and by the status of their verdict. */
export const performanceCounts = sqliteTable(
  "performance_counts",
  {
    scope: text("scope").notNull(),
    state: text("state", { enum: JOB_STATES }).notNull(),
    status: text("status", { enum: PERFORMANCE_STATUSES }).notNull(),
    jobs: integer("jobs").notNull(),
  },
  (table) => [primaryKey({ columns: [table.scope, table.state, table.status] })],
);

/** As `jobCounts`, for jobs and tasks with findings. */
export const findingCounts = sqliteTable(
  "finding_counts",
  {
    scope: text("scope").notNull(),
    state: text("state", { enum: JOB_STATES }).notNull(),
    jobs: integer("jobs").notNull().default(0),
    tasks: integer("tasks").notNull().default(0),
  },
  (table) => [primaryKey({ columns: [table.scope, table.state] })],
);

/**
 * One row per tag of a live job, maintained by triggers on `jobs`: lists tags, and the jobs with a tag, newest
 * first, for every scope. The table has no key of its own, so a tag costs four rows written.
 */
export const jobTags = sqliteTable(
  "job_tags",
  {
    jobId: integer("job_id").notNull(),
    tag: text("tag").notNull(),
    customerId: integer("customer_id").notNull(),
    userId: integer("user_id").notNull(),
    owner: owner(),
    createdAt: integer("created_at").notNull(),
  },
  (table) => {
    const jobsOfTag = [table.tag, table.createdAt, table.jobId] as const;
    return [
      index("job_tags_by_tag").on(...jobsOfTag),
      index("job_tags_by_customer").on(table.customerId, ...jobsOfTag),
      index("job_tags_by_owner").on(table.owner, ...jobsOfTag),
    ];
  },
);
