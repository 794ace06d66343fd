import { z } from "@hono/zod-openapi";
import { operation } from "../../http/operation.ts";
import { json, jsonBody } from "../../http/responses.ts";
import { CLOSED, integer, jwt, message } from "../../http/schemas.ts";

/** RFC 6749 §3.2: a parameter sent without a value counts as omitted. */
const parameter = (max: number) =>
  z
    .string("must be given once")
    .max(max)
    .transform((value) => (value === "" ? undefined : value))
    .optional();

const tokenForm = z
  .object({
    grant_type: parameter(64).openapi({
      enum: ["password", "refresh_token"],
      description: "`password` to sign in, `refresh_token` to stay signed in.",
      example: "password",
    }),
    username: parameter(320).openapi({
      format: "email",
      minLength: 1,
      description: "The e-mail address, for `password`; case does not matter.",
      example: "admin@example.com",
    }),
    password: parameter(1024).openapi({
      format: "password",
      minLength: 1,
      description: "The password, for `password`.",
      example: "correct horse battery staple",
    }),
    refresh_token: parameter(2_048).openapi({
      pattern: "^[ -~]*$",
      description: "The latest refresh token, for `refresh_token`.",
    }),
  })
  // Repeated parameters arrive as lists; also unknown ones must not repeat.
  .catchall(z.string())
  .openapi("TokenRequest", {
    ...CLOSED,
    // What is missing is answered in OAuth's words, not by validation.
    required: ["grant_type"],
    description: "The form of the OAuth 2 password and refresh token grants.",
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
    refresh_token: jwt(
      "Changes once for the next tokens, within 30 days; used again, it ends the session.",
    ),
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

const TOKEN_EXAMPLE =
  "eyJhbGciOiJIUzI1NiIsInR5cCI6InVzZXIrand0In0.eyJpc3MiOiJhc3NheSJ9.mJm1s0h0lq7XrT3QeVbN8cKd2Uu5pZyWgA4fRkLxBqM";

export const tokenRoute = operation({
  method: "post",
  path: "/token",
  operationId: "createToken",
  tags: ["Sign-in"],
  summary: "Sign in, or stay signed in",
  description: `The OAuth 2 password grant (RFC 6749 §4.3): a form with \`grant_type=password\`, the e-mail address as \`username\`, and the password. Answers a token to send as \`Authorization: Bearer <token>\`, and a refresh token: \`grant_type=refresh_token\` with it answers the next two (§6). A refresh token works once. One that is seen again may have been stolen, and ends the session.

Open to anyone with an account. A form has at most 16 KiB; parameters must not repeat. Attempts are limited per address and per account, and after some failures in a row each one makes the account wait longer: 429 says how long. A wrong password and an unknown or locked account get the same answer in the same time.`,
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
        access_token: TOKEN_EXAMPLE,
        token_type: "bearer",
        expires_in: 3_600,
        refresh_token: TOKEN_EXAMPLE,
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

const revokeForm = z
  .object({
    token: parameter(2_048).openapi({
      pattern: "^[ -~]*$",
      description: "The latest refresh token.",
    }),
  })
  .catchall(z.string())
  .openapi("RevokeRequest", {
    ...CLOSED,
    required: ["token"],
    description: "The form of OAuth 2 token revocation.",
  });

export const revokeRoute = operation({
  method: "post",
  path: "/token/revoke",
  operationId: "revokeToken",
  tags: ["Sign-in"],
  summary: "Sign out",
  description: `Ends the session that a refresh token belongs to (RFC 7009), and with it all of its tokens: at once where this is answered, within 30 s everywhere. Always 200, also for a token that says nothing.

Open: whoever holds the token may end it. A form has at most 16 KiB; parameters must not repeat.`,
  access: "open",
  request: {
    body: {
      description: "The form.",
      content: {
        "application/x-www-form-urlencoded": {
          schema: revokeForm,
          example: { token: TOKEN_EXAMPLE },
        },
      },
      required: true,
    },
  },
  responses: {
    200: { description: "The session has ended; there is no body." },
    400: json(oauthError, {
      description: "What is wrong with the form, as RFC 6749 §5.2 says it.",
      example: { error: "invalid_request", error_description: "A field is too long or sent twice" },
      headers: ["Cache-Control"],
    }),
  },
});

const loginBody = z
  .object({
    email: z.string().min(1).max(320).openapi({
      format: "email",
      description: "The e-mail address; case does not matter.",
      example: "admin@example.com",
    }),
    password: z.string().min(1).max(1_024).openapi({
      format: "password",
      description: "The password.",
      example: "correct horse battery staple",
    }),
  })
  .openapi("Login", { ...CLOSED, description: "Who signs in." });

const loginReply = z
  .strictObject({
    data: z
      .strictObject({
        id_token: jwt("Send it as `Authorization: Bearer <token>`."),
        token_type: z.literal("bearer").openapi({ description: "How to send it." }),
        expires_in: integer({
          min: 1,
          max: 31_536_000,
          description: "Seconds until it expires.",
          example: 3_600,
        }),
      })
      .openapi({ description: "The token." }),
  })
  .openapi("LoginReply", { description: "A token that stands for a person." });

export const loginRoute = operation({
  method: "post",
  path: "/api/user/login",
  operationId: "login",
  tags: ["Sign-in"],
  summary: "Sign in with JSON",
  description: `As \`POST /token\` with the password grant, for scripts that send JSON and read \`data.id_token\`. The same token, the same limits, the same time.

Open to anyone with an account. A body has at most 16 KiB.`,
  access: "open",
  request: {
    body: jsonBody(loginBody, {
      description: "Who signs in.",
      example: { email: "admin@example.com", password: "correct horse battery staple" },
    }),
  },
  responses: {
    200: json(loginReply, {
      description: "A token.",
      example: { data: { id_token: TOKEN_EXAMPLE, token_type: "bearer", expires_in: 3_600 } },
      headers: ["Cache-Control"],
    }),
  },
  errors: ["CLIENT_TOKEN_INVALID"],
});
