import type { Context } from "hono";
import type { Databases, Meter } from "../db/client.ts";

/** What the middleware of `app.ts` has put into every request before a handler runs. */
export interface RequestVariables {
  requestId: string;
  /** Who asks, once a token has said so. Never the token itself. */
  principal?: { kind: "user" | "node" | "runner"; id: string };
  /** Counts what the request costs. */
  meter: Meter;
  databases: Databases;
  /** What `RateLimit-Policy` says on the reply, once a limit has been looked at. */
  rateLimitPolicy?: string;
}

export interface RequestEnv {
  Variables: RequestVariables;
}

export type RequestContext = Context<RequestEnv>;
