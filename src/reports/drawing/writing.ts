/** Formats of figures, times and names in reports. */
import anyAscii from "any-ascii";
import { columnPercent } from "../../lib/percent.ts";

const NEEDS_CARE = /[^ -~]/;

/** Transliterations by character: texts in other scripts repeat theirs, and looking one up is slow. */
const plainForms = new Map<number, string>();
const MAX_PLAIN_FORMS = 20_000;

/**
 * Text in characters of the fonts. Missing characters are transliterated, or replaced by their code points, so that two
 * different names never look alike. The text is composed first, which saves accents.
 *
 * @param isDrawn whether the fonts have a character; the same at each call
 */
export function toPrintable(text: string, isDrawn: (codePoint: number) => boolean): string {
  if (!NEEDS_CARE.test(text)) return text;
  const composed = text.normalize("NFC");
  let printable = "";
  for (let at = 0; at < composed.length; at++) {
    const codePoint = composed.codePointAt(at) ?? 0;
    if (codePoint > 0xffff) at++;
    let plain = plainForms.get(codePoint);
    if (plain === undefined) {
      plain = plainForm(codePoint, isDrawn);
      if (plainForms.size >= MAX_PLAIN_FORMS) plainForms.clear();
      plainForms.set(codePoint, plain);
    }
    printable += plain;
  }
  return printable;
}

function plainForm(codePoint: number, isDrawn: (codePoint: number) => boolean): string {
  const character = String.fromCodePoint(codePoint);
  if (isDrawn(codePoint)) return character;
  if (/[\s\u00a0]/u.test(character)) return " ";
  const plain = anyAscii(character);
  const hex = codePoint.toString(16).toUpperCase().padStart(4, "0");
  return /^[ -~]+$/.test(plain) ? plain : `<U+${hex}>`;
}

/** A measured figure, with grouped thousands and significant digits only. */
export function figure(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e9)) return value.toExponential(2);
  const digits = size >= 100 ? 1 : size >= 1 ? 2 : 3;
  return grouped(Number.isInteger(value) ? String(value) : value.toFixed(digits));
}

/** A change in a column of changes, such as "+1.2 %". */
export function signed(ratio: number): string {
  const text = columnPercent(ratio).replace(/^-(?=0\.0 %)/, "");
  return ratio > 0 && text !== "0.0 %" ? `+${text}` : text.replace("-", "−");
}

export function count(value: number, one: string, many = `${one}s`): string {
  return `${grouped(String(value))} ${value === 1 ? one : many}`;
}

function grouped(digits: string): string {
  const [whole = "", fraction] = digits.split(".");
  const parts = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? parts : `${parts}.${fraction}`;
}

/** A UTC time in seconds, such as "2024-03-15 10:30:05 UTC". */
export function time(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** A duration, such as "1 h 05 min" or "8.2 s". */
export function duration(ms: number): string {
  const seconds = Math.max(0, ms) / 1_000;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  const two = (value: number) => String(Math.floor(value)).padStart(2, "0");
  if (minutes < 60) return `${minutes} min ${two(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

/** Ranks as ranges: `[0, 1, 2, 5]` is "0–2, 5". Ranks beyond `maxRanges` are only counted. */
export function ranks(list: readonly number[], maxRanges = 12): string {
  const ranges: [number, number][] = [];
  for (const rank of list) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === rank - 1) last[1] = rank;
    else ranges.push([rank, rank]);
  }
  const texts = ranges.slice(0, maxRanges).map(([a, b]) => (a === b ? `${a}` : `${a}–${b}`));
  const rest = ranges.slice(maxRanges).reduce((sum, [a, b]) => sum + b - a + 1, 0);
  return rest === 0 ? texts.join(", ") : `${texts.join(", ")} and ${rest} more`;
}

/** A state or kind of the API, such as `completed_with_warnings`, as words. */
export function words(name: string): string {
  return name.replaceAll("_", " ");
}

/** "node 1" for one rank, "nodes 1–3" for several. */
export function nodesOf(list: readonly { rank: number }[], maxRanges = 12): string {
  const noun = list.length === 1 ? "node" : "nodes";
  return `${noun} ${ranks(
    list.map(({ rank }) => rank),
    maxRanges,
  )}`;
}

export function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** A reason as a sentence: agents send some with a full stop, and some without. */
export function sentence(text: string): string {
  const trimmed = text.trimEnd();
  return /[.!?…]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/** Words of names that are written in their own way. */
const SPELLED =
  "API BIOS CPU CUDA DNS ECC GB GPU GPUs ID IP MHz MiB MIG NCCL NIC NUMA NVLink OS PCIe RAM SM TB UUID";
const WRITTEN: Readonly<Record<string, string>> = {
  arch: "architecture",
  mbps: "Mbit/s",
  ...Object.fromEntries(SPELLED.split(" ").map((word) => [word.toLowerCase(), word])),
};

/** A dotted name of an inventory, such as `gpu.network_type`, as "GPU, network type". */
export function label(name: string): string {
  const parts = name.split(".").map((part) =>
    words(part)
      .split(" ")
      .map((word) => WRITTEN[word.toLowerCase()] ?? word)
      .join(" "),
  );
  return capital(parts.join(", "));
}

/** How GPUs are connected, such as `nvlink_v4_12x`, as "NVLink 4, 12 links". */
export function connection(type: string): string {
  const match = /^nvlink(?:_v(\d+))?(?:_(\d+)x)?$/i.exec(type);
  if (match === null) return label(type);
  const [, version, links] = match;
  return `NVLink${version === undefined ? "" : ` ${version}`}${links === undefined ? "" : `, ${links} links`}`;
}
