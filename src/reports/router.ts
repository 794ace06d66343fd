import { OpenAPIHono } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { RequestEnv } from "../http/context.ts";
import { matchesEntityTag, singleJson } from "../http/entity-tag.ts";
import { ApiError, notFound } from "../http/errors.ts";
import { throwOnInvalid } from "../http/validation.ts";
import type { Guards } from "../identity/guards.ts";
import { toTimestamp } from "../lib/clock.ts";
import { taskIdOf } from "../lib/ids.ts";
import { getReportFileRoute, getReportRoute } from "./contract.ts";
import { contentDisposition, parseRange } from "./files.ts";
import type { FoundFile, ReportsService } from "./service.ts";

interface RouterDeps {
  reports: ReportsService;
  bucket: R2Bucket;
  guards: Guards;
}

export function createReportsRouter({ reports, bucket, guards }: RouterDeps) {
  const router = new OpenAPIHono<RequestEnv>({ defaultHook: throwOnInvalid });

  router.openapi({ ...getReportRoute, middleware: guards.open }, async (c) => {
    const found = await reports.find(c.get("databases").session, c.req.valid("param").hash);
    const { jobId, rank } = found;
    const body = {
      hash: found.hash,
      job_id: String(jobId),
      task_id: rank === null ? null : String(taskIdOf(jobId, rank)),
      version: found.version,
      is_latest: found.latest === found.hash,
      status: found.status,
      state: found.state,
      created_at: toTimestamp(found.createdAt),
      started_at: toTimestamp(found.startedAt),
      ended_at: toTimestamp(found.endedAt),
      made_at: toTimestamp(found.madeAt),
      file_sha256: found.fileSha256,
      file_bytes: found.bytes,
    };
    // The body is the JSON of it, as the contract declares; tests parse it strictly.
    return singleJson(c, JSON.stringify(body)) as never;
  });

  router.openapi({ ...getReportFileRoute, middleware: guards.open }, async (c) => {
    const { id } = c.req.valid("param");
    // Links are for the newest state there is: a deleted job's are dead at once.
    const file = await reports.file(c.get("databases").primary, id, c.req.valid("query"));
    return (await serve(c, bucket, file)) as never; // a PDF: the contract's types know JSON alone
  });

  return router;
}

/** The file, the part of it that is asked for, or that nothing has changed (RFC 9110 §13, §14). */
async function serve(c: Context, bucket: R2Bucket, file: FoundFile): Promise<Response> {
  const { key, hash } = file;
  const etag = `"${hash}"`;
  c.header("ETag", etag);
  c.header("Cache-Control", "private, no-cache");
  if (matchesEntityTag(c.req.header("If-None-Match"), etag)) return c.body(null, 304);
  const head = await bucket.head(key);
  // Noted in D1, but gone: making the report again puts it back.
  if (head === null) throw notFound("Report", file.id);
  const { size } = head;
  const ifRange = c.req.header("If-Range");
  const range =
    ifRange === undefined || ifRange === etag ? parseRange(c.req.header("Range"), size) : null;
  if (range === "unsatisfiable") {
    throw new ApiError("RANGE_NOT_SATISFIABLE", `The report has ${size} bytes`, {
      headers: { "Content-Range": `bytes */${size}` },
    });
  }
  const length = range?.length ?? size;
  c.header("Content-Type", "application/pdf");
  c.header("Content-Disposition", contentDisposition(file));
  c.header("Accept-Ranges", "bytes");
  c.header("Content-Length", String(length));
  if (range !== null) {
    c.header("Content-Range", `bytes ${range.offset}-${range.offset + length - 1}/${size}`);
  }
  const status = range === null ? 200 : 206;
  if (c.req.method === "HEAD") return c.body(null, status);
  const stored = await bucket.get(key, range === null ? {} : { range });
  if (stored === null) throw notFound("Report", file.id);
  return c.body(stored.body, status);
}
