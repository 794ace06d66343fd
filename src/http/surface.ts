import type { Hono } from "hono";
import { cors } from "hono/cors";
import { createMiddleware } from "hono/factory";
import { createMeter, Databases } from "../db/client.ts";
import type { Clock } from "../lib/clock.ts";
import type { RequestContext, RequestEnv } from "./context.ts";
import { allowedMethods } from "./methods.ts";
import { logRequest } from "./request-log.ts";

const DAY_SECONDS = 86_400;

const REQUEST_ID = /^[\w.:-]{1,128}$/;

/** As D1 hands them out; anything else is no bookmark, and the primary is read. */
const BOOKMARK = /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/;

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

interface SurfaceOptions {
  app: Hono<RequestEnv>;
  d1: D1Database;
  clock: Clock;
  /** Whether replies carry `Server-Timing`. */
  serverTiming: boolean;
}

/**
 * Around every request: gives it its id, its meter and its view of the database, answers OPTIONS, and
 * puts on every reply what all have in common. One function, since each layer costs every request.
 */
export function surface({ app, d1, clock, serverTiming }: SurfaceOptions) {
  return createMiddleware<RequestEnv>(async (c, next) => {
    const startedAt = clock.now();
    const inbound = c.req.header("x-request-id");
    const requestId =
      inbound !== undefined && REQUEST_ID.test(inbound) ? inbound : crypto.randomUUID();
    const bookmark = c.req.header("x-d1-bookmark");
    const meter = createMeter();
    const known = bookmark !== undefined && BOOKMARK.test(bookmark) ? bookmark : null;
    const databases = new Databases(d1, meter, known);
    c.set("requestId", requestId);
    c.set("meter", meter);
    c.set("databases", databases);

    if (c.req.method === "OPTIONS") await answerOptions(c, app);
    else await next();

    const { headers } = c.res;
    headers.set("x-request-id", requestId);
    const reached = databases.bookmark();
    if (reached !== null) headers.set("x-d1-bookmark", reached);
    dress(c, headers);
    const ms = clock.now() - startedAt;
    if (serverTiming) {
      const { d1RoundTrips, objectHops } = meter;
      const costs = [`total;dur=${ms}`, `d1;desc="${d1RoundTrips}"`, `hops;desc="${objectHops}"`];
      headers.set("Server-Timing", costs.join(", "));
    }
    logRequest(c, ms);
  });
}

/** The headers that all replies have in common: each one costs a call of the platform. */
function dress(c: RequestContext, headers: Headers): void {
  for (const [name, value] of EVERYWHERE) headers.set(name, value);
  if (c.req.header("Origin") !== undefined) headers.set("Access-Control-Expose-Headers", EXPOSED);
  const rateLimitPolicy = c.get("rateLimitPolicy");
  if (rateLimitPolicy !== undefined) headers.set("RateLimit-Policy", rateLimitPolicy);
  // Answers belong to one caller and change: kept only to be asked for again with their ETag.
  if (!headers.has("Cache-Control")) headers.set("Cache-Control", "private, no-cache");
}

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
async function answerOptions(c: RequestContext, app: Hono<RequestEnv>): Promise<void> {
  c.header("Allow", allowedMethods(app, c.req.path).join(", "));
  const reply = await preflight(c, async () => {});
  if (reply instanceof Response) c.res = reply;
}
