import type { Context } from "hono";
import { routePath } from "hono/route";
import { causesOf } from "../db/errors.ts";
import type { RequestEnv } from "../http/context.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, MINUTE_MS } from "../lib/clock.ts";
import type { AuditAction } from "../lib/enums.ts";
import { logEvent } from "../lib/log.ts";
import { auditOfRefusal } from "../resources/audit.ts";
import { originOf } from "./origin.ts";

/** Writes refusals into the audit log. */
export class Refusals {
  readonly #clock: Clock;
  readonly #noted: BoundedCache<true>;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#noted = new BoundedCache({ maxEntries: 10_000, maxAgeMs: MINUTE_MS, clock });
  }

  /**
   * Notes a refusal, at most once a minute for each caller and action, so that nobody can fill the trail.
   * One round trip if it writes.
   *
   * @param caller the holder of the token, where the request's principal is not set
   */
  async note<Env extends RequestEnv>(
    c: Context<Env>,
    action: AuditAction,
    caller?: { kind: "user" | "node"; id: string },
  ): Promise<void> {
    const origin = originOf(c);
    const by =
      caller === undefined ? origin : { ...origin, actorKind: caller.kind, actor: caller.id };
    const key = `${action}:${by.actor ?? by.address}`;
    if (this.#noted.get(key)) return;
    const db = c.get("databases").primary;
    const event = {
      action,
      subject: { kind: "operation" as const, id: `${c.req.method} ${routePath(c)}` },
      customerId: null,
    };
    try {
      await auditOfRefusal(db, event, { origin: by, now: this.#clock.now() });
      this.#noted.set(key, true);
    } catch (error) {
      // The refusal stands, even if it cannot be recorded.
      logEvent("error", "audit_failed", {
        request_id: origin.requestId,
        action,
        causes: causesOf(error),
      });
    }
  }
}
