import type { Context, Hono } from "hono";
import type { RequestEnv } from "./context.ts";
import { ApiError, errorBody } from "./errors.ts";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

/** The methods that a path answers; empty when no route serves it. HEAD comes with GET. */
export function allowedMethods(app: Hono<RequestEnv>, path: string): string[] {
  const served = METHODS.filter((method) => {
    const [handlers] = app.router.match(method, path);
    // Middleware is registered for ALL methods; only a route names its own.
    return handlers.some(([[, route]]) => route.method === method);
  });
  if (served.length === 0) return [];
  return ["OPTIONS", ...(served.includes("GET") ? ["HEAD"] : []), ...served].sort();
}

/** 405 with `Allow` for a path that other methods serve, else 404. */
export function unknownRoute(app: Hono<RequestEnv>) {
  return (c: Context<RequestEnv>): Response => {
    const { method, path } = c.req;
    const allowed = allowedMethods(app, path);
    const error =
      allowed.length === 0
        ? new ApiError("RESOURCE_NOT_FOUND", `No route for ${method} ${path}`)
        : new ApiError("METHOD_NOT_ALLOWED", `${path} does not answer ${method}`, {
            headers: { Allow: allowed.join(", ") },
          });
    return c.json(errorBody(error, c.get("requestId")), error.status, error.headers);
  };
}
