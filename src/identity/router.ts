import { OpenAPIHono } from "@hono/zod-openapi";
import { createMiddleware } from "hono/factory";
import type { RequestEnv } from "../http/context.ts";
import { ApiError } from "../http/errors.ts";
import { KIB, readBody } from "../http/json-body.ts";
import { onError } from "../http/on-error.ts";
import { addressOf, type RateLimits } from "../http/rate-limit.ts";
import { type OAUTH_ERRORS, tokenRoute } from "./contract.ts";
import type { Identity } from "./service.ts";

/** A sign-in form is short; whatever is longer is none. */
const TOKEN_BODY_LIMIT = 16 * KIB;

interface IdentityDeps {
  identity: Identity;
  limits: RateLimits;
}

export function createIdentityRouter({ identity, limits }: IdentityDeps) {
  const router = new OpenAPIHono<RequestEnv>({
    // The token endpoint alone answers errors as RFC 6749 §5.2 says (contract §2).
    defaultHook: (result, c) =>
      result.success
        ? undefined
        : c.json(oauthError("invalid_request", "A field is too long or sent twice"), 400),
  });
  const limitAddress = createMiddleware<RequestEnv>(async (c, next) => {
    await limits.check(c, "sign-in-address", addressOf(c));
    await next();
  });
  const { path } = tokenRoute;
  router.on("POST", path, neverStored, limitAddress, onlyForms, readBody(TOKEN_BODY_LIMIT));
  router.openapi(tokenRoute, async (c) => {
    const { grant_type, username, password } = c.req.valid("form");
    if (grant_type === undefined) {
      return c.json(oauthError("invalid_request", "grant_type is required: password"), 400);
    }
    if (grant_type !== "password") {
      return c.json(oauthError("unsupported_grant_type", "grant_type must be password"), 400);
    }
    if (username === undefined || password === undefined) {
      return c.json(oauthError("invalid_request", "username and password are required"), 400);
    }
    // Before the hash, which costs 150 ms of this isolate.
    await limits.check(c, "sign-in-account", username.trim().toLowerCase());
    const signedIn = await identity.signIn(c.get("databases").primary, username, password);
    if (signedIn === null) {
      return c.json(oauthError("invalid_grant", "Wrong e-mail address or password"), 400);
    }
    const { token, expiresInSeconds } = signedIn;
    return c.json(
      { access_token: token, token_type: "bearer" as const, expires_in: expiresInSeconds },
      200,
    );
  });
  router.onError((error, c) => {
    if (error instanceof ApiError && error.status < 429) {
      return c.json(oauthError("invalid_request", error.message), 400);
    }
    return onError(error, c);
  });
  return router;
}

/** Neither tokens nor what is said of credentials may be kept by anyone on the way (RFC 6749 §5.1). */
const neverStored = createMiddleware<RequestEnv>(async (c, next) => {
  c.header("Cache-Control", "no-store");
  await next();
});

const onlyForms = createMiddleware<RequestEnv>(async (c, next) => {
  if (!/^application\/x-www-form-urlencoded *(;|$)/i.test(c.req.header("content-type") ?? "")) {
    const message = "The body must be a form: application/x-www-form-urlencoded";
    throw new ApiError("PARAMETER_INCORRECT_VALUE", message);
  }
  await next();
});

function oauthError(error: (typeof OAUTH_ERRORS)[number], error_description: string) {
  return { error, error_description };
}
