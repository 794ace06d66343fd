import { createHash } from "node:crypto";
import type { Context } from "hono";
import { routePath } from "hono/route";
import type { IdempotencyKey } from "../db/idempotency.ts";
import { canonicalJson } from "../lib/json.ts";
import type { RequestEnv } from "./context.ts";
import { invalidField } from "./errors.ts";

const VISIBLE = /^[\x21-\x7e]{1,255}$/;

/** Reads `Idempotency-Key` of an authenticated POST that creates; null without one. */
export function readIdempotencyKey<Env extends RequestEnv>(
  c: Context<Env>,
  body: unknown,
): IdempotencyKey | null {
  const key = c.req.header("idempotency-key");
  if (key === undefined) return null;
  if (!VISIBLE.test(key)) {
    throw invalidField("Idempotency-Key", "must be 1 to 255 visible ASCII characters");
  }
  const principal = c.get("principal");
  return {
    // A person who has moved to another customer does not get the first one's reply again.
    scope: `${principal?.kind}:${principal?.id}:${principal?.customerId} ${c.req.method} ${routePath(c)}`,
    key,
    fingerprint: createHash("sha256").update(canonicalJson(body)).digest("base64url"),
    primary: c.get("databases").primary,
  };
}
