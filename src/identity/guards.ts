import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import type { RequestEnv, RequestVariables } from "../http/context.ts";
import { ApiError, type Credential, invalid, unauthorized } from "../http/errors.ts";
import { addressOf, nodeLimitOf, type RateLimits } from "../http/rate-limit.ts";
import { isUpgrade } from "../http/upgrade.ts";
import { type Clock, MINUTE_MS } from "../lib/clock.ts";
import { type Actor, credentialId } from "./actor.ts";
import { type ActorContext, originOf } from "./origin.ts";
import type { Refusals } from "./refusals.ts";
import type { Identity, JobPass } from "./service.ts";
import type { Suspects } from "./suspects.ts";

interface UserVariables {
  actor: Actor;
}

interface NodeVariables {
  pass: JobPass;
  /** True for a reader of the job, false for one of its nodes. */
  reading: boolean;
}

declare module "../http/context.ts" {
  interface CallerVariables {
    user: UserVariables;
    manager: UserVariables;
    admin: UserVariables;
    node: NodeVariables;
    nodeOrReader: NodeVariables;
  }
}

export interface UserEnv {
  Variables: RequestVariables & UserVariables;
}

export interface NodeEnv {
  Variables: RequestVariables & NodeVariables;
}

/** The methods that a token of the scope `read` may send. */
const READING: ReadonlySet<string> = new Set(["GET", "HEAD"]);
/** Changes of roles, e-mail addresses and others' passwords ask for a sign-in within this time. */
const RECENT_MS = 15 * MINUTE_MS;

interface AuthenticatorDeps {
  identity: Identity;
  limits: RateLimits;
  refusals: Refusals;
  suspects: Suspects;
}

/** Authenticates callers by their tokens, and counts their requests. */
export class Authenticator {
  readonly #deps: AuthenticatorDeps;

  constructor(deps: AuthenticatorDeps) {
    this.#deps = deps;
  }

  /** The person of a user token, an API token or a key; handlers find them under `actor`. */
  async person(c: Context<UserEnv>): Promise<Actor> {
    const { identity, limits, suspects } = this.#deps;
    const credential = await this.#admit(c, "token", (token) => identity.credentialOf(token));
    if (credential.kind !== "user_key") {
      c.set("principal", { kind: "user", id: credential.userUuid });
    }
    // All sessions of a person share a limit; each API token and key has its own.
    const isSession = credential.kind === "session";
    const limited = isSession ? credential.userUuid : credentialId(credential);
    await limits.check(c, "user", limited);
    const find = () => identity.actorOf(c.get("databases").primary, credential);
    const actor =
      credential.kind === "user_key"
        ? (identity.remembered(credential) ?? (await suspects.find(c, find)))
        : await find();
    if (actor === null) throw unauthorized();
    const { userUuid } = actor;
    c.set("principal", { kind: "user", id: userUuid, customerId: actor.customerId });
    c.set("actor", actor);
    if (actor.scope === "read" && !READING.has(c.req.method)) {
      throw new ApiError(
        "PERMISSION_DENIED",
        `This API ${nounOf(actor)} can only read: use one with the scope write`,
      );
    }
    return actor;
  }

  /** The rights of a job token; handlers find them under `pass`. */
  async job(c: Context<NodeEnv>): Promise<JobPass> {
    const { identity, limits } = this.#deps;
    const pass = await this.#admit(c, "job token", (token) => identity.jobPassOf(token));
    const id = String(pass.jobId);
    c.set("principal", { kind: "node", id });
    await limits.check(c, nodeLimitOf(pass.nodes), id);
    c.set("pass", pass);
    return pass;
  }

  /** Throws 401 for a missing or wrong credential; a valid token of another kind is noted first. */
  async refuse<Env extends RequestEnv>(
    c: Context<Env>,
    token: string | null,
    wanted: Credential,
  ): Promise<never> {
    if (token === null) {
      const placeholder = wanted.replace(/^.* /, "");
      throw unauthorized(
        `A ${wanted} is required: send it as Authorization: Bearer <${placeholder}>`,
      );
    }
    const holder = await this.#deps.identity.holderOf(token);
    if (holder !== null) await this.#deps.refusals.note(c, "wrong_token_kind", holder);
    throw unauthorized(invalid(wanted));
  }

  /** The subject of the request's token, if `verify` accepts it. */
  async #admit<Env extends RequestEnv, Subject>(
    c: Context<Env>,
    wanted: Credential,
    verify: (token: string) => Promise<Subject | null>,
  ): Promise<Subject> {
    const token = sentToken(c);
    const subject = token === null ? null : await verify(token);
    if (subject !== null) return subject;
    await this.#deps.limits.check(c, "address", addressOf(c));
    return this.refuse(c, token, wanted);
  }
}

/** Guards for people: first authentication and its rate limit, then the role. */
export function personGuards(authenticator: Authenticator, clock: Clock) {
  /** @param refusal the message for a person who may not pass, else null */
  const admit = (refusal: (actor: Actor) => string | null) =>
    createMiddleware<UserEnv>(async (c, next) => {
      const message = refusal(await authenticator.person(c));
      if (message !== null) throw new ApiError("PERMISSION_DENIED", message);
      await next();
    });

  return {
    /** A person, by a session or an API token. */
    user: admit(() => null),

    manager: admit(({ role }) =>
      role === "root_admin" || role === "customer_admin" ? null : "Only administrators can do this",
    ),

    admin: admit(({ role }) =>
      role === "root_admin" ? null : "Only root administrators can do this",
    ),

    /** After one of the guards above. */
    session: createMiddleware<UserEnv>(async (c, next) => {
      requireSession(c.get("actor"));
      await next();
    }),

    /** After one of the guards above. */
    recentSession: createMiddleware<UserEnv>(async (c, next) => {
      requireRecentSignIn(c.get("actor"), clock.now());
      await next();
    }),
  };
}

/** Answers the time of the session's sign-in; throws 403 for API tokens and keys, which may outlive their revocation by what they make. */
function requireSession(actor: Actor): number {
  if (actor.signedInAt !== null) return actor.signedInAt;
  const message = `An API ${nounOf(actor)} cannot change people, customers, passwords or tokens: sign in`;
  throw new ApiError("PERMISSION_DENIED", message);
}

function nounOf({ credential }: Actor): "key" | "token" {
  return credential.kind === "user_key" ? "key" : "token";
}

/** Throws 403 unless the person has signed in lately: a stolen session must not give rights away. */
export function requireRecentSignIn(actor: Actor, now: number): void {
  if (now - requireSession(actor) <= RECENT_MS) return;
  const message = "Sign in again: this asks for a sign-in within the last 15 minutes";
  throw new ApiError("PERMISSION_DENIED", message);
}

/** Guards for the bearers of job tokens. */
export function jobGuards(authenticator: Authenticator, limits: RateLimits) {
  return {
    /** The token of a job whose nodes may work. */
    node: createMiddleware<NodeEnv>(async (c, next) => {
      const { works } = await authenticator.job(c);
      if (!works) throw unauthorized(invalid("job token"));
      c.set("reading", false);
      await next();
    }),

    /** As `node`, and a token that only reads. */
    nodeOrReader: createMiddleware<NodeEnv>(async (c, next) => {
      const { reads, works } = await authenticator.job(c);
      // A working node names its task, and its polls need no database. A reader has no task.
      const reading = reads && (!works || c.req.query("task_id") === undefined);
      if (reading) await limits.check(c, "address", addressOf(c));
      else if (!works) throw unauthorized(invalid("job token"));
      c.set("reading", reading);
      await next();
    }),
  };
}

/** The person of a request and its origin. */
export function actorContextOf(c: Context<UserEnv>): ActorContext {
  return { actor: c.get("actor"), origin: originOf(c) };
}

/** The request's bearer token. Browsers set no headers of a WebSocket: there it may be a subprotocol. */
export function sentToken<Env extends RequestEnv>(c: Context<Env>): string | null {
  const token = bearerToken(c.req.header("authorization"));
  if (token !== null || !isUpgrade(c)) return token;
  return (
    /(?:^|,)\s*bearer\.([\w.-]+)/.exec(c.req.header("sec-websocket-protocol") ?? "")?.[1] ?? null
  );
}

export function bearerToken(header: string | undefined): string | null {
  return /^Bearer +([\w.~+/=-]+) *$/i.exec(header ?? "")?.[1] ?? null;
}
