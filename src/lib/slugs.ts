/** Slugs: what resources are called in paths beside their UUIDs (contract §2, Ids; §5). */
import { parseUuid } from "./uuids.ts";

export const MAX_SLUG_LENGTH = 64;
/** Its form, as a pattern without flags. */
export const SLUG_PATTERN = "[a-z0-9]+(?:-[a-z0-9]+)*";

/** Words that mean something else where a slug would stand in a path. */
const RESERVED: ReadonlySet<string> = new Set(["me"]);
const SUFFIX_LENGTH = 8;
const SUFFIX_SIGNS = "abcdefghijklmnopqrstuvwxyz0123456789";

/** Whether a path would take this slug for something else: a UUID, or a word of its own. */
export function isReservedSlug(slug: string): boolean {
  return RESERVED.has(slug) || parseUuid(slug) !== null;
}

/** Two slugs for one resource: the one to take if it is free, and the one to take if not. */
export interface SlugChoice {
  preferred: string;
  /** Ends in 8 random signs. Draw again should it be taken, too. */
  otherwise: string;
}

/**
 * Chooses the slug of something new: the one that its creator asked for, else one made from its name.
 * Names without a letter or digit get 8 random signs.
 */
export async function chooseSlug(
  wanted: string | null,
  name: string,
  random: () => number = Math.random,
): Promise<SlugChoice> {
  const base = wanted ?? (await slugOf(name));
  const otherwise = withSuffix(base, random);
  const usable = base !== "" && !isReservedSlug(base);
  return { preferred: usable ? base : withSuffix(base, random), otherwise };
}

/** Letters and digits of any script, transliterated; empty when the name has none. */
async function slugOf(name: string): Promise<string> {
  const words = name.replaceAll(/[^\p{L}\p{M}\p{N}]+/gu, " ");
  return cut((await toAscii(words)).toLowerCase().replaceAll(/[^a-z0-9]+/g, "-"), MAX_SLUG_LENGTH);
}

/** The tables of all scripts are large: they load with the first name that needs them. */
async function toAscii(text: string): Promise<string> {
  if (!/[^ -~]/.test(text)) return text;
  const { default: anyAscii } = await import("any-ascii");
  return anyAscii(text);
}

function withSuffix(base: string, random: () => number): string {
  const suffix = Array.from(
    { length: SUFFIX_LENGTH },
    () => SUFFIX_SIGNS[Math.floor(random() * SUFFIX_SIGNS.length)],
  ).join("");
  const start = cut(base, MAX_SLUG_LENGTH - SUFFIX_LENGTH - 1);
  return start === "" ? suffix : `${start}-${suffix}`;
}

/** At most this long, and without a hyphen at the ends. */
function cut(text: string, length: number): string {
  return text.replace(/^-+/, "").slice(0, length).replace(/-+$/, "");
}
