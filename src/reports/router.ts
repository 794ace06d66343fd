import { openBucket } from "../db/bucket.ts";
import type { Database } from "../db/client.ts";
import { notFound } from "../http/errors.ts";
import { filledUnlessKnown, single, writtenReply } from "../http/replies.ts";
import { serve } from "../http/serve.ts";
import { getReportFileRoute, getReportRoute } from "./contract.ts";
import { dataOf } from "./data.ts";
import { getReportDataRoute, getReportKeysRoute } from "./data-contract.ts";
import type { ReportKeys } from "./keys.ts";
import type { ReportLinks } from "./links.ts";
import { findReport } from "./lookup-store.ts";
import { serveFile } from "./serve.ts";
import { toReport } from "./wire.ts";

interface ReportsRouterDeps {
  links: ReportLinks;
  keys: ReportKeys;
  bucket: R2Bucket;
}

/** Caches may keep the keys for so long: a new key is found by its id, and asked for again. */
const KEYS_KEPT_SECONDS = 300;

export const reportsRoutes = ({ links, keys, bucket }: ReportsRouterDeps) => [
  serve(getReportRoute, async (c) => {
    const report = await recordOf(c.get("databases").session, c.req.valid("param").hash);
    return single(c, toReport(report));
  }),

  serve(getReportDataRoute, async (c) => {
    const { hash } = c.req.valid("param");
    const report = await recordOf(c.get("databases").session, hash);
    const { piece, source } = dataOf(openBucket(bucket, c.get("meter")), report);
    // The hash stands for the bytes.
    const etag = `"${hash}"`;
    c.header("ETag", etag);
    return filledUnlessKnown(c, [piece], source, etag);
  }),

  serve(getReportKeysRoute, async (c) => {
    const { session } = c.get("databases");
    c.header("Cache-Control", `public, max-age=${KEYS_KEPT_SECONDS}`);
    return single(c, await keys.list(session));
  }),

  serve(getReportFileRoute, async (c) => {
    const { id } = c.req.valid("param");
    // Every invalid link gets the same answer, before any lookup.
    if (!links.verify(id, c.req.valid("query"))) throw notFound("Report", id);
    // Read from the primary, so that links of a deleted job stop working at once.
    const db = c.get("databases").primary;
    return writtenReply(await serveFile(c, { db, bucket }, id));
  }),
];

/** A report, for anyone who holds its hash. One round trip. */
async function recordOf(db: Database, hash: string) {
  const report = await findReport(db, hash);
  if (report === null) throw notFound("Report", hash);
  return report;
}
