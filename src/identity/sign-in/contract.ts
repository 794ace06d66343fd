import { z } from "@hono/zod-openapi";
import { json, jsonBody, operation } from "../../api/operation.ts";
import { integer, jwt, message } from "../../api/schemas.ts";
import { KIB } from "../../lib/bytes.ts";

/** Far above every valid form. */
const SIGN_IN_BODY_LIMIT = 16 * KIB;

/** RFC 6749 §3.2: a parameter sent without a value counts as omitted. */
const parameter = (max: number) =>
  z
    .string("must be given once")
    .max(max)
    .transform((value) => (value === "" ? undefined : value))
    .optional();

/** Other fields of a form are ignored, but given once, too. */
const anyOther = z
  .string()
  .openapi({ maxLength: SIGN_IN_BODY_LIMIT, pattern: "^[\\s\\S]*$", description: "Ignored." });

const tokenForm = z
  .object({
    grant_type: parameter(64).openapi({
      // No enumeration: Rust's client of a form would not compile (documentFaults).
      pattern: "^(password|refresh_token)$",
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
  // Repeated parameters arrive as lists. Unknown parameters must not repeat either.
  .catchall(anyOther)
  .openapi("TokenRequest", {
    // Required in the document alone: a missing parameter gets an OAuth error, not the error of validation.
    required: ["grant_type"],
    description: "The form of the OAuth 2 password and refresh token grants.",
  });

const tokenReply = z
  .strictObject({
    access_token: jwt("The token. Send it as `Authorization: Bearer <token>`."),
    token_type: z.literal("bearer").openapi({ description: "The scheme to send the token with." }),
    expires_in: integer({
      min: 1,
      max: 31_536_000,
      description: "Seconds until the token expires.",
      example: 3_600,
    }),
    refresh_token: jwt(
      "Can be exchanged once for new tokens, within 30 days. A second use ends the session.",
    ),
  })
  .openapi("Token", { description: "A person's token." });

/** The errors of RFC 6749 §5.2 that this endpoint answers. */
export const OAUTH_ERRORS = ["invalid_request", "invalid_grant", "unsupported_grant_type"] as const;

const oauthError = z
  .strictObject({
    error: z.enum(OAUTH_ERRORS).openapi({ description: "The kind of error, for programs." }),
    error_description: message(1_024, "The fault, for people."),
  })
  .openapi("OAuthError", { description: "An error in the form of RFC 6749 §5.2." });

const TOKEN_EXAMPLE =
  "eyJhbGciOiJIUzI1NiIsInR5cCI6InVzZXIrand0In0.eyJpc3MiOiJhc3NheSJ9.mJm1s0h0lq7XrT3QeVbN8cKd2Uu5pZyWgA4fRkLxBqM";

export const tokenRoute = operation({
  method: "post",
  path: "/token",
  operationId: "createToken",
  tags: ["Sign-in"],
  summary: "Sign in, or stay signed in",
  description: `Signs a person in: returns an access token to send as \`Authorization: Bearer <token>\`, and a refresh token. The request has the form of the OAuth 2 password grant (RFC 6749 §4.3): a form with \`grant_type=password\`, the e-mail address as \`username\`, and the password. \`grant_type=refresh_token\` exchanges the refresh token for new tokens (§6). A refresh token works once: a second use is treated as theft and ends the session.

Open to everyone with an account. Forms are limited to 16 KiB; parameters must not repeat. Attempts are limited per IP address and per account. After 4 consecutive failures from one network, each further failure doubles its wait, up to 15 minutes. From all networks together, an account allows one attempt every 5 s. Addresses that signed in within 30 days wait only for their own failures. 429 has the wait in \`Retry-After\`. A wrong password, an unknown account and a locked account get the same reply in the same time.`,
  access: "open",
  limit: "sign-in-address",
  bodyLimit: SIGN_IN_BODY_LIMIT,
  secret: true,
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
      description: "The tokens.",
      example: {
        access_token: TOKEN_EXAMPLE,
        token_type: "bearer",
        expires_in: 3_600,
        refresh_token: TOKEN_EXAMPLE,
      },
      headers: ["Cache-Control"],
    }),
    400: json(oauthError, {
      description: "The fault, in the form of RFC 6749 §5.2.",
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
  .catchall(anyOther)
  .openapi("RevokeRequest", {
    required: ["token"],
    description: "The form of OAuth 2 token revocation.",
  });

export const revokeRoute = operation({
  method: "post",
  path: "/token/revoke",
  operationId: "revokeToken",
  tags: ["Sign-in"],
  summary: "Sign out",
  description: `Ends the session of a refresh token (RFC 7009) and all tokens of the session. This takes effect immediately in the region that served the request, and everywhere within 30 seconds. The reply is 200 for invalid tokens, too.

Open to everyone with the token. Forms are limited to 16 KiB; parameters must not repeat.`,
  access: "open",
  limit: "sign-in-address",
  bodyLimit: SIGN_IN_BODY_LIMIT,
  secret: true,
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
    200: { description: "The session has ended. The reply has no body." },
    400: json(oauthError, {
      description: "The fault, in the form of RFC 6749 §5.2.",
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
  .openapi("Login", { description: "The credentials." });

const loginReply = z
  .strictObject({
    data: z
      .strictObject({
        id_token: jwt("The token. Send it as `Authorization: Bearer <token>`."),
        token_type: z
          .literal("bearer")
          .openapi({ description: "The scheme to send the token with." }),
        expires_in: integer({
          min: 1,
          max: 31_536_000,
          description: "Seconds until the token expires.",
          example: 3_600,
        }),
      })
      .openapi({ description: "The token." }),
  })
  .openapi("LoginReply", { description: "A person's token." });

export const loginRoute = operation({
  method: "post",
  path: "/api/user/login",
  operationId: "login",
  tags: ["Sign-in"],
  summary: "Sign in with JSON",
  description: `Signs in like \`POST /token\` with the password grant, for scripts that send JSON and read \`data.id_token\`. Tokens and limits are the same, but there is no refresh token.

Open to everyone with an account. Bodies are limited to 16 KiB.`,
  access: "open",
  limit: "sign-in-address",
  bodyLimit: SIGN_IN_BODY_LIMIT,
  secret: true,
  request: {
    body: jsonBody(loginBody, {
      description: "The credentials.",
      example: { email: "admin@example.com", password: "correct horse battery staple" },
    }),
  },
  responses: {
    200: json(loginReply, {
      description: "The tokens.",
      example: { data: { id_token: TOKEN_EXAMPLE, token_type: "bearer", expires_in: 3_600 } },
      headers: ["Cache-Control"],
    }),
  },
  errors: ["CLIENT_TOKEN_INVALID"],
});
