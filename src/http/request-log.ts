import { routePath } from "hono/route";
import type { RequestContext } from "./context.ts";

/** One structured line per request: what was asked, how it ended, what it cost. Never a token or a body. */
export function logRequest(c: RequestContext, ms: number): void {
  const { d1RoundTrips, objectHops } = c.get("meter");
  const principal = c.get("principal");
  console.log(
    JSON.stringify({
      level: "info",
      request_id: c.get("requestId"),
      method: c.req.method,
      // The pattern of the handler that answered: the last one dispatched to.
      route: routePath(c),
      status: c.res.status,
      ms,
      principal: principal?.kind ?? null,
      principal_id: principal?.id ?? null,
      d1_round_trips: d1RoundTrips,
      object_hops: objectHops,
    }),
  );
}
