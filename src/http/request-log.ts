import { routePath } from "hono/route";
import { logEvent } from "../lib/log.ts";
import type { RequestContext } from "./context.ts";

/** Writes the line of each request. Routine ones are counted per isolate. */
export class RequestLog {
  readonly #oneIn: number;
  #routine: number;

  /** @param oneIn writes one in this many routine requests: they would cost more in lines than in requests */
  constructor(oneIn: number) {
    this.#oneIn = oneIn;
    // A random start: isolates that serve few requests are represented, too.
    this.#routine = Math.floor(Math.random() * oneIn);
  }

  /** One line: route, outcome and costs. Never a token or a body. */
  write(c: RequestContext, ms: number): void {
    const isRoutine = c.get("isRoutine") === true && c.res.status < 400;
    if (isRoutine && ++this.#routine % this.#oneIn !== 0) return;
    const { d1RoundTrips, objectHops, r2Calls } = c.get("meter");
    const principal = c.get("principal");
    logEvent("info", "request", {
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
      r2_calls: r2Calls,
      ...(isRoutine ? { one_in: this.#oneIn } : {}),
    });
  }
}
