import type { Context } from "hono";
import type { Database, Meter } from "../db/client.ts";

/** What the middleware of `app.ts` has put into every request before a handler runs. */
export interface RequestVariables {
  requestId: string;
  /** Who asks, once a token has said so. Never the token itself. */
  principal?: { kind: "user" | "node"; id: string };
  /** Counts what the request costs. */
  meter: Meter;
  /** Reads what this client has written before: follows the bookmark it sent (design §3.10). */
  db: Database;
  /** Always reads the primary: for callers, roles and keys. */
  primary: Database;
}

export interface RequestEnv {
  Variables: RequestVariables;
}

export type RequestContext = Context<RequestEnv>;
