/** How figures, times and names are written in reports. */
import anyAscii from "any-ascii";

/** Characters of WinAnsi above ASCII that are not at their Unicode place (PDF 32000-1, D.2). */
const WIN_ANSI: ReadonlyMap<string, number> = new Map(
  [..."€\u0000‚ƒ„…†‡ˆ‰Š‹Œ\u0000Ž\u0000\u0000‘’“”•–—˜™š›œ\u0000žŸ"].flatMap((sign, at) =>
    sign === "\u0000" ? [] : [[sign, 0x80 + at] as [string, number]],
  ),
);

/** The code of a character in the standard fonts' encoding; null for one that they do not have. */
export function winAnsiCode(sign: string): number | null {
  const code = sign.codePointAt(0) ?? 0;
  if ((code >= 0x20 && code <= 0x7e) || (code >= 0xa1 && code <= 0xff && code !== 0xad))
    return code;
  return WIN_ANSI.get(sign) ?? null;
}

const NEEDS_CARE = /[^ -~]/;

/**
 * Text as the standard fonts can show it. Composed first, so that accents stay where the fonts have them;
 * what they do not have is transliterated, and what has no transliteration becomes its code point, so that
 * two different names never look alike.
 */
export function showable(text: string): string {
  if (!NEEDS_CARE.test(text)) return text;
  let shown = "";
  for (const sign of text.normalize("NFC")) {
    if (winAnsiCode(sign) !== null) shown += sign;
    else if (/[\s\u00a0]/u.test(sign)) shown += " ";
    else {
      const plain = anyAscii(sign);
      shown += /^[ -~]+$/.test(plain) ? plain : `<U+${hex(sign)}>`;
    }
  }
  return shown;
}

function hex(sign: string): string {
  return (sign.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
}

/** A measured figure: thousands grouped, as many digits as say something. */
export function figure(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e9)) return value.toExponential(2);
  const digits = size >= 100 ? 1 : size >= 1 ? 2 : 3;
  return grouped(Number.isInteger(value) ? String(value) : value.toFixed(digits));
}

/** A share of a baseline, such as "86.3%". */
export function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(1)}%`;
}

/** A threshold as people say it, such as "90%". */
export function threshold(ratio: number): string {
  return percent(ratio).replace(".0", "");
}

export function count(value: number, one: string, many = `${one}s`): string {
  return `${grouped(String(value))} ${value === 1 ? one : many}`;
}

function grouped(digits: string): string {
  const [whole = "", fraction] = digits.split(".");
  const parts = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? parts : `${parts}.${fraction}`;
}

/** A time of UTC in seconds, such as "2024-03-15 10:30:05 UTC". */
export function time(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** How long, such as "1 h 05 min" or "8.2 s". */
export function duration(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  if (minutes < 60) return `${minutes} min ${two(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

/** Ranks as ranges: `[0, 1, 2, 5]` is "0–2, 5"; after so many ranges the rest is counted. */
export function ranks(list: readonly number[], maxRanges = 12): string {
  const ranges: [number, number][] = [];
  for (const rank of list) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === rank - 1) last[1] = rank;
    else ranges.push([rank, rank]);
  }
  const shown = ranges.slice(0, maxRanges).map(([a, b]) => (a === b ? `${a}` : `${a}–${b}`));
  const rest = ranges.slice(maxRanges).reduce((sum, [a, b]) => sum + b - a + 1, 0);
  return rest === 0 ? shown.join(", ") : `${shown.join(", ")} and ${rest} more`;
}

/** A state or kind of the API, such as `completed_with_warnings`, as words. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}

export function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
