import { createMiddleware } from "hono/factory";
import { routePath } from "hono/route";
import type { Clock } from "../lib/clock.ts";
import type { RequestEnv } from "./context.ts";

/** One structured line per request: what was asked, how it ended, what it cost. Never a token or a body. */
export function logRequest(clock: Clock) {
  return createMiddleware<RequestEnv>(async (c, next) => {
    const startedAt = clock.now();
    await next();
    console.log(
      JSON.stringify({
        level: "info",
        request_id: c.var.requestId,
        method: c.req.method,
        // The pattern of the handler that answered: the last one dispatched to.
        route: routePath(c),
        status: c.res.status,
        ms: clock.now() - startedAt,
        d1_round_trips: c.var.meter.d1RoundTrips,
        object_hops: c.var.meter.objectHops,
      }),
    );
  });
}
