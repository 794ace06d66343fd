import { parseUuid } from "./uuids.ts";

/** A caller's reference to a resource: its UUID or its slug (docs/contract.md, "HTTP rules"). */
export type Reference = { uuid: string } | { slug: string };

/** Reads a reference. A text that is no UUID counts as a slug; as an invalid slug it matches no row. */
export function parseReference(text: string): Reference {
  const uuid = parseUuid(text);
  return uuid === null ? { slug: text } : { uuid };
}

/** The text of a reference, for messages. */
export function nameOf(reference: Reference): string {
  return "uuid" in reference ? reference.uuid : reference.slug;
}
