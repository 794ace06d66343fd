import { ping } from "../db/client.ts";
import { preferredType } from "../http/accept.ts";
import type { RequestContext } from "../http/context.ts";
import { unavailable } from "../http/errors.ts";
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

/** Links of the index page. */
const PLACES = {
  docs: "/docs",
  api_document: "/openapi.json",
  client_types: "/client.d.ts",
  agent: "/agent.mjs",
  agent_script: "/agent",
  health: "/health",
} as const;

const ABOUT = { name: "Assay", version: RELEASE, description: PRODUCT };

const LINKS = Object.entries(PLACES)
  .map(([name, path]) => `<li><a href="${path}">${name.replace("_", " ")}</a></li>`)
  .join("");

const PAGE = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${ABOUT.name}</title></head><body><h1>${ABOUT.name} ${ABOUT.version}</h1><p>${ABOUT.description}</p><ul>${LINKS}</ul></body></html>`;

/** A small index: HTML for browsers, JSON for other clients. */
export function indexPage(c: RequestContext): Response {
  c.header("Vary", "Accept", { append: true });
  const type = preferredType(c.req.header("Accept"), ["application/json", "text/html"]);
  return type === "text/html" ? c.html(PAGE) : c.json({ ...ABOUT, ...PLACES });
}
