/** Slugs: readable names of resources in paths, beside their UUIDs. */
import { parseUuid } from "./uuids.ts";

export const MAX_SLUG_LENGTH = 64;
/** The form of a slug, as a pattern without flags. */
export const SLUG_PATTERN = "[a-z0-9]+(?:-[a-z0-9]+)*";

/** Path segments that have a meaning of their own where a slug may stand. */
const RESERVED: ReadonlySet<string> = new Set(["me"]);
const SUFFIX_LENGTH = 8;
const SUFFIX_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789";

/** A path would take this slug for a UUID or for a reserved segment. */
export function isReservedSlug(slug: string): boolean {
  return RESERVED.has(slug) || parseUuid(slug) !== null;
}

/** Two slugs for one resource: `otherwise` is used when `preferred` is taken. */
export interface SlugChoice {
  preferred: string;
  /** Ends in 8 random characters. If it is taken, too, a new choice is drawn. */
  otherwise: string;
}

/**
 * Chooses the slug of a new resource: the requested slug, or a slug made from its name. A name without letters
 * and digits gets 8 random characters.
 */
export async function chooseSlug(
  requested: string | null,
  name: string,
  random: () => number = Math.random,
): Promise<SlugChoice> {
  const base = requested ?? (await slugOf(name));
  const otherwise = withSuffix(base, random);
  const usable = base !== "" && !isReservedSlug(base);
  return { preferred: usable ? base : withSuffix(base, random), otherwise };
}

/** The name's letters and digits of any script, transliterated; empty when it has none. */
async function slugOf(name: string): Promise<string> {
  const words = name.replaceAll(/[^\p{L}\p{M}\p{N}]+/gu, " ");
  return cut((await toAscii(words)).toLowerCase().replaceAll(/[^a-z0-9]+/g, "-"), MAX_SLUG_LENGTH);
}

/** Transliterates. The tables of all scripts are large, so they load with the first name that needs them. */
async function toAscii(text: string): Promise<string> {
  if (!/[^ -~]/.test(text)) return text;
  const { default: anyAscii } = await import("any-ascii");
  return anyAscii(text);
}

function withSuffix(base: string, random: () => number): string {
  const suffix = Array.from(
    { length: SUFFIX_LENGTH },
    () => SUFFIX_CHARACTERS[Math.floor(random() * SUFFIX_CHARACTERS.length)],
  ).join("");
  const start = cut(base, MAX_SLUG_LENGTH - SUFFIX_LENGTH - 1);
  return start === "" ? suffix : `${start}-${suffix}`;
}

/** Cuts to a length, and removes hyphens from both ends. */
function cut(text: string, length: number): string {
  return text.replace(/^-+/, "").slice(0, length).replace(/-+$/, "");
}
