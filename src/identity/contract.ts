import { createRoute, z } from "@hono/zod-openapi";
import { json } from "../http/responses.ts";

const tokenForm = z
  .object({
    grant_type: z.string().max(64).optional().openapi({ example: "password" }),
    username: z.string().max(320).optional().openapi({
      description: "The e-mail address.",
      example: "admin@example.com",
    }),
    password: z.string().max(1024).optional().openapi({ format: "password" }),
  })
  .openapi("TokenRequest");

const tokenReply = z
  .object({
    access_token: z.string().max(4096),
    token_type: z.literal("bearer"),
    expires_in: z.int().openapi({ description: "Seconds.", example: 3600 }),
  })
  .openapi("Token");

/** The errors of RFC 6749 §5.2 that this endpoint answers. */
export const OAUTH_ERRORS = ["invalid_request", "invalid_grant", "unsupported_grant_type"] as const;

const oauthError = z
  .object({ error: z.enum(OAUTH_ERRORS), error_description: z.string().max(1024) })
  .openapi("OAuthError");

export const tokenRoute = createRoute({
  method: "post",
  path: "/token",
  operationId: "createToken",
  tags: ["Sign-in"],
  summary: "Sign in",
  description:
    "The OAuth 2 password grant (RFC 6749 §4.3): a form with `grant_type=password`, the e-mail address as `username`, and the password. Answers a token to send as `Authorization: Bearer <token>`.",
  security: [],
  request: {
    body: {
      content: { "application/x-www-form-urlencoded": { schema: tokenForm } },
      required: true,
    },
  },
  responses: {
    200: json(tokenReply, "A token."),
    400: json(oauthError, "What is wrong, as RFC 6749 §5.2 says it."),
    500: json(oauthError.or(z.looseObject({})), "Our fault."),
  },
});
