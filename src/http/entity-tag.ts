import { createHash } from "node:crypto";
import type { Context } from "hono";
import type { RequestEnv } from "./context.ts";

/** A strong validator of a text. */
export function entityTagOf(text: string): string {
  return `"${createHash("sha256").update(text).digest("base64url").slice(0, 22)}"`;
}

/**
 * The answer to a GET of one resource: its JSON with a strong validator, or 304 when the caller holds
 * it already (RFC 9110 §13.1.2). Operations declared `single` answer with it.
 */
export function singleJson<Env extends RequestEnv>(
  c: Context<Env>,
  text: string,
  etag = entityTagOf(text),
): Response {
  return matchesEntityTag(c.req.header("If-None-Match"), etag)
    ? c.body(null, 304, { ETag: etag })
    : c.body(text, 200, { ETag: etag, "Content-Type": "application/json" });
}

/** Whether an If-None-Match header names a validator; compared weakly, as proxies may weaken it. */
export function matchesEntityTag(ifNoneMatch: string | null | undefined, etag: string): boolean {
  if (!ifNoneMatch) return false;
  const weak = (validator: string) => validator.trim().replace(/^W\//, "");
  return ifNoneMatch.split(",").some((tag) => tag.trim() === "*" || weak(tag) === weak(etag));
}
