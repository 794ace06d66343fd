import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import type { RequestContext, RequestEnv, RequestVariables } from "../http/context.ts";
import { ApiError, unauthorized } from "../http/errors.ts";
import { addressOf, type RateLimits } from "../http/rate-limit.ts";
import type { Actor } from "./actor.ts";
import type { Refusals } from "./refusals.ts";
import type { Identity, JobPass } from "./service.ts";

export interface UserEnv {
  Variables: RequestVariables & { actor: Actor };
}

export interface NodeEnv {
  Variables: RequestVariables & { pass: JobPass; reading: boolean };
}

interface GuardsDeps {
  identity: Identity;
  limits: RateLimits;
  refusals: Refusals;
}

export type Guards = ReturnType<typeof createGuards>;

/**
 * What stands before a handler: first the rate limit (of the token's bearer, or of the address when the
 * token says nothing), then authentication (contract §2, check order).
 */
export function createGuards({ identity, limits, refusals }: GuardsDeps) {
  /** The one answer for whoever has no credential of the kind that is asked for. */
  const refuse = async <Env extends RequestEnv>(
    c: Context<Env>,
    token: string | null,
  ): Promise<never> => {
    if (token === null) {
      throw unauthorized("A token is needed: send it as Authorization: Bearer <token>");
    }
    const holder = await identity.holderOf(token);
    if (holder !== null) await refusals.note(c, "wrong_token_kind", holder);
    throw unauthorized();
  };

  /** What the token stands for, if it is of the kind that is asked for here. */
  const admit = async <Env extends RequestEnv, Subject>(
    c: Context<Env>,
    verify: (token: string) => Promise<Subject | null>,
  ): Promise<Subject> => {
    const token = bearerToken(c.req.header("authorization"));
    const subject = token === null ? null : await verify(token);
    if (subject !== null) return subject;
    await limits.check(c, "address", addressOf(c));
    return refuse(c, token);
  };

  /** The person whose user token it is; the handler finds them under `actor`. */
  const authenticate = async (c: Context<UserEnv>): Promise<Actor> => {
    const credential = await admit(c, identity.credentialOf);
    const { userUuid } = credential;
    c.set("principal", { kind: "user", id: userUuid });
    // A person's sessions count together, each API token by itself.
    await limits.check(c, "user", credential.kind === "session" ? userUuid : credential.uuid);
    const actor = await identity.actorOf(c.get("databases").primary, credential);
    if (actor === null) throw unauthorized();
    c.set("actor", actor);
    return actor;
  };

  /** What the job token is good for; the handler finds it under `pass`. */
  const admitJob = async (c: Context<NodeEnv>): Promise<JobPass> => {
    const pass = await admit(c, identity.jobPassOf);
    const id = String(pass.jobId);
    c.set("principal", { kind: "node", id });
    await limits.check(c, "node", id);
    c.set("pass", pass);
    return pass;
  };

  return {
    /** For guards of other kinds of credentials. */
    refuse,

    /** Lets only user tokens pass. */
    user: createMiddleware<UserEnv>(async (c, next) => {
      await authenticate(c);
      await next();
    }),

    /** Lets only user tokens of administrators pass: of a customer, or root administrators. */
    manager: createMiddleware<UserEnv>(async (c, next) => {
      const { role } = await authenticate(c);
      if (role !== "root_admin" && role !== "customer_admin") {
        throw new ApiError("PERMISSION_DENIED", "Only administrators can do this");
      }
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

    /** Lets only tokens of jobs pass whose nodes may work; the handler finds what it is good for under `pass`. */
    node: createMiddleware<NodeEnv>(async (c, next) => {
      const { works } = await admitJob(c);
      if (!works) throw unauthorized();
      await next();
    }),

    /** As `node`, and tokens that read alone; the handler finds under `reading` which of the two it is. */
    nodeOrReader: createMiddleware<NodeEnv>(async (c, next) => {
      const { reads, works } = await admitJob(c);
      // A node at work says which task is its: its polls ask no database. Who reads is no node.
      const reading = reads && (!works || c.req.query("task_id") === undefined);
      if (reading) await limits.check(c, "address", addressOf(c));
      else if (!works) throw unauthorized();
      c.set("reading", reading);
      await next();
    }),

    /** For jobs without an account. */
    anonymous: createMiddleware(async (c: RequestContext, next) => {
      await limits.check(c, "anonymous", addressOf(c));
      await next();
    }),

    /** For routes without a token. */
    open: createMiddleware(async (c: RequestContext, next) => {
      await limits.check(c, "address", addressOf(c));
      await next();
    }),
  };
}

export function bearerToken(header: string | undefined): string | null {
  return /^Bearer +([\w.~+/=-]+) *$/i.exec(header ?? "")?.[1] ?? null;
}
