import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { PERFORMANCE_STATUSES } from "../../lib/enums.ts";
import { hexBlob } from "../hex.ts";

/**
 * Reports of jobs and of single nodes. Older reports stay, so that their readers can learn of the newer one. The
 * file is in R2, under a key made from job and hash.
 */
export const reports = sqliteTable(
  "reports",
  {
    /** SHA-256 of the report's content. */
    hash: hexBlob("hash").primaryKey(),
    jobId: integer("job_id").notNull(),
    /** Rank of the node; null for a report of the whole job. */
    rank: integer("rank"),
    /** Counts the reports of the same job or node, from 1. */
    version: integer("version").notNull(),
    /** SHA-256 of the file. */
    fileSha256: hexBlob("file_sha256").notNull(),
    /** Length of the file. */
    bytes: integer("bytes").notNull(),
    /** Status of the report's verdict. */
    status: text("status", { enum: PERFORMANCE_STATUSES }).notNull(),
    madeAt: integer("made_at").notNull(),
    /** Its figures are recordings. */
    isReplayed: integer("is_replayed", { mode: "boolean" }).notNull().default(false),
  },
  (table) => [index("reports_by_job").on(table.jobId, table.rank)],
);
