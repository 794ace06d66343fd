import type { Hono } from "hono";
import { cors } from "hono/cors";
import { createMiddleware } from "hono/factory";
import { createMeter, Databases } from "../db/client.ts";
import type { Clock } from "../lib/clock.ts";
import type { SiteConfig } from "../lib/config.ts";
import type { RequestContext, RequestEnv } from "./context.ts";
import { readRest } from "./json-body.ts";
import { allowedMethods } from "./methods.ts";
import { RequestLog } from "./request-log.ts";

const DAY_SECONDS = 86_400;

const REQUEST_ID = /^[\w.:-]{1,128}$/;

/** A client's random text, which comes back on the reply: no one before the server can have known it. */
const NONCE = /^[\w-]{22}$/;

/** The form of D1's bookmarks. With any other text the primary is read. */
const BOOKMARK = /^[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{8}-[0-9a-f]{32}$/;

/**
 * Headers of every reply. Replies are data: browsers must not run, frame or sniff them. Pages of any origin may
 * call with a token; there are no cookies to abuse (docs/contract.md, "HTTP rules").
 */
const REPLY_HEADERS = [
  ["Access-Control-Allow-Origin", "*"],
  ["Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"],
  ["Cross-Origin-Resource-Policy", "cross-origin"],
  ["Referrer-Policy", "no-referrer"],
  ["Strict-Transport-Security", "max-age=15552000; includeSubDomains"],
  ["X-Content-Type-Options", "nosniff"],
  ["X-Frame-Options", "DENY"],
] as const;

/** Headers that scripts of other origins may read. */
const EXPOSED_HEADERS = [
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
  "Assay-Nonce",
].join(",");

interface PipelineOptions {
  app: Hono<RequestEnv>;
  d1: D1Database;
  clock: Clock;
  site: SiteConfig;
  /** Adds `Server-Timing` to replies. */
  serverTiming: boolean;
  /** See `RequestLog`. */
  routineLogOneIn: number;
}

/**
 * Surrounds every request: sets its id, its meter and its view of the database, answers OPTIONS, and adds the
 * common headers to every reply. It is one function, since each layer costs every request.
 */
export function pipeline(options: PipelineOptions) {
  const { app, d1, clock, site, serverTiming, routineLogOneIn } = options;
  const log = new RequestLog(routineLogOneIn);
  return createMiddleware<RequestEnv>(async (c, next) => {
    const startedAt = clock.now();
    const inbound = c.req.header("x-request-id");
    const requestId =
      inbound !== undefined && REQUEST_ID.test(inbound) ? inbound : crypto.randomUUID();
    const bookmark = c.req.header("x-d1-bookmark");
    const meter = createMeter();
    const start = bookmark !== undefined && BOOKMARK.test(bookmark) ? bookmark : null;
    const databases = new Databases(d1, meter, start);
    c.set("requestId", requestId);
    c.set("meter", meter);
    c.set("databases", databases);
    c.set("site", site);

    if (c.req.method === "OPTIONS") await answerOptions(c, app);
    else await next();
    if (!site.trustsHost) await readRest(c.req.raw.body);

    const { headers } = c.res;
    headers.set("x-request-id", requestId);
    const nonce = c.req.header("assay-nonce");
    if (nonce !== undefined && NONCE.test(nonce)) headers.set("Assay-Nonce", nonce);
    const reached = databases.bookmark();
    if (reached !== null) headers.set("x-d1-bookmark", reached);
    setCommonHeaders(c, headers);
    const ms = clock.now() - startedAt;
    if (serverTiming) {
      const { d1RoundTrips, objectHops, r2Calls } = meter;
      const costs = [
        `total;dur=${ms}`,
        `d1;desc="${d1RoundTrips}"`,
        `hops;desc="${objectHops}"`,
        `r2;desc="${r2Calls}"`,
      ];
      headers.set("Server-Timing", costs.join(", "));
    }
    log.write(c, ms);
  });
}

/** Sets the headers that all replies have in common. Each one costs a call of the platform. */
function setCommonHeaders(c: RequestContext, headers: Headers): void {
  for (const [name, value] of REPLY_HEADERS) headers.set(name, value);
  if (c.req.header("Origin") !== undefined)
    headers.set("Access-Control-Expose-Headers", EXPOSED_HEADERS);
  const rateLimitPolicy = c.get("rateLimitPolicy");
  const pagePolicy = c.get("pagePolicy");
  if (pagePolicy !== undefined) headers.set("Content-Security-Policy", pagePolicy);
  if (rateLimitPolicy !== undefined) headers.set("RateLimit-Policy", rateLimitPolicy);
  // Replies belong to one caller and change; a cache may only revalidate them by their ETag.
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
    "Last-Event-ID",
    "Assay-Task-Token",
    "Assay-Nonce",
  ],
  maxAge: DAY_SECONDS,
});

/** Answers OPTIONS on any path: a preflight's headers, and `Allow`. */
async function answerOptions(c: RequestContext, app: Hono<RequestEnv>): Promise<void> {
  c.header("Allow", allowedMethods(app, c.req.path).join(", "));
  const reply = await preflight(c, async () => {});
  if (reply instanceof Response) c.res = reply;
}
