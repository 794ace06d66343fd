import type { Context, Hono } from "hono";
import type { Databases, Meter } from "../db/client.ts";
import type { SiteConfig } from "../lib/config.ts";

/** Variables that the pipeline sets for every request. */
export interface RequestVariables {
  requestId: string;
  /** The authenticated caller. Never holds the token. */
  principal?: { kind: "user" | "node" | "runner"; id: string; customerId?: number };
  /** Counts the costs of the request. */
  meter: Meter;
  databases: Databases;
  /** Decides the origin of links; read it by `siteOf` alone. */
  site: SiteConfig;
  /** An unchanged node or an idle runner has called again: the log samples such requests unless they fail. */
  isRoutine?: true;
  /** `RateLimit-Policy` of the reply, once a limit was checked. */
  rateLimitPolicy?: string;
  /** `Content-Security-Policy` of a reply that is a page, and no data. */
  pagePolicy?: string;
  /** Names of the route's query parameters, for the links to a list's pages. */
  parameters?: readonly string[];
}

/**
 * Variables that guards set for handlers, by the access that the route declares. Each guard declares its own
 * beside itself, since this floor knows no people, jobs or runners.
 */
export interface CallerVariables {
  open: Record<never, never>;
}

export interface RequestEnv {
  Variables: RequestVariables;
}

export type RequestContext = Context<RequestEnv>;

export type App = Hono<RequestEnv>;
