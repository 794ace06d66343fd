import { createHash } from "node:crypto";
import type { Context } from "hono";
import type { Precondition } from "../db/versions.ts";
import { RELEASE } from "../lib/release.ts";
import type { RequestEnv } from "./context.ts";

/** A strong validator of a text. */
export function entityTagOf(text: string): string {
  return `"${createHash("sha256").update(text).digest("base64url").slice(0, 22)}"`;
}

/** True if an `If-None-Match` header names a validator. Compares weakly, since proxies weaken validators. */
export function matchesEntityTag(ifNoneMatch: string | null | undefined, etag: string): boolean {
  if (!ifNoneMatch) return false;
  const weak = (validator: string) => validator.trim().replace(/^W\//, "");
  return ifNoneMatch.split(",").some((tag) => tag.trim() === "*" || weak(tag) === weak(etag));
}

/**
 * The validator of a resource whose row counts its versions. The database can test it in the statement that
 * changes the row. It includes the release, since another release may represent the same row differently.
 *
 * @param beside numbers that move with anything else that the representation shows
 */
export function versionTag(
  { uuid, version }: { uuid: string; version: number },
  ...beside: number[]
): string {
  return `"${[uuid.replaceAll("-", ""), version, ...beside, RELEASE].join(".")}"`;
}

/**
 * Reads `If-Match` of a request that changes a resource with a `versionTag`; null without one. Tags of another
 * form match nothing. The row's version has to match; the release that represented it does not matter.
 */
export function readIfMatch<Env extends RequestEnv>(c: Context<Env>): Precondition | null {
  const header = c.req.header("If-Match");
  if (header === undefined) return null;
  const tags = header.split(",").map((tag) => tag.trim());
  if (tags.includes("*")) return "any";
  return tags.flatMap((tag) => /^(?:W\/)?"([0-9a-f]{32}\.[0-9]+)\.[^"]*"$/.exec(tag)?.[1] ?? []);
}
