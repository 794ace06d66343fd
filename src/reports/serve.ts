/** Answers with a report's file. Loaded when one is opened. */
import type { Context } from "hono";
import type { Database } from "../db/client.ts";
import { matchesEntityTag } from "../http/entity-tag.ts";
import { ApiError, notFound } from "../http/errors.ts";
import { SECOND_MS } from "../lib/clock.ts";
import { jobIdOf, rankOf } from "../lib/ids.ts";
import { withTimeout } from "../lib/retry.ts";
import { contentDisposition, fileKey, parseRange } from "./files.ts";
import { findFile } from "./store.ts";

/** R2 can hang: no answer of it may take longer. */
const R2_TIMEOUT_MS = 10 * SECOND_MS;

/**
 * The newest report of a job or task: all of it, the part that is asked for, or that nothing has changed
 * (RFC 9110 §13, §14). The caller's link was verified. One D1 round trip and at most two to R2; once more
 * when the file is gone.
 *
 * @param missing the hash whose file was not there when it was looked for before
 */
export async function serveFile(
  c: Context,
  { db, bucket }: { db: Database; bucket: R2Bucket },
  id: number,
  missing?: string,
): Promise<Response> {
  const jobId = jobIdOf(id);
  const rank = rankOf(jobId, id);
  const found = await findFile(db, { jobId, taskId: rank === null ? null : id });
  if (found === null || found.hash === null) throw notFound("Report", id);
  const { hash, name } = found;
  const etag = `"${hash}"`;
  c.header("ETag", etag);
  c.header("Cache-Control", "private, no-cache");
  if (matchesEntityTag(c.req.header("If-None-Match"), etag)) return c.body(null, 304);
  const key = fileKey(jobId, hash);
  const head = await withTimeout(bucket.head(key), R2_TIMEOUT_MS, "R2 head");
  if (head === null) {
    // A newer one may have come in its place since D1 was asked. Else making it again puts it back.
    if (hash === missing) throw notFound("Report", id);
    return serveFile(c, { db, bucket }, id, hash);
  }
  const { size } = head;
  const ifRange = c.req.header("If-Range");
  const isSame = ifRange === undefined || ifRange === etag;
  // Ranges are defined for GET alone (RFC 9110 §14.2).
  const asked = isSame && c.req.method === "GET" ? c.req.header("Range") : undefined;
  const range = parseRange(asked, size);
  if (range === "unsatisfiable") {
    throw new ApiError("RANGE_NOT_SATISFIABLE", `The report has ${size} bytes`, {
      headers: { "Content-Range": `bytes */${size}` },
    });
  }
  const { offset, length } = range ?? { offset: 0, length: size };
  c.header("Content-Type", "application/pdf");
  c.header("Content-Disposition", contentDisposition({ name, id, rank }));
  c.header("Accept-Ranges", "bytes");
  c.header("Content-Length", String(length));
  if (range !== null) c.header("Content-Range", `bytes ${offset}-${offset + length - 1}/${size}`);
  const status = range === null ? 200 : 206;
  if (c.req.method === "HEAD") return c.body(null, status);
  const file = bucket.get(key, range === null ? {} : { range });
  const stored = await withTimeout(file, R2_TIMEOUT_MS, "R2 read");
  if (stored === null) throw notFound("Report", id);
  return c.body(stored.body, status);
}
