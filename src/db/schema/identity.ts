/** Customers, people, their credentials, and the audit log. */
import { sql } from "drizzle-orm";
import {
  index,
  integer,
  primaryKey,
  sqliteTable,
  text,
  uniqueIndex,
} from "drizzle-orm/sqlite-core";
import { ACTOR_KINDS, AUDIT_ACTIONS, ROLES, SUBJECT_KINDS, TOKEN_SCOPES } from "../../lib/enums.ts";

/** Tenants. */
export const customers = sqliteTable(
  "customers",
  {
    id: integer("id").primaryKey(),
    uuid: text("uuid").notNull().unique(),
    name: text("name").notNull(),
    slug: text("slug").notNull().unique(),
    createdAt: integer("created_at").notNull(),
    modifiedAt: integer("modified_at").notNull(),
    /** Increases with every change; part of the entity tag. */
    version: integer("version").notNull().default(1),
  },
  (table) => [
    index("customers_by_name").on(table.name, table.slug),
    // For lists of one name in the order of creation.
    index("customers_by_name_time").on(table.name, table.createdAt, table.uuid),
    index("customers_by_time").on(table.createdAt, table.uuid),
  ],
);

/** People. The row of a deleted person stays, without personal data, since jobs refer to it. */
export const users = sqliteTable(
  "users",
  {
    id: integer("id").primaryKey(),
    uuid: text("uuid").notNull().unique(),
    customerId: integer("customer_id")
      .notNull()
      .references(() => customers.id),
    /** As it was sent. */
    email: text("email").notNull(),
    /** `foldedAddress` of it, by which addresses are compared; empty for a deleted person. */
    emailFolded: text("email_folded").notNull(),
    name: text("name").notNull(),
    slug: text("slug").notNull().unique(),
    role: text("role", { enum: ROLES }).notNull(),
    passwordHash: text("password_hash").notNull(),
    locked: integer("locked", { mode: "boolean" }).notNull().default(false),
    createdAt: integer("created_at").notNull(),
    modifiedAt: integer("modified_at").notNull(),
    /** Increases with every change; part of the entity tag. */
    version: integer("version").notNull().default(1),
    /**
     * A link to set a password works only while this time is unchanged. A new password sets it; a lock, another
     * role or another customer adds 1 ms.
     */
    passwordChangedAt: integer("password_changed_at").notNull().default(0),
    deletedAt: integer("deleted_at"),
  },
  (table) => [
    uniqueIndex("users_email").on(table.emailFolded).where(sql`deleted_at is null`),
    index("users_by_name").on(table.name, table.slug).where(sql`deleted_at is null`),
    // For lists of one name in the order of creation.
    index("users_by_name_time")
      .on(table.name, table.createdAt, table.uuid)
      .where(sql`deleted_at is null`),
    index("users_by_time").on(table.createdAt, table.uuid).where(sql`deleted_at is null`),
    index("users_by_customer_name")
      .on(table.customerId, table.name, table.slug)
      .where(sql`deleted_at is null`),
    index("users_by_customer_name_time")
      .on(table.customerId, table.name, table.createdAt, table.uuid)
      .where(sql`deleted_at is null`),
    index("users_by_customer_time")
      .on(table.customerId, table.createdAt, table.uuid)
      .where(sql`deleted_at is null`),
    // Finds another root administrator, since the last one must stay.
    index("users_root_admins")
      .on(table.id)
      .where(sql`role = 'root_admin' and locked = 0 and deleted_at is null`),
  ],
);

/**
 * Sessions, one per sign-in. Refresh tokens and access tokens refer to their session; deleting the row ends all
 * of them.
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
    // For cron, which deletes expired sessions.
    index("sessions_by_time").on(table.expiresAt),
  ],
);

/** Tokens and keys of people for automation. A token is derived, never stored; of a key only the hash is. */
export const apiTokens = sqliteTable(
  "api_tokens",
  {
    id: integer("id").primaryKey(),
    uuid: text("uuid").notNull().unique(),
    userId: integer("user_id")
      .notNull()
      .references(() => users.id),
    name: text("name").notNull(),
    scope: text("scope", { enum: TOKEN_SCOPES }).notNull().default("write"),
    /** Id of the token secret that signs it; the secret has to stay until the token has expired. Null for a key. */
    keyId: text("key_id"),
    /** SHA-256 of a key; null for a token. */
    keyHash: text("key_hash").unique(),
    createdAt: integer("created_at").notNull(),
    expiresAt: integer("expires_at").notNull(),
    /** Written at most once a minute. */
    lastUsedAt: integer("last_used_at"),
    revokedAt: integer("revoked_at"),
    /** Increases with every change by people; part of the entity tag. */
    version: integer("version").notNull().default(1),
  },
  (table) => [
    index("api_tokens_by_name")
      .on(table.userId, table.name, table.createdAt, table.uuid)
      .where(sql`revoked_at is null`),
    index("api_tokens_by_time")
      .on(table.userId, table.createdAt, table.uuid)
      .where(sql`revoked_at is null`),
    index("api_tokens_revoked")
      .on(table.userId, table.revokedAt)
      .where(sql`revoked_at is not null`),
    // For cron, which deletes them in the end.
    index("api_tokens_by_revocation").on(table.revokedAt).where(sql`revoked_at is not null`),
  ],
);

/**
 * Tries of passwords, by account and network; each failure in a row makes the network's next wait longer. The row of
 * the empty network spaces the tries of all networks. Unknown accounts have rows, too.
 */
export const signInFailures = sqliteTable(
  "sign_in_failures",
  {
    /** UUID of the person; for an unknown account a hash of its e-mail address. */
    account: text("account").notNull(),
    /** `networkOf` the caller, or the address itself where the person has signed in lately. */
    network: text("network").notNull(),
    failures: integer("failures").notNull(),
    /** No password is checked before this time. */
    retryAt: integer("retry_at").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.account, table.network] }),
    index("sign_in_failures_by_time").on(table.retryAt),
  ],
);

/** The addresses from which a person has signed in lately, the newest few: others' failures do not hold them up. */
export const knownAddresses = sqliteTable(
  "known_addresses",
  {
    userId: integer("user_id")
      .notNull()
      .references(() => users.id),
    /** As `addressOf` gives it. */
    address: text("address").notNull(),
    signedInAt: integer("signed_in_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.userId, table.address] })],
);

/** The audit log. Triggers refuse to change or remove rows. */
export const auditEvents = sqliteTable(
  "audit_events",
  {
    id: integer("id").primaryKey({ autoIncrement: true }),
    at: integer("at").notNull(),
    action: text("action", { enum: AUDIT_ACTIONS }).notNull(),
    actorKind: text("actor_kind", { enum: ACTOR_KINDS }).notNull(),
    /** UUID of the person or runner, or id of the job; null for an unknown caller. */
    actor: text("actor"),
    subjectKind: text("subject_kind", { enum: SUBJECT_KINDS }),
    subject: text("subject"),
    /** The customer whose administrators may read the entry, besides root administrators. */
    customerId: integer("customer_id"),
    requestId: text("request_id").notNull(),
    address: text("address"),
    details: text("details", { mode: "json" })
      .$type<Record<string, unknown>>()
      .notNull()
      .default({}),
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
 * Totals of lists without a filter, maintained by triggers: `customers`, `users` and `users:<customer's id>`
 * (without deleted people), and `audit_events:<customer's id>`. All audit events together need no counter, since
 * their ids have no gaps.
 */
export const listCounts = sqliteTable("list_counts", {
  list: text("list").primaryKey(),
  items: integer("items").notNull(),
});
