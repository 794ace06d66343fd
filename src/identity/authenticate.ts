import { createMiddleware } from "hono/factory";
import type { RequestVariables } from "../http/context.ts";
import { unauthorized } from "../http/errors.ts";
import type { Actor } from "./actor.ts";
import type { Identity } from "./service.ts";

export interface UserEnv {
  Variables: RequestVariables & { actor: Actor };
}

export interface NodeEnv {
  Variables: RequestVariables & { jobId: number };
}

/** Lets only user tokens pass; the handler finds the person in `c.var.actor`. */
export function requireUser(identity: Identity) {
  return createMiddleware<UserEnv>(async (c, next) => {
    const actor = await identity.actorOf(c.var.primary, bearer(c.req.header("authorization")));
    if (actor === null) throw unauthorized();
    c.set("actor", actor);
    await next();
  });
}

/** Lets only job tokens pass; the handler finds the job's id in `c.var.jobId`. */
export function requireNode(identity: Identity) {
  return createMiddleware<NodeEnv>(async (c, next) => {
    const jobId = await identity.jobOf(bearer(c.req.header("authorization")));
    if (jobId === null) throw unauthorized();
    c.set("jobId", jobId);
    await next();
  });
}

function bearer(header: string | undefined): string {
  const token = /^Bearer +([\w.~+/=-]+) *$/i.exec(header ?? "")?.[1];
  if (token === undefined) {
    throw unauthorized("A token is needed: send it as Authorization: Bearer <token>");
  }
  return token;
}
