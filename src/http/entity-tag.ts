import { createHash } from "node:crypto";
import type { Context } from "hono";
import { RELEASE } from "../lib/release.ts";
import type { RequestEnv } from "./context.ts";

/** A strong validator of a text. */
export function entityTagOf(text: string): string {
  return `"${createHash("sha256").update(text).digest("base64url").slice(0, 22)}"`;
}

/**
 * The answer to a GET of one resource: its JSON with a strong validator, or 304 when the caller holds
 * it already (RFC 9110 §13.1.2). Operations declared `single` answer with it.
 *
 * @param etag by default made from the text itself
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

/**
 * The validator of a resource whose row counts its versions. The database can test it in the statement
 * that changes the row. It names our release, too: another one may represent the same row otherwise.
 *
 * @param beside what else the representation shows, as a number that moves with it
 */
export function versionTag(
  { uuid, version }: { uuid: string; version: number },
  ...beside: number[]
): string {
  return `"${[uuid.replaceAll("-", ""), version, ...beside, RELEASE].join(".")}"`;
}

/** What `If-Match` asks for: any version, or one of these, each `<UUID as 32 digits>.<version>`. */
export type Precondition = "any" | readonly string[];

/**
 * Reads `If-Match` of a request that changes a resource with a `versionTag`; null when none was sent.
 * Tags that are not ours match nothing. The row has to be the same, whoever represented it.
 */
export function readIfMatch<Env extends RequestEnv>(c: Context<Env>): Precondition | null {
  const header = c.req.header("If-Match");
  if (header === undefined) return null;
  const tags = header.split(",").map((tag) => tag.trim());
  if (tags.includes("*")) return "any";
  return tags.flatMap((tag) => /^(?:W\/)?"([0-9a-f]{32}\.[0-9]+)\.[^"]*"$/.exec(tag)?.[1] ?? []);
}
