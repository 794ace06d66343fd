import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import type { RequestContext, RequestEnv, RequestVariables } from "../http/context.ts";
import { ApiError, unauthorized } from "../http/errors.ts";
import { addressOf, type RateLimits } from "../http/rate-limit.ts";
import type { Actor } from "./actor.ts";
import type { Identity } from "./service.ts";

export interface UserEnv {
  Variables: RequestVariables & { actor: Actor };
}

export interface NodeEnv {
  Variables: RequestVariables & { jobId: number };
}

export type Guards = ReturnType<typeof createGuards>;

/**
 * What stands before a handler: first the rate limit (of the token's bearer, or of the address when the
 * token says nothing), then authentication (contract §2, check order).
 */
export function createGuards({ identity, limits }: { identity: Identity; limits: RateLimits }) {
  /** The bearer that the token names, counted against its limit. */
  const admit = async <Env extends RequestEnv, Subject extends string | number>(
    c: Context<Env>,
    kind: "user" | "node",
    verify: (token: string) => Promise<Subject | null>,
  ): Promise<Subject> => {
    const token = bearerToken(c.req.header("authorization"));
    const subject = token === null ? null : await verify(token);
    if (subject === null) {
      await limits.check(c, "address", addressOf(c));
      throw token === null
        ? unauthorized("A token is needed: send it as Authorization: Bearer <token>")
        : unauthorized();
    }
    // A context with more variables is one with these, too; the setter's type does not see it.
    (c as unknown as RequestContext).set("principal", { kind, id: String(subject) });
    await limits.check(c, kind, String(subject));
    return subject;
  };

  /** The person whose user token it is; the handler finds them under `actor`. */
  const authenticate = async (c: Context<UserEnv>): Promise<Actor> => {
    const uuid = await admit(c, "user", identity.userOf);
    const actor = await identity.actorOf(c.get("databases").primary, uuid);
    if (actor === null) throw unauthorized();
    c.set("actor", actor);
    return actor;
  };

  return {
    /** Lets only user tokens pass. */
    user: createMiddleware<UserEnv>(async (c, next) => {
      await authenticate(c);
      await next();
    }),

    /** Lets only user tokens of root administrators pass. */
    admin: createMiddleware<UserEnv>(async (c, next) => {
      const { role } = await authenticate(c);
      if (role !== "root_admin") {
        throw new ApiError("PERMISSION_DENIED", "Only root administrators can do this");
      }
      await next();
    }),

    /** Lets only job tokens pass; the handler finds the job's id under `jobId`. */
    node: createMiddleware<NodeEnv>(async (c, next) => {
      c.set("jobId", await admit(c, "node", identity.jobOf));
      await next();
    }),

    /** For routes without a token. */
    open: createMiddleware(async (c: RequestContext, next) => {
      await limits.check(c, "address", addressOf(c));
      await next();
    }),
  };
}

function bearerToken(header: string | undefined): string | null {
  return /^Bearer +([\w.~+/=-]+) *$/i.exec(header ?? "")?.[1] ?? null;
}
