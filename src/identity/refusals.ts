import type { Context } from "hono";
import { routePath } from "hono/route";
import { causesOf } from "../db/errors.ts";
import type { RequestEnv } from "../http/context.ts";
import { BoundedCache } from "../lib/bounded-cache.ts";
import { type Clock, MINUTE_MS } from "../lib/clock.ts";
import { type AuditAction, auditOfRefusal, originOf } from "./audit.ts";

export interface Refusals {
  /**
   * Notes in the audit trail what a caller was refused, at most once a minute for each caller and
   * action, so that nobody can fill it. One round trip when it writes, none else.
   *
   * @param caller who it was, where the request's principal does not say it
   */
  note<Env extends RequestEnv>(
    c: Context<Env>,
    action: AuditAction,
    caller?: { kind: "user" | "node"; id: string },
  ): Promise<void>;
}

export function createRefusals({ clock }: { clock: Clock }): Refusals {
  const noted = new BoundedCache<true>({ maxEntries: 10_000, maxAgeMs: MINUTE_MS, clock });
  return {
    async note(c, action, caller) {
      const origin = originOf(c);
      const by =
        caller === undefined ? origin : { ...origin, actorKind: caller.kind, actor: caller.id };
      const key = `${action}:${by.actor ?? by.address}`;
      if (noted.get(key)) return;
      const db = c.get("databases").primary;
      const event = {
        action,
        subject: { kind: "operation" as const, id: `${c.req.method} ${routePath(c)}` },
        customerId: null,
      };
      try {
        await auditOfRefusal(db, by, event, clock.now());
        noted.set(key, true);
      } catch (error) {
        // The refusal stands, whether it can be written down or not.
        console.error(
          JSON.stringify({
            level: "error",
            request_id: origin.requestId,
            action,
            causes: causesOf(error),
          }),
        );
      }
    },
  };
}
