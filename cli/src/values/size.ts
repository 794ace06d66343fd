/** Sizes in bytes as people write them. */

const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  pb: 1e15,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
  pib: 2 ** 50,
};

export const SIZE_FORMS = "whole bytes, or a number with a unit such as 512GiB, 1.5TiB or 500GB";

/** Bytes of a size such as `512GiB`; null for other text, and where the bytes are not a whole number below 2^53. */
export function parseSize(text: string): number | null {
  const [, number, unit = ""] =
    /^(\d{1,16}(?:\.\d{1,6})?)\s*([kmgtp]?i?b)?$/i.exec(text.trim()) ?? [];
  if (number === undefined) return null;
  const factor = unit === "" ? 1 : UNITS[unit.toLowerCase()];
  if (factor === undefined) return null;
  const bytes = Number(number) * factor;
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** A size for people: the largest binary unit of which it is a multiple of a tenth, such as `512 GiB`. */
export function showSize(bytes: number): string {
  for (const unit of ["PiB", "TiB", "GiB", "MiB", "KiB"]) {
    const count = bytes / (UNITS[unit.toLowerCase()] ?? 1);
    if (count >= 1) return `${Number(count.toFixed(1))} ${unit}`;
  }
  return `${bytes} B`;
}
