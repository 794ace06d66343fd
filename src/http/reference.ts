import { z } from "@hono/zod-openapi";
import { MAX_SLUG_LENGTH, SLUG_PATTERN } from "../lib/slugs.ts";
import { parseUuid, UUID_PATTERN } from "../lib/uuids.ts";

/** How a caller names a resource: by UUID or by slug, whichever it has (contract §2, Ids). */
export type Reference = { uuid: string } | { slug: string };

const REFERENCE = new RegExp(`^(?:${SLUG_PATTERN}|${UUID_PATTERN})$`);

/** A reference in a body. What is both a slug and a UUID is a UUID: no slug looks like one. */
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

/** What a text means that a caller may have sent: one that is no reference means nothing that there is. */
export function parseReference(text: string): Reference {
  const uuid = parseUuid(text);
  return uuid === null ? { slug: text } : { uuid };
}

/** The reference as messages repeat it. */
export function nameOf(reference: Reference): string {
  return "uuid" in reference ? reference.uuid : reference.slug;
}
