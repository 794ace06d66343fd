import { OpenAPIHono } from "@hono/zod-openapi";
import { createMiddleware } from "hono/factory";
import type { RequestContext, RequestEnv } from "../../http/context.ts";
import { ApiError, unauthorized } from "../../http/errors.ts";
import { KIB, readBody } from "../../http/json-body.ts";
import { onError } from "../../http/on-error.ts";
import { addressOf, type RateLimits } from "../../http/rate-limit.ts";
import { throwOnInvalid } from "../../http/validation.ts";
import { originOf } from "../audit.ts";
import { loginRoute, type OAUTH_ERRORS, revokeRoute, tokenRoute } from "./contract.ts";
import type { SignedIn, SignInService } from "./service.ts";

/** A sign-in is short; whatever is longer is none. */
const SIGN_IN_BODY_LIMIT = 16 * KIB;

const WRONG = "Wrong e-mail address or password";

interface SignInRouterDeps {
  signIns: SignInService;
  limits: RateLimits;
}

export function createSignInRouter({ signIns, limits }: SignInRouterDeps) {
  const limitAddress = createMiddleware<RequestEnv>(async (c, next) => {
    await limits.check(c, "sign-in-address", addressOf(c));
    await next();
  });
  /** Both ways to sign in share the limits, and so the number of guesses. */
  const signIn = async (c: RequestContext, email: string, password: string) => {
    // Before the hash, which costs 150 ms of this isolate.
    await limits.check(c, "sign-in-account", email.trim().toLowerCase());
    return signIns.signIn(c.get("databases").primary, originOf(c), email, password);
  };

  const router = new OpenAPIHono<RequestEnv>();
  router.route("/", createOAuthRouter());
  router.route("/", createLoginRouter());
  return router;

  /** The token endpoint alone answers errors as RFC 6749 §5.2 says (contract §2). */
  function createOAuthRouter() {
    const oauth = new OpenAPIHono<RequestEnv>({
      defaultHook: (result, c) =>
        result.success
          ? undefined
          : c.json(oauthError("invalid_request", "A field is too long or sent twice"), 400),
    });
    for (const { path } of [tokenRoute, revokeRoute]) {
      const checks = [
        neverStored,
        limitAddress,
        readBody(SIGN_IN_BODY_LIMIT, { type: "form" }),
      ] as const;
      oauth.on("POST", path, ...checks);
    }

    oauth.openapi(tokenRoute, async (c) => {
      const form = c.req.valid("form");
      switch (form.grant_type) {
        case undefined: {
          const message = "grant_type is required: password or refresh_token";
          return c.json(oauthError("invalid_request", message), 400);
        }
        case "password": {
          const { username, password } = form;
          if (username === undefined || password === undefined) {
            const message = "username and password are required";
            return c.json(oauthError("invalid_request", message), 400);
          }
          const signedIn = await signIn(c, username, password);
          if (signedIn === null) return c.json(oauthError("invalid_grant", WRONG), 400);
          return c.json(toTokenReply(signedIn), 200);
        }
        case "refresh_token": {
          const { refresh_token } = form;
          if (refresh_token === undefined) {
            return c.json(oauthError("invalid_request", "refresh_token is required"), 400);
          }
          const db = c.get("databases").primary;
          const next = await signIns.refresh(db, originOf(c), refresh_token);
          if (next === null) {
            const message = "The refresh token is not valid any more; sign in again";
            return c.json(oauthError("invalid_grant", message), 400);
          }
          return c.json(toTokenReply(next), 200);
        }
        default: {
          const message = "grant_type must be password or refresh_token";
          return c.json(oauthError("unsupported_grant_type", message), 400);
        }
      }
    });

    oauth.openapi(revokeRoute, async (c) => {
      const { token } = c.req.valid("form");
      // Also for a token that says nothing: what should be gone is gone (RFC 7009 §2.2).
      if (token !== undefined) {
        await signIns.signOut(c.get("databases").primary, originOf(c), token);
      }
      return c.body(null, 200);
    });

    oauth.onError((error, c) => {
      if (error instanceof ApiError && error.status < 429) {
        return c.json(oauthError("invalid_request", error.message), 400);
      }
      return onError(error, c);
    });
    return oauth;
  }

  function createLoginRouter() {
    const login = new OpenAPIHono<RequestEnv>({ defaultHook: throwOnInvalid });
    const checks = [neverStored, limitAddress, readBody(SIGN_IN_BODY_LIMIT)] as const;
    login.openapi({ ...loginRoute, middleware: [...checks] as const }, async (c) => {
      const { email, password } = c.req.valid("json");
      const signedIn = await signIn(c, email, password);
      if (signedIn === null) throw unauthorized(WRONG);
      const { access_token: id_token, token_type, expires_in } = toTokenReply(signedIn);
      return c.json({ data: { id_token, token_type, expires_in } }, 200);
    });
    return login;
  }
}

function toTokenReply({ token, refreshToken, expiresInSeconds }: SignedIn) {
  return {
    access_token: token,
    token_type: "bearer" as const,
    expires_in: expiresInSeconds,
    refresh_token: refreshToken,
  };
}

/** Neither tokens nor what is said of credentials may be kept by anyone on the way (RFC 6749 §5.1). */
const neverStored = createMiddleware<RequestEnv>(async (c, next) => {
  c.header("Cache-Control", "no-store");
  await next();
});

function oauthError(error: (typeof OAUTH_ERRORS)[number], error_description: string) {
  return { error, error_description };
}
