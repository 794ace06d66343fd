/** The wire form of API tokens and keys. */
import { z } from "@hono/zod-openapi";
import { nameText, uuidParameter } from "../../api/names.ts";
import { integer, jwt, orNull, patternText, timestamp, uuid } from "../../api/schemas.ts";
import { TOKEN_SCOPES } from "../../lib/enums.ts";
import { LONGEST_TTL_SECONDS } from "../lifetimes.ts";
import { USER_KEY, USER_KEY_LENGTH } from "../user-keys.ts";

/** Stands for a token that is not shown: in the form of one, since published clients parse it. */
export const TOKEN_MASK = "----.----.----";

const scope = z.enum(TOKEN_SCOPES).openapi({
  description: "`read` for GET and HEAD only, `write` for every method.",
  example: "read",
});

const name = (noun: string) =>
  nameText({
    description: `The ${noun}'s purpose: 1 to 64 bytes of UTF-8, without white space at the ends. Equal names are allowed.`,
    example: "nightly benchmarks",
  });

const createFields = (noun: string) => ({
  name: name(noun),
  scope: scope.default("write"),
  ttl: integer({
    min: 60,
    max: LONGEST_TTL_SECONDS,
    description: `Seconds until the ${noun} expires; by default, or if null, 136 years.`,
    example: 2_592_000,
  }).nullish(),
});

export const createApiTokenBody = z
  .object(createFields("token"))
  .openapi("CreateApiToken", { description: "An API token to create." });

export const createUserKeyBody = z
  .object(createFields("key"))
  .openapi("CreateUserKey", { description: "An API key to create." });

export const updateApiTokenBody = z
  .object({ name: name("token").nullish() })
  .openapi("UpdateApiToken", {
    description: "The new name. If omitted or null, the name stays unchanged.",
  });

export const updateUserKeyBody = z
  .object({ name: name("key").nullish() })
  .openapi("UpdateUserKey", {
    description: "The new name. If omitted or null, the name stays unchanged.",
  });

const facts = (noun: string) => ({
  uuid: uuid.openapi({ description: `Identifies the ${noun} permanently. It is not a secret.` }),
  user: uuid.openapi({ description: `UUID of the ${noun}'s owner.` }),
  name: name(noun),
  scope,
  creation: timestamp.openapi({ description: "Time of creation." }),
  expiration: timestamp.openapi({
    description: "Time of expiry; without a lifetime, 136 years after creation.",
  }),
});

const history = (noun: string) => ({
  revoked: orNull(timestamp).openapi({
    description: `Time of revocation; null while the ${noun} is not revoked.`,
  }),
  last_used: orNull(timestamp).openapi({
    description: `Time of the last use, to the minute; null if the ${noun} was never used.`,
  }),
});

export const apiToken = z
  .strictObject({
    ...facts("token"),
    token: patternText({
      pattern: /^-{4}\.-{4}\.-{4}$/,
      max: TOKEN_MASK.length,
      description: "A mask in the form of a token: the token itself is shown only on creation.",
      example: TOKEN_MASK,
    }),
    ...history("token"),
  })
  .openapi("ApiToken", { description: "An API token, without the token itself." });

export const createdApiToken = z
  .strictObject({
    ...facts("token"),
    token: jwt(
      "The token. Send it as `Authorization: Bearer <token>`. It is shown only in this reply.",
    ),
  })
  .openapi("CreatedApiToken", { description: "A new API token." });

export const userKey = z
  .strictObject({ ...facts("key"), ...history("key") })
  .openapi("UserKey", { description: "An API key, without the key itself." });

export const createdUserKey = z
  .strictObject({
    ...facts("key"),
    key: patternText({
      pattern: USER_KEY,
      max: USER_KEY_LENGTH,
      description:
        "The key. Send it as `Authorization: Bearer <key>`. It is shown only once: null when a request with an `Idempotency-Key` is repeated.",
      example: "bencher_user_0123456789abcdefghijABCDEFGHIJ",
    }).nullable(),
  })
  .openapi("CreatedUserKey", { description: "A new API key." });

export const apiTokenList = z
  .array(apiToken)
  .max(255)
  .openapi("ApiTokenList", { description: "The API tokens on this page." });

export const userKeyList = z
  .array(userKey)
  .max(255)
  .openapi("UserKeyList", { description: "The API keys on this page." });

export const tokenParameter = uuidParameter("uuid", "token");
export const keyParameter = uuidParameter("key", "key");

export type CreateApiTokenInput = z.infer<typeof createApiTokenBody>;
export type UpdateApiTokenInput = z.infer<typeof updateApiTokenBody>;
export type ApiTokenWire = z.infer<typeof apiToken>;
export type CreatedApiTokenWire = z.infer<typeof createdApiToken>;
export type UserKeyWire = z.infer<typeof userKey>;
export type CreatedUserKeyWire = z.infer<typeof createdUserKey>;
