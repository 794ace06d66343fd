import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Links that show a job to people without an account. A trigger removes them with their job. */
export const jobShares = sqliteTable(
  "job_shares",
  {
    id: integer("id").primaryKey(),
    uuid: text("uuid").notNull().unique(),
    jobId: integer("job_id").notNull(),
    /** SHA-256 of the link's token, which is not stored. */
    tokenHash: text("token_hash").notNull().unique(),
    /** The person who made it. */
    userId: integer("user_id").notNull(),
    createdAt: integer("created_at").notNull(),
    expiresAt: integer("expires_at").notNull(),
  },
  (table) => [index("job_shares_by_job").on(table.jobId)],
);
