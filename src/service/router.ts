import { ping } from "../db/client.ts";
import type { RequestContext } from "../http/context.ts";
import { unavailable } from "../http/errors.ts";
import { type Pages, prefersPage, sendPage } from "../http/pages.ts";
import { serve } from "../http/serve.ts";
import { COMPATIBLE_CLIENT, PRODUCT, RELEASE } from "../lib/release.ts";
import { healthRoute, versionRoute } from "./contract.ts";

/** Version and health of the service. */
export const serviceRoutes = () => [
  serve(versionRoute, (c) => c.json({ version: COMPATIBLE_CLIENT, assay: RELEASE }, 200)),

  serve(healthRoute, async (c) => {
    try {
      await ping(c.get("databases").primary);
    } catch (error) {
      throw unavailable(5, error);
    }
    c.header("Cache-Control", "no-store");
    return c.json({ status: "ok" as const }, 200);
  }),
];

/** Addresses that the index names. */
const PLACES = {
  console: "/console",
  docs: "/docs",
  api_document: "/openapi.json",
  client_types: "/client.d.ts",
  agent: "/agent.mjs",
  agent_script: "/agent",
  cli: "/assay.mjs",
  cli_script: "/cli",
  health: "/health",
} as const;

const ABOUT = { name: "Assay", version: RELEASE, description: PRODUCT };

/** The start page for browsers, an index of addresses for programs. */
export function indexPage(pages: Pages) {
  return (c: RequestContext): Response | Promise<Response> => {
    c.header("Vary", "Accept", { append: true });
    return prefersPage(c) ? sendPage(c, pages, "home", 200) : c.json({ ...ABOUT, ...PLACES });
  };
}
