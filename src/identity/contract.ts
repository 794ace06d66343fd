import { createRoute, z } from "@hono/zod-openapi";
import { errors, json } from "../http/responses.ts";

/** RFC 6749 §3.2: a parameter sent without a value counts as omitted. */
const parameter = (max: number) =>
  z
    .string("must be given once")
    .max(max)
    .transform((value) => (value === "" ? undefined : value))
    .optional();

const tokenForm = z
  .object({
    grant_type: parameter(64).openapi({ type: "string", example: "password" }),
    username: parameter(320).openapi({
      type: "string",
      description: "The e-mail address.",
      example: "admin@example.com",
    }),
    password: parameter(1024).openapi({ type: "string", format: "password" }),
  })
  // Repeated parameters arrive as lists; also unknown ones must not repeat.
  .catchall(z.string())
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
    ...errors(),
  },
});
