/** Names, slugs, and references to things that have both and a UUID. */
import { z } from "@hono/zod-openapi";
import { utf8Length } from "../lib/json.ts";
import { parseReference } from "../lib/references.ts";
import { isReservedSlug, MAX_SLUG_LENGTH, SLUG_PATTERN } from "../lib/slugs.ts";
import { parseUuid, UUID_PATTERN } from "../lib/uuids.ts";
import { CONTROL, codePoints, text } from "./schemas.ts";

const MAX_NAME_BYTES = 64;

/** A name: 1 to 64 bytes of UTF-8 in NFC, without white space at the ends. */
export function nameText(options: { description: string; example: string }) {
  return text({ min: 1, max: MAX_NAME_BYTES, isName: true, ...options })
    .check((context) => {
      const { value } = context;
      const fail = (message: string) =>
        context.issues.push({ code: "custom", input: value, message });
      if (value !== value.trim()) fail("must not begin or end with white space");
      // Too many characters are reported by the bound on characters.
      const isTooLong = utf8Length(value) > MAX_NAME_BYTES;
      if (isTooLong && codePoints(value) <= MAX_NAME_BYTES) {
        fail(`must have at most ${MAX_NAME_BYTES} bytes of UTF-8`);
      }
    })
    .openapi({ pattern: `^[^\\s${CONTROL}]([^${CONTROL}]*[^\\s${CONTROL}])?$` });
}

/** A slug that a caller chooses. */
export function slug(options: { description: string; example: string }) {
  return z
    .string()
    .regex(
      new RegExp(`^${SLUG_PATTERN}$`),
      "must consist of lower-case ASCII letters and digits, with single hyphens between them",
    )
    .max(MAX_SLUG_LENGTH)
    .check((context) => {
      if (!isReservedSlug(context.value)) return;
      const message = "must not be a UUID or `me`, which have another meaning in paths";
      context.issues.push({ code: "custom", input: context.value, message });
    })
    .openapi(options);
}

const REFERENCE = new RegExp(`^(?:${SLUG_PATTERN}|${UUID_PATTERN})$`);

/** A reference in a body: a slug or a UUID. Slugs that look like a UUID are reserved. */
export function reference(options: { description: string; example: string }) {
  return z
    .string()
    .check((context) => {
      const { value } = context;
      if (value.length <= MAX_SLUG_LENGTH && REFERENCE.test(value)) return;
      context.issues.push({ code: "custom", input: value, message: "must be a UUID or a slug" });
    })
    .transform(parseReference)
    .openapi({
      minLength: 1,
      maxLength: MAX_SLUG_LENGTH,
      pattern: REFERENCE.source,
      ...options,
    });
}

/** A reference in a path. */
export function referenceParameter(
  name: string,
  options: { description: string; example: string },
) {
  return reference(options).openapi({ param: { name, in: "path" } });
}

/** A UUID in any usual spelling. */
const anyUuid = z
  .string("must be given once")
  .check((context) => {
    if (parseUuid(context.value) !== null) return;
    context.issues.push({ code: "custom", input: context.value, message: "must be a UUID" });
  })
  .transform((value) => parseUuid(value) ?? value);

const documentedUuid = { minLength: 32, maxLength: 45, pattern: `^${UUID_PATTERN}$` };

/** A thing without a slug in a path. */
export function uuidParameter(parameter: string, noun: string) {
  return anyUuid.openapi({
    param: { name: parameter, in: "path" },
    ...documentedUuid,
    description: `The ${noun}'s UUID, in any usual spelling.`,
    example: "550e8400-e29b-41d4-a716-446655440000",
  });
}

/** A UUID in the query, given once. */
export function queryUuid(description: string) {
  return anyUuid.optional().openapi({
    type: "string",
    ...documentedUuid,
    description: `${description} In any usual spelling.`,
  });
}

/** Keys that people send for `ttl`: ignored, what they create would last longer than was asked for. */
export const TTL_ALIASES = {
  expiration: "ttl",
  expires: "ttl",
  expires_at: "ttl",
  expires_in: "ttl",
  lifetime: "ttl",
  ttl_seconds: "ttl",
};
