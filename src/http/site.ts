import type { Context } from "hono";
import { readOrigin, type SiteConfig } from "../lib/config.ts";
import type { RequestEnv } from "./context.ts";

const LOCAL_NAMES = new Set(["localhost", "127.0.0.1", "[::1]"]);
const LOOPBACK = /^(?:127(?:\.\d{1,3}){3}|::1)$/;

/**
 * The origin that links of this server name, such as `https://assay.example`; null when nobody has said it. A client can
 * send any `Host`, so that of a request counts only where the platform routes by it. Elsewhere only the names of this
 * machine count, and only for callers on it.
 */
export function siteOf<Env extends RequestEnv>(c: Context<Env>): string | null {
  const { publicOrigin, trustsHost }: SiteConfig = c.get("site");
  if (publicOrigin !== null) return publicOrigin;
  const { origin, hostname } = new URL(c.req.url);
  const isLocal = () =>
    LOCAL_NAMES.has(hostname) && LOOPBACK.test(c.req.header("cf-connecting-ip") ?? "");
  return trustsHost || isLocal() ? readOrigin(origin) : null;
}
