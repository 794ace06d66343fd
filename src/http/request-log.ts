import { createMiddleware } from "hono/factory";
import { routePath } from "hono/route";
import type { Clock } from "../lib/clock.ts";
import type { RequestEnv } from "./context.ts";

/** One structured line per request: what was asked, how it ended, what it cost. Never a token or a body. */
export function logRequest(clock: Clock, { serverTiming }: { serverTiming: boolean }) {
  return createMiddleware<RequestEnv>(async (c, next) => {
    const startedAt = clock.now();
    await next();
    const ms = clock.now() - startedAt;
    const { d1RoundTrips, objectHops } = c.var.meter;
    if (serverTiming) {
      const costs = [`total;dur=${ms}`, `d1;desc="${d1RoundTrips}"`, `hops;desc="${objectHops}"`];
      c.header("Server-Timing", costs.join(", "));
    }
    console.log(
      JSON.stringify({
        level: "info",
        request_id: c.var.requestId,
        method: c.req.method,
        // The pattern of the handler that answered: the last one dispatched to.
        route: routePath(c),
        status: c.res.status,
        ms,
        principal: c.var.principal?.kind ?? null,
        principal_id: c.var.principal?.id ?? null,
        d1_round_trips: d1RoundTrips,
        object_hops: objectHops,
      }),
    );
  });
}
