import type { BareObject } from "./object-route.ts";

/** What every baseline is given: the real Worker's bindings by kind, and the reply it measured against. */
export interface BaselineEnv {
  DB: D1Database;
  OBJECT: DurableObjectNamespace<BareObject>;
  /** The body that the real route answers. */
  PAYLOAD: string;
}
