import type { BareObject } from "./limit.ts";
import type { PlainJob } from "./plain-job.ts";

/** Bindings of every baseline: the product's, by name. */
export interface BaselineEnv {
  DB: D1Database;
  BUCKET: R2Bucket;
  OBJECT: DurableObjectNamespace<BareObject>;
  JOB: DurableObjectNamespace<PlainJob>;
  TOKEN_SECRET: string;
  /** The product itself. */
  PRODUCT: Fetcher;
  /** Replies of the product's hot routes, by the route's name. */
  REPLIES: Record<string, string>;
}
