import type { RouteConfig, RouteConfigToTypedResponse, RouteHandler, z } from "@hono/zod-openapi";
import type { Context, Hono, MiddlewareHandler, ValidationTargets } from "hono";
import { createMiddleware } from "hono/factory";
import { validator } from "hono/validator";
import type { Access, AnyOperation, RouteLimit, Serving } from "../api/operation.ts";
import type { CallerVariables, RequestEnv, RequestVariables } from "./context.ts";
import { readBody } from "./json-body.ts";
import { refuseMethod, shadowedMethods } from "./methods.ts";
import { readQuery, refuseNearKeys } from "./query.ts";
import { addressOf, networkOf, type RateLimits } from "./rate-limit.ts";
import type { WrittenReply } from "./replies.ts";
import { validationError } from "./validation.ts";

type CallerEnv<A extends Access> = { Variables: RequestVariables & CallerVariables[A] };

type Reply<R extends AnyOperation> = RouteConfigToTypedResponse<R> | WrittenReply;

type Handler<R extends AnyOperation> = (
  c: Parameters<RouteHandler<R, CallerEnv<R["serving"]["access"]>>>[0],
) => Reply<R> | Promise<Reply<R>>;

/** A route and its handler. */
export interface Served {
  route: AnyOperation;
  handler: RouteHandler<RouteConfig, RequestEnv>;
}

/**
 * Pairs a route contract with its handler. The contract declares the accepted callers, the rate limit and the
 * body; it types the handler's context, and the handler runs once all checks have passed.
 */
export function serve<R extends AnyOperation>(route: R, handler: Handler<R>): Served {
  // The framework types a context by the route's middleware; here it is typed by the route's access.
  return { route, handler: handler as unknown as Served["handler"] };
}

/** Each guard refuses callers without its access, and sets `CallerVariables`. */
export type Guards = Record<
  Exclude<Access, "open"> | "session" | "recentSession",
  MiddlewareHandler
>;

interface Gate {
  guards: Guards;
  limits: RateLimits;
}

/**
 * Adds routes to an app, in their order. Before a handler: rate limit, authentication, role, then the body's
 * type and size, then validation (docs/contract.md, "HTTP rules").
 */
export function mount(app: Hono<RequestEnv>, gate: Gate, routes: readonly Served[]): void {
  for (const { method, path } of shadowedMethods(routes.map(({ route }) => route))) {
    app.on([method], [patternOf(path)], refuseMethod);
  }
  for (const { route, handler } of routes) {
    const path = patternOf(route.path);
    const checks = [...checksOf(route.serving, gate), ...validatorsOf(route)];
    app.on([route.method], [path], ...checks, handler);
  }
}

function patternOf(path: string): string {
  return path.replaceAll(/\/{(.+?)}/g, "/:$1");
}

function checksOf(serving: Serving, { guards, limits }: Gate): MiddlewareHandler[] {
  const { access, limit, session, body, isSecret } = serving;
  const checks: MiddlewareHandler[] = [];
  if (isSecret) checks.push(neverStored);
  if (access === "open") {
    checks.push(limitAddress(limits, limit ?? "address"));
  } else {
    checks.push(guards[access]);
    if (session !== null) checks.push(session === "any" ? guards.session : guards.recentSession);
    if (limit !== null) checks.push(limitCaller(limits, limit));
  }
  if (body !== null) {
    const { type, isOptional: optional, maxBytes } = body;
    checks.push(readBody(maxBytes, { type, optional }));
  }
  return checks;
}

/** Validates query, path and body, in this order. Throws 400 for the first that does not fit. */
function validatorsOf({ request = {}, serving }: AnyOperation): MiddlewareHandler[] {
  const { query, params, body } = request;
  const targets: [keyof ValidationTargets, unknown][] = [
    ["query", query],
    ["param", params],
  ];
  const { type } = serving.body ?? {};
  if (type === "json" || type === "form") {
    const [content] = Object.values(body?.content ?? {});
    if (content !== undefined && "schema" in content) targets.push([type, content.schema]);
  }
  return targets.flatMap(
    ([target, schema]) =>
      schema === undefined ? [] : [validate(target, schema as z.ZodType, serving)], // contracts hold schemas of zod alone
  );
}

function validate(
  target: keyof ValidationTargets,
  schema: z.ZodType,
  serving: Serving,
): MiddlewareHandler {
  const check = (value: unknown, c: Context<RequestEnv>) => {
    const parsed = schema.safeParse(prepared(target, value, c, serving));
    if (!parsed.success) throw validationError(parsed.error.issues);
    return parsed.data as object; // contracts describe queries, paths and bodies as objects
  };
  if (target === "form") return validator(target, check);
  return createMiddleware<RequestEnv>(async (c, next) => {
    // The framework's validator would read the type of the body for each target, and copy queries twice.
    c.req.addValidatedData(target, check(await sentValue(target, c), c));
    await next();
  });
}

function sentValue(target: keyof ValidationTargets, c: Context<RequestEnv>): unknown {
  if (target === "query") return c.req.queries();
  // Parsed by `readBody`.
  return target === "json" ? c.req.json() : c.req.param();
}

function prepared(
  target: keyof ValidationTargets,
  value: unknown,
  c: Context<RequestEnv>,
  { query, body }: Serving,
): unknown {
  if (target === "json" && body?.keys) refuseNearKeys(value, body.keys);
  if (target !== "query" || query === null) return value;
  c.set("parameters", query.names);
  return readQuery(value as Record<string, string[]>, query); // the framework's form of queries
}

/** Counts requests of an address. */
export function limitAddress(limits: RateLimits, name: RouteLimit | "address") {
  return createMiddleware<RequestEnv>(async (c, next) => {
    await limits.check(c, name, addressOf(c));
    await next();
  });
}

/** Counts requests of an authenticated caller. */
function limitCaller(limits: RateLimits, name: RouteLimit) {
  return createMiddleware<RequestEnv>(async (c, next) => {
    const id = c.get("principal")?.id ?? addressOf(c);
    // The thief of a session must not hold up its owner, who is elsewhere.
    const key = name === "sign-in-account" ? `${id} ${networkOf(addressOf(c))}` : id;
    await limits.check(c, name, key);
    await next();
  });
}

/** Caches must not store credentials (RFC 6749 §5.1), and what a node hears must come from the server. */
const neverStored = createMiddleware<RequestEnv>(async (c, next) => {
  c.header("Cache-Control", "no-store");
  await next();
});
