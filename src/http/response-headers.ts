import { cors } from "hono/cors";
import { createMiddleware } from "hono/factory";
import { secureHeaders } from "hono/secure-headers";
import type { RequestEnv } from "./context.ts";

const DAY_SECONDS = 86_400;

/** Any web page may call the API with a token of its own; there are no cookies to abuse (contract §2, CORS). */
export const allowAnyOrigin = cors({
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
  exposeHeaders: [
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
  ],
  maxAge: DAY_SECONDS,
});

/** What the Worker answers is data: no browser may run, frame or guess at it. */
export const secureResponses = secureHeaders({
  contentSecurityPolicy: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] },
  crossOriginResourcePolicy: "cross-origin",
  xFrameOptions: "DENY",
});

/** Answers belong to one caller and change: kept only to be asked for again with their ETag. */
export const privateByDefault = createMiddleware<RequestEnv>(async (c, next) => {
  await next();
  if (!c.res.headers.has("Cache-Control")) c.header("Cache-Control", "private, no-cache");
});
