import type { Context } from "hono";
import type { RequestEnv } from "./context.ts";

/** Where the caller has reached this server, such as `https://assay.example`. */
export function siteOf<Env extends RequestEnv>(c: Context<Env>): string {
  const { url } = c.req;
  return url.slice(0, url.indexOf("/", url.indexOf("//") + 2));
}
