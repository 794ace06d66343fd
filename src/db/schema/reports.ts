import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";

/**
 * Every report there has been, of jobs and of single nodes; the file is in R2. Kept after a newer one
 * is made, so that anyone who holds the older can find out. Its key in R2 follows from job and hash.
 */
export const reports = sqliteTable(
  "reports",
  {
    /** Of everything the report says, SHA-256 in hex. */
    hash: text("hash").primaryKey(),
    jobId: integer("job_id").notNull(),
    /** Of the node that it is about; null for the whole job. */
    rank: integer("rank"),
    /** Counts the reports of the same job or node, from 1. */
    version: integer("version").notNull(),
    /** SHA-256 of the file, in hex. */
    fileSha256: text("file_sha256").notNull(),
    /** The file's length. */
    bytes: integer("bytes").notNull(),
    /** The verdict it gives. */
    status: text("status").notNull(),
    madeAt: integer("made_at").notNull(),
  },
  (table) => [index("reports_by_job").on(table.jobId, table.rank)],
);
