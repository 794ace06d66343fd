import type { Context } from "hono";
import { openBucket } from "../db/bucket.ts";
import type { Database } from "../db/client.ts";
import type { RequestEnv } from "../http/context.ts";
import { matchesEntityTag } from "../http/entity-tag.ts";
import { ApiError, notFound } from "../http/errors.ts";
import { streamFile } from "../http/filled-stream.ts";
import { jobIdOf, rankOf } from "../lib/ids.ts";
import { contentDisposition, fileKey, parseRange } from "./files.ts";
import { findFile } from "./lookup-store.ts";

/**
 * Answers with the newest report of a job or task: the whole file, a range of it, or 304 (RFC 9110 §13, §14).
 * The caller has verified the link. One D1 round trip and at most two R2 calls; twice that if the file is
 * missing.
 *
 * @param missing the hash whose file the first attempt did not find
 */
export async function serveFile<E extends RequestEnv>(
  c: Context<E>,
  { db, bucket: r2 }: { db: Database; bucket: R2Bucket },
  id: number,
  missing?: string,
): Promise<Response> {
  const jobId = jobIdOf(id);
  const rank = rankOf(jobId, id);
  const report = await findFile(db, { jobId, taskId: rank === null ? null : id });
  if (report === null || report.hash === null) throw notFound("Report", id);
  const { hash, name } = report;
  const etag = `"${hash}"`;
  c.header("ETag", etag);
  c.header("Cache-Control", "private, no-cache");
  if (matchesEntityTag(c.req.header("If-None-Match"), etag)) return c.body(null, 304);
  const bucket = openBucket(r2, c.get("meter"));
  const key = fileKey(jobId, hash);
  const size = await bucket.size(key);
  if (size === null) {
    // A newer report may have replaced the file since the row was read. If the file is lost, making the report
    // again restores it.
    if (hash === missing) throw notFound("Report", id);
    return serveFile(c, { db, bucket: r2 }, id, hash);
  }
  const ifRange = c.req.header("If-Range");
  const isCurrent = ifRange === undefined || ifRange === etag;
  // Ranges are defined for GET alone (RFC 9110 §14.2).
  const header = isCurrent && c.req.method === "GET" ? c.req.header("Range") : undefined;
  const range = parseRange(header, size);
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
  const file = await bucket.stream(key, range);
  if (file === null) throw notFound("Report", id);
  return c.body(streamFile(file, length), status);
}
