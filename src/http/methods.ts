import type { Context, Handler, Hono } from "hono";
import { isReservedSlug } from "../lib/slugs.ts";
import type { RequestEnv } from "./context.ts";
import { ApiError, errorBody } from "./errors.ts";
import { type Pages, prefersPage, sendPage } from "./pages.ts";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

/** The methods that a path answers; empty when no route serves it. HEAD comes with GET. */
export function allowedMethods(app: Hono<RequestEnv>, path: string): string[] {
  const served = METHODS.filter((method) => {
    const [handlers] = app.router.match(method, path);
    // Middleware is registered for ALL methods; only a route names its own.
    const [first] = handlers.find(([[, route]]) => route.method === method) ?? [];
    return first !== undefined && first[0] !== refuseMethod;
  });
  if (served.length === 0) return [];
  return ["OPTIONS", ...(served.includes("GET") ? ["HEAD"] : []), ...served].sort();
}

/** Refuses a method that a fixed path lacks, and that a route with a parameter in its place would take. */
export const refuseMethod: Handler<RequestEnv> = (c) => c.notFound();

/**
 * The fixed paths that have to refuse methods: `GET /jobs/delete` is no `GET /jobs/{job_id}`. Only the methods that
 * another route would take are named.
 */
export function shadowedMethods(
  routes: readonly { method: string; path: string }[],
): { method: string; path: string }[] {
  const keyOf = (method: string, path: string) => `${method} ${path.replaceAll(/{.+?}/g, "{}")}`;
  const served = new Set(routes.map(({ method, path }) => keyOf(method, path)));
  const shadowed = new Map<string, { method: string; path: string }>();
  for (const { path } of routes) {
    // `me` is a value of the parameter in its place, and its other methods are that route's.
    if (path.split("/").some(isReservedSlug)) continue;
    for (const { method, path: wider } of routes) {
      const key = keyOf(method, path);
      if (!served.has(key) && matches(wider, path)) shadowed.set(key, { method, path });
    }
  }
  return [...shadowed.values()];
}

/** True if a route's path takes every path that the other one takes. */
function matches(wider: string, path: string): boolean {
  const segments = path.split("/");
  const taken = wider.split("/");
  return (
    taken.length === segments.length &&
    taken.every((segment, at) => segment.startsWith("{") || segment === segments[at])
  );
}

/** 405 with `Allow` for a path that other methods serve, else 404: for browsers a page. */
export function unknownRoute(app: Hono<RequestEnv>, pages: Pages) {
  return (c: Context<RequestEnv>): Response | Promise<Response> => {
    const { method, path } = c.req;
    const allowed = allowedMethods(app, path);
    const isRead = method === "GET" || method === "HEAD";
    if (allowed.length === 0 && isRead && prefersPage(c)) return sendPage(c, pages, "404", 404);
    const error =
      allowed.length === 0
        ? new ApiError("RESOURCE_NOT_FOUND", `No route for ${method} ${path}`)
        : new ApiError("METHOD_NOT_ALLOWED", `${path} does not answer ${method}`, {
            headers: { Allow: allowed.join(", ") },
          });
    return c.json(errorBody(error, c.get("requestId")), error.status, error.headers);
  };
}
