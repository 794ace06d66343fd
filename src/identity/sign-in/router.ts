import type { RequestContext } from "../../http/context.ts";
import { ApiError, onError, unauthorized } from "../../http/errors.ts";
import { networkOf, type RateLimits } from "../../http/rate-limit.ts";
import { empty } from "../../http/replies.ts";
import { serve } from "../../http/serve.ts";
import { originOf } from "../origin.ts";
import { loginRoute, type OAUTH_ERRORS, revokeRoute, tokenRoute } from "./contract.ts";
import { accountOf, type SignedIn, type SignInService } from "./service.ts";

const WRONG = "Wrong e-mail address or password";

interface SignInDeps {
  signIns: SignInService;
  limits: RateLimits;
}

/** Both ways to sign in share the limit on guesses. */
async function signIn(
  { signIns, limits }: SignInDeps,
  c: RequestContext,
  email: string,
  password: string,
) {
  const origin = originOf(c);
  const key = `${accountOf(email)} ${networkOf(origin.address)}`;
  const isCrowded = !(await limits.allows(c, "sign-in-account", key));
  return signIns.signIn(c.get("databases").primary, origin, { email, password, isCrowded });
}

/** The token endpoint. Only it answers errors in the form of RFC 6749 §5.2: mount it with `onOAuthError`. */
export const oauthRoutes = (deps: SignInDeps) => [
  serve(tokenRoute, async (c) => {
    const form = c.req.valid("form");
    switch (form.grant_type) {
      case undefined:
        return c.json(invalid("grant_type is required: password or refresh_token"), 400);
      case "password": {
        const { username, password } = form;
        if (username === undefined || password === undefined) {
          return c.json(invalid("username and password are required"), 400);
        }
        const signedIn = await signIn(deps, c, username, password);
        if (signedIn === null) return c.json(oauthError("invalid_grant", WRONG), 400);
        return c.json(toTokenReply(signedIn), 200);
      }
      case "refresh_token": {
        const { refresh_token } = form;
        if (refresh_token === undefined) {
          return c.json(invalid("refresh_token is required"), 400);
        }
        const db = c.get("databases").primary;
        const next = await deps.signIns.refresh(db, originOf(c), refresh_token);
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
  }),

  serve(revokeRoute, async (c) => {
    const { token } = c.req.valid("form");
    if (token === undefined) return c.json(invalid("token is required"), 400);
    // Success for an invalid token, too: it has no session to end (RFC 7009 §2.2).
    await deps.signIns.signOut(c.get("databases").primary, originOf(c), token);
    return empty(c, 200);
  }),
];

export const loginRoutes = (deps: SignInDeps) => [
  serve(loginRoute, async (c) => {
    const { email, password } = c.req.valid("json");
    const signedIn = await signIn(deps, c, email, password);
    if (signedIn === null) throw unauthorized(WRONG);
    const { access_token: id_token, token_type, expires_in } = toTokenReply(signedIn);
    return c.json({ data: { id_token, token_type, expires_in } }, 200);
  }),
];

export function onOAuthError(error: Error, c: RequestContext): Response {
  if (!(error instanceof ApiError) || error.status >= 429) return onError(error, c);
  // Only errors of a schema have details.
  const isRefused = error.details !== undefined;
  return c.json(invalid(isRefused ? "A field is too long or sent twice" : error.message), 400);
}

function toTokenReply({ token, refreshToken, expiresInSeconds }: SignedIn) {
  return {
    access_token: token,
    token_type: "bearer" as const,
    expires_in: expiresInSeconds,
    refresh_token: refreshToken,
  };
}

function oauthError(error: (typeof OAUTH_ERRORS)[number], error_description: string) {
  return { error, error_description };
}

function invalid(message: string) {
  return oauthError("invalid_request", message);
}
