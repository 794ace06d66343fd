/** What an API token looks like on the wire. */
import { z } from "@hono/zod-openapi";
import { nameText } from "../../http/names.ts";
import { integer, jwt, orNull, timestamp, uuid } from "../../http/schemas.ts";
import { parseUuid, UUID_PATTERN } from "../../lib/uuids.ts";

const name = nameText({
  description:
    "What it is for: 1 to 64 bytes of UTF-8, without white space at the ends. Several may have the same.",
  example: "nightly benchmarks",
});

const MAX_TTL_SECONDS = 2 ** 31 - 1;

export const createApiTokenBody = z
  .object({
    name,
    ttl: integer({
      min: 60,
      max: MAX_TTL_SECONDS,
      description: "Seconds until it expires; never when left out or null.",
      example: 2_592_000,
    }).nullish(),
  })
  .openapi("CreateApiToken", { description: "An API token to create." });

const shared = {
  uuid: uuid.openapi({ description: "Names the token, for ever. It is no secret." }),
  user: uuid.openapi({ description: "Whose it is." }),
  name,
};
const times = {
  creation: timestamp.openapi({ description: "When it was created." }),
  expiration: orNull(timestamp).openapi({
    description: "When it stops to work; null for one that never expires.",
  }),
};

export const apiToken = z
  .strictObject({
    ...shared,
    ...times,
    last_used: orNull(timestamp).openapi({
      description: "When it was last used, give or take a minute; null when never.",
    }),
  })
  .openapi("ApiToken", { description: "An API token, without what only its creation shows." });

export const newApiToken = z
  .strictObject({
    ...shared,
    token: jwt("Send it as `Authorization: Bearer <token>`. It is shown only here."),
    ...times,
  })
  .openapi("NewApiToken", { description: "An API token that was just created." });

export const apiTokenList = z
  .array(apiToken)
  .max(255)
  .openapi("ApiTokenList", { description: "The API tokens of this page." });

/** A token in a path: its UUID in any usual spelling. */
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
