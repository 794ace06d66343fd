import { createHash } from "node:crypto";
import { createMiddleware } from "hono/factory";
import type { RequestEnv } from "./context.ts";

/**
 * A strong validator on every single resource that has none of its own, and 304 when the caller holds
 * it already (RFC 9110 §13.1.2). Lists have none, nor has what may not be kept.
 */
export const entityTags = createMiddleware<RequestEnv>(async (c, next) => {
  await next();
  const { res } = c;
  const isJson = res.headers.get("Content-Type")?.includes("json") ?? false;
  const isRead = c.req.method === "GET" || c.req.method === "HEAD";
  const isList = res.headers.has("X-Total-Count");
  const isKept = res.headers.get("Cache-Control") !== "no-store";
  const isTagged = res.headers.has("ETag");
  if (!isRead || res.status !== 200 || !isJson || isList || !isKept || isTagged) return;
  const body = await res.text();
  const etag = `"${createHash("sha256").update(body).digest("base64url").slice(0, 22)}"`;
  const headers = new Headers(res.headers);
  headers.set("ETag", etag);
  const unchanged = matchesEntityTag(c.req.header("If-None-Match"), etag);
  if (unchanged) headers.delete("Content-Type");
  // Assigning to `c.res` would merge the old headers back in.
  c.res = undefined;
  c.res = unchanged
    ? new Response(null, { status: 304, headers })
    : new Response(body, { status: 200, headers });
});

/** Whether an If-None-Match header names a validator; compared weakly, as proxies may weaken it. */
export function matchesEntityTag(ifNoneMatch: string | null | undefined, etag: string): boolean {
  if (!ifNoneMatch) return false;
  const weak = (validator: string) => validator.trim().replace(/^W\//, "");
  return ifNoneMatch.split(",").some((tag) => tag.trim() === "*" || weak(tag) === weak(etag));
}
