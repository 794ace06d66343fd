/** Names and slugs of things that have both (contract §5). */
import { z } from "@hono/zod-openapi";
import { utf8Length } from "../lib/json.ts";
import { isReservedSlug, MAX_SLUG_LENGTH, SLUG_PATTERN } from "../lib/slugs.ts";
import { CONTROL, codePoints, text } from "./schemas.ts";

const MAX_NAME_BYTES = 64;

/** A name: 1 to 64 bytes of UTF-8, without white space at the ends. */
export function nameText(options: { description: string; example: string }) {
  return text({ min: 1, max: MAX_NAME_BYTES, ...options })
    .check((context) => {
      const { value } = context;
      const fail = (message: string) =>
        context.issues.push({ code: "custom", input: value, message });
      if (value !== value.trim()) fail("must not begin or end with white space");
      // What is too long in characters has been said to be.
      const isTooLong = utf8Length(value) > MAX_NAME_BYTES;
      if (isTooLong && codePoints(value) <= MAX_NAME_BYTES) {
        fail(`must have at most ${MAX_NAME_BYTES} bytes of UTF-8`);
      }
    })
    .openapi({ pattern: `^[^\\s${CONTROL}]([^${CONTROL}]*[^\\s${CONTROL}])?$` });
}

/** A slug as a caller may choose it. */
export function slug(options: { description: string; example: string }) {
  return z
    .string()
    .regex(
      new RegExp(`^${SLUG_PATTERN}$`),
      "must be of lower-case ASCII letters and digits, with single hyphens between them",
    )
    .max(MAX_SLUG_LENGTH)
    .check((context) => {
      if (!isReservedSlug(context.value)) return;
      const message = "must not be a UUID or the word me: paths would mean something else by it";
      context.issues.push({ code: "custom", input: context.value, message });
    })
    .openapi(options);
}
