import type { BareObject } from "./object-route.ts";

/** Bindings of every baseline: the real Worker's, by kind, and the reply that it is measured against. */
export interface BaselineEnv {
  DB: D1Database;
  OBJECT: DurableObjectNamespace<BareObject>;
  /** The body that the real route answers. */
  PAYLOAD: string;
}
