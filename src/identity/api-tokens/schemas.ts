/** The wire form of API tokens. */
import { z } from "@hono/zod-openapi";
import { nameText } from "../../api/names.ts";
import { integer, jwt, orNull, timestamp, uuid } from "../../api/schemas.ts";
import { TOKEN_SCOPES } from "../../lib/enums.ts";
import { parseUuid, UUID_PATTERN } from "../../lib/uuids.ts";

const name = nameText({
  description:
    "The token's purpose: 1 to 64 bytes of UTF-8, without white space at the ends. Tokens may have equal names.",
  example: "nightly benchmarks",
});

const MAX_TTL_SECONDS = 2 ** 31 - 1;

const scope = z.enum(TOKEN_SCOPES).openapi({
  description: "`read` for GET and HEAD alone, `write` for every method.",
  example: "read",
});

export const createApiTokenBody = z
  .object({
    name,
    scope: scope.default("write"),
    ttl: integer({
      min: 60,
      max: MAX_TTL_SECONDS,
      description: "Seconds until the token expires. By default, or if null, it never expires.",
      example: 2_592_000,
    }).nullish(),
  })
  .openapi("CreateApiToken", { description: "An API token to create." });

const shared = {
  uuid: uuid.openapi({ description: "Identifies the token permanently. It is not a secret." }),
  user: uuid.openapi({ description: "UUID of the token's owner." }),
  name,
  scope,
};
const times = {
  creation: timestamp.openapi({ description: "Time of creation." }),
  expiration: orNull(timestamp).openapi({
    description: "Time of expiry; null if the token never expires.",
  }),
};

export const apiToken = z
  .strictObject({
    ...shared,
    ...times,
    last_used: orNull(timestamp).openapi({
      description: "Time of the last use, to the minute; null if the token was never used.",
    }),
  })
  .openapi("ApiToken", { description: "An API token, without the token itself." });

export const newApiToken = z
  .strictObject({
    ...shared,
    token: jwt(
      "The token. Send it as `Authorization: Bearer <token>`. It is shown only in this reply.",
    ),
    ...times,
  })
  .openapi("NewApiToken", { description: "A new API token." });

export const apiTokenList = z
  .array(apiToken)
  .max(255)
  .openapi("ApiTokenList", { description: "The API tokens on this page." });

/** A token in a path, by its UUID in any usual spelling. */
export const tokenParameter = z
  .string()
  .check((context) => {
    if (parseUuid(context.value) !== null) return;
    context.issues.push({ code: "custom", input: context.value, message: "must be a UUID" });
  })
  .transform((value) => parseUuid(value) ?? value)
  .openapi({
    param: { name: "uuid", in: "path" },
    minLength: 32,
    maxLength: 45,
    pattern: `^${UUID_PATTERN}$`,
    description: "The token's UUID, in any usual spelling.",
    example: "550e8400-e29b-41d4-a716-446655440000",
  });

export type CreateApiTokenInput = z.infer<typeof createApiTokenBody>;
export type ApiTokenWire = z.infer<typeof apiToken>;
export type NewApiTokenWire = z.infer<typeof newApiToken>;
