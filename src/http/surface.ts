import type { Hono } from "hono";
import { cors } from "hono/cors";
import { createMiddleware } from "hono/factory";
import type { RequestEnv } from "./context.ts";
import { allowedMethods } from "./methods.ts";

const DAY_SECONDS = 86_400;

/**
 * On every reply. What the Worker answers is data: no browser may run, frame or guess at it. Any web
 * page may call with a token of its own; there are no cookies to abuse (contract §2, CORS).
 */
const EVERYWHERE = [
  ["Access-Control-Allow-Origin", "*"],
  ["Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"],
  ["Cross-Origin-Resource-Policy", "cross-origin"],
  ["Referrer-Policy", "no-referrer"],
  ["Strict-Transport-Security", "max-age=15552000; includeSubDomains"],
  ["X-Content-Type-Options", "nosniff"],
  ["X-Frame-Options", "DENY"],
] as const;

/** What scripts of other origins may read of a reply. */
const EXPOSED = [
  "Link",
  "ETag",
  "X-Total-Count",
  "X-Request-Id",
  "Retry-After",
  "RateLimit",
  "RateLimit-Policy",
  "Idempotency-Replayed",
  "WWW-Authenticate",
  "Content-Disposition",
  "X-D1-Bookmark",
].join(",");

/** The headers that all replies have in common, set once and last: each one costs a call of the platform. */
export const surface = createMiddleware<RequestEnv>(async (c, next) => {
  await next();
  const { headers } = c.res;
  for (const [name, value] of EVERYWHERE) headers.set(name, value);
  if (c.req.header("Origin") !== undefined) headers.set("Access-Control-Expose-Headers", EXPOSED);
  const { rateLimitPolicy } = c.var;
  if (rateLimitPolicy !== undefined) headers.set("RateLimit-Policy", rateLimitPolicy);
  // Answers belong to one caller and change: kept only to be asked for again with their ETag.
  if (!headers.has("Cache-Control")) headers.set("Cache-Control", "private, no-cache");
});

const preflight = cors({
  origin: "*",
  allowMethods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
  allowHeaders: [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-Request-Id",
    "X-D1-Bookmark",
  ],
  maxAge: DAY_SECONDS,
});

/** OPTIONS on any path: what a preflight asks for, and `Allow`. */
export function answerOptions(app: Hono<RequestEnv>) {
  return createMiddleware<RequestEnv>(async (c, next) => {
    if (c.req.method !== "OPTIONS") return next();
    c.header("Allow", allowedMethods(app, c.req.path).join(", "));
    return preflight(c, next);
  });
}
