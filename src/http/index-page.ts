import type { Context } from "hono";
import { accepts } from "hono/accepts";
import type { RequestEnv } from "./context.ts";

/** Where everything is, for whoever arrives at `/`. */
const PLACES = {
  docs: "/docs",
  api_document: "/openapi.json",
  agent: "/agent.mjs",
  health: "/health",
} as const;

/** A small index: HTML for browsers, JSON for everyone else. */
export function indexPage(about: { name: string; version: string; description: string }) {
  const links = Object.entries(PLACES)
    .map(([name, path]) => `<li><a href="${path}">${name.replace("_", " ")}</a></li>`)
    .join("");
  const page = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${about.name}</title></head><body><h1>${about.name} ${about.version}</h1><p>${about.description}</p><ul>${links}</ul></body></html>`;
  return (c: Context<RequestEnv>): Response => {
    c.header("Vary", "Accept", { append: true });
    const type = accepts(c, {
      header: "Accept",
      supports: ["application/json", "text/html"],
      default: "application/json",
    });
    return type === "text/html" ? c.html(page) : c.json({ ...about, ...PLACES });
  };
}
