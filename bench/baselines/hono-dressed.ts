/** A bare Hono route that owes what ours owes: the same headers on its reply, and one log line. */
import { Hono } from "hono";
import type { BaselineEnv } from "./env.ts";

const HEADERS = {
  "Content-Type": "application/json",
  "Access-Control-Allow-Origin": "*",
  "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
  "Cross-Origin-Resource-Policy": "cross-origin",
  "Referrer-Policy": "no-referrer",
  "Strict-Transport-Security": "max-age=15552000; includeSubDomains",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Cache-Control": "private, no-cache",
  "RateLimit-Policy": '"user";q=500;w=10',
  ETag: '"pV0rJkz3mJw8o1Qq2cXn5A"',
};

const app = new Hono<{ Bindings: BaselineEnv }>();
app.get("/", (c) => {
  const requestId = crypto.randomUUID();
  const line = {
    level: "info",
    event: "request",
    request_id: requestId,
    method: "GET",
    route: "/api/silicon-mark/v1/benchmarks",
    status: 200,
    ms: 0,
    principal: "user",
    principal_id: requestId,
    d1_round_trips: 0,
    object_hops: 0,
    r2_calls: 0,
  };
  console.log(JSON.stringify(line));
  return new Response(c.env.PAYLOAD, { headers: { ...HEADERS, "x-request-id": requestId } });
});

export default app;
