import { index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { PERFORMANCE_STATUSES } from "../../lib/enums.ts";
import { hexBlob } from "../hex.ts";

/** A public key (`reports/check/keys.ts`). */
interface PublicJwk {
  kty: "OKP";
  crv: "Ed25519";
  x: string;
}

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
    /** The key that signed its data, in `report_keys`; null for an unsigned report. */
    keyId: integer("key_id"),
    /** The place of the compressed data in the file. */
    dataOffset: integer("data_offset").notNull().default(0),
    dataBytes: integer("data_bytes").notNull().default(0),
  },
  (table) => [index("reports_by_job").on(table.jobId, table.rank)],
);

/**
 * Public keys that have signed reports, so that those of retired keys can be checked once their seeds are gone. Kept
 * for ever: who distrusts a key removes its row.
 */
export const reportKeys = sqliteTable("report_keys", {
  id: integer("id").primaryKey(),
  /** The key's thumbprint (RFC 7638). */
  kid: text("kid").notNull().unique(),
  jwk: text("jwk", { mode: "json" }).$type<PublicJwk>().notNull(),
  /** Time of the first report that it signed. */
  createdAt: integer("created_at").notNull(),
  /** Time since which another key signs; null for the current key. */
  retiredAt: integer("retired_at"),
});
