/** Who people are, what they have to show for it, and what they did. */
import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

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
  (table) => [
    index("sessions_by_user").on(table.userId, table.expiresAt),
    // Cron clears what has expired.
    index("sessions_by_time").on(table.expiresAt),
  ],
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
