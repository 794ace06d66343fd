import { z } from "@hono/zod-openapi";
import { operation } from "../http/operation.ts";
import { json } from "../http/responses.ts";
import { CLOSED, integer, jwt, message } from "../http/schemas.ts";

/** RFC 6749 §3.2: a parameter sent without a value counts as omitted. */
const parameter = (max: number) =>
  z
    .string("must be given once")
    .max(max)
    .transform((value) => (value === "" ? undefined : value))
    .optional();

const tokenForm = z
  .object({
    grant_type: parameter(64).openapi({ enum: ["password"], example: "password" }),
    username: parameter(320).openapi({
      format: "email",
      minLength: 1,
      description: "The e-mail address; case does not matter.",
      example: "admin@example.com",
    }),
    password: parameter(1024).openapi({
      format: "password",
      minLength: 1,
      description: "The password.",
      example: "correct horse battery staple",
    }),
  })
  // Repeated parameters arrive as lists; also unknown ones must not repeat.
  .catchall(z.string())
  .openapi("TokenRequest", {
    ...CLOSED,
    // What is missing is answered in OAuth's words, not by validation.
    required: ["grant_type", "username", "password"],
    description: "The form of the OAuth 2 password grant.",
  });

const tokenReply = z
  .strictObject({
    access_token: jwt("Send it as `Authorization: Bearer <token>`."),
    token_type: z.literal("bearer").openapi({ description: "How to send it." }),
    expires_in: integer({
      min: 1,
      max: 31_536_000,
      description: "Seconds until it expires.",
      example: 3_600,
    }),
  })
  .openapi("Token", { description: "A token that stands for a person." });

/** The errors of RFC 6749 §5.2 that this endpoint answers. */
export const OAUTH_ERRORS = ["invalid_request", "invalid_grant", "unsupported_grant_type"] as const;

const oauthError = z
  .strictObject({
    error: z.enum(OAUTH_ERRORS).openapi({ description: "For programs: what kind of error it is." }),
    error_description: message(1_024, "For people: what is wrong."),
  })
  .openapi("OAuthError", { description: "An error as RFC 6749 §5.2 says it." });

export const tokenRoute = operation({
  method: "post",
  path: "/token",
  operationId: "createToken",
  tags: ["Sign-in"],
  summary: "Sign in",
  description: `The OAuth 2 password grant (RFC 6749 §4.3): a form with \`grant_type=password\`, the e-mail address as \`username\`, and the password. Answers a token to send as \`Authorization: Bearer <token>\`.

Open to anyone with an account. A form has at most 16 KiB; parameters must not repeat. Attempts are limited per address and per account. A wrong password and an unknown or locked account get the same answer in the same time.`,
  access: "open",
  request: {
    body: {
      description: "The form.",
      content: {
        "application/x-www-form-urlencoded": {
          schema: tokenForm,
          example: {
            grant_type: "password",
            username: "admin@example.com",
            password: "correct horse battery staple",
          },
        },
      },
      required: true,
    },
  },
  responses: {
    200: json(tokenReply, {
      description: "A token.",
      example: {
        access_token:
          "eyJhbGciOiJIUzI1NiIsInR5cCI6InVzZXIrand0In0.eyJpc3MiOiJhc3NheSJ9.mJm1s0h0lq7XrT3QeVbN8cKd2Uu5pZyWgA4fRkLxBqM",
        token_type: "bearer",
        expires_in: 3_600,
      },
      headers: ["Cache-Control"],
    }),
    400: json(oauthError, {
      description: "What is wrong, as RFC 6749 §5.2 says it.",
      example: {
        error: "invalid_grant",
        error_description: "Wrong e-mail address or password",
      },
      headers: ["Cache-Control"],
    }),
  },
});
