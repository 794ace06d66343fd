import type { Context } from "hono";
import type { RequestEnv } from "../http/context.ts";
import { addressOf } from "../http/rate-limit.ts";
import type { RequestOrigin } from "../resources/audit.ts";
import type { Actor } from "./actor.ts";

/** A person and their request. */
export interface ActorContext {
  actor: Actor;
  origin: RequestOrigin;
}

/** The origin of a request, for the audit log. */
export function originOf<Env extends RequestEnv>(c: Context<Env>): RequestOrigin {
  const principal = c.get("principal");
  return {
    actorKind: principal?.kind ?? "anonymous",
    actor: principal?.id ?? null,
    requestId: c.get("requestId"),
    address: addressOf(c),
  };
}

/** The origin of a request whose body holds a person's token or password, so that no guard has set the person. */
export function originOfPerson(origin: RequestOrigin, userUuid: string): RequestOrigin {
  return { ...origin, actorKind: "user", actor: userUuid };
}
