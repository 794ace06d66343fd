/**
 * What can be true of any GPU and any link, by field: known metrics by name, other fields of agents by the unit at
 * the end of their name (docs/scoreboard.md, "Implausible figures"). Pure.
 */

interface Bound {
  field: RegExp;
  unit: string;
  /** The least that can be true; above 0 where `above` is set. */
  min: number;
  above?: true;
  max: number;
  /** A node's figure can be as large as all its GPUs together. */
  perGpu?: true;
  why: string;
}

/** The first row that matches decides. */
const BOUNDS: readonly Bound[] = [
  {
    field: /temperature|_(?:centigrade|celsius)$/,
    unit: "°C",
    // A GPU at work is warmer than a cold room, and shuts down far below the upper bound.
    min: 5,
    max: 130,
    why: "no GPU has it under load",
  },
  { field: /_watts$/, unit: "W", min: 0, max: 5_000, perGpu: true, why: "no GPU draws it" },
  { field: /_mhz$/, unit: "MHz", min: 1, max: 30_000, why: "no GPU has such a clock" },
  { field: /utili[sz]ation|_util$/, unit: "%", min: 0, max: 100, why: "it is a share" },
  {
    // A CPU's link, such as NVLink-C2C, has 900 GB/s.
    field: /^(?:host_to_device|device_to_host)_bandwidth_gbs$/,
    unit: "GB/s",
    min: 0,
    above: true,
    max: 2_000,
    perGpu: true,
    why: "no link between host and GPU reaches it",
  },
  {
    // A GPU's link to itself is its memory.
    field: /^(?:simplex|duplex)_gbs$|^(?:allreduce|broadcast)_bandwidth_gbs$/,
    unit: "GB/s",
    min: 0,
    above: true,
    max: 16_000,
    why: "no link between GPUs has it",
  },
  {
    field: /_gbs$/,
    unit: "GB/s",
    min: 0,
    above: true,
    max: 100_000,
    perGpu: true,
    why: "no cache or memory has it",
  },
  {
    field: /_tflops$/,
    unit: "TFLOPS",
    min: 0,
    above: true,
    max: 100_000,
    perGpu: true,
    why: "no GPU reaches it in any precision",
  },
  {
    field: /_mbs$/,
    unit: "MB/s",
    min: 0,
    above: true,
    max: 1_000_000,
    why: "no disk has it",
  },
  {
    field: /^effective_cores$/,
    unit: "cores",
    min: 0,
    above: true,
    max: 65_536,
    why: "no machine has them",
  },
  { field: /_us$/, unit: "µs", min: 0, above: true, max: 100_000, why: "nothing waits so long" },
  {
    field: /_gbps$/,
    unit: "Gbit/s",
    min: 0,
    above: true,
    max: 20_000,
    why: "no machine has such a network",
  },
  {
    field: /^latency_ms$/,
    unit: "ms",
    min: 0,
    above: true,
    max: 60_000,
    why: "no network takes so long",
  },
];

/** Sizes of memory, by the unit in the name; no GPU has more than 4 TiB. */
const MEMORY = /^(?:gpu_)?(?:memory|vram|mem)_.*_(bytes|kib|kb|mib|mb|gib|gb|tib|tb)$/;
const MAX_MEMORY_BYTES = 2 ** 42;
const EXPONENT: Readonly<Record<string, number>> = { b: 0, k: 10, m: 20, g: 30, t: 40 };

/** A number written as text, or a word for none; other text is no figure. */
const LIKE_A_NUMBER =
  /^\s*(?:[+-]?(?:nan|inf(?:inity)?|\d+(?:\.\d*)?(?:e[+-]?\d+)?%?)|n\/?a|none|null|unknown|not supported|\[.*\])\s*$/i;
const SHOWN_TEXT = 40;

/**
 * The reason why a field's value cannot be true; null for a possible value, and for a field that nothing is known of.
 *
 * @param gpus the number of GPUs behind the value
 * @param isKnown the field is a metric of the benchmark: then any text is a fault
 */
export function boundFault(
  field: string,
  value: unknown,
  gpus: number,
  isKnown = false,
): string | null {
  const bound = BOUNDS.find((each) => each.field.test(field)) ?? memoryBound(field);
  if (typeof value === "string") {
    if (!isKnown && (bound === null || !LIKE_A_NUMBER.test(value))) return null;
    return `"${[...value].slice(0, SHOWN_TEXT).join("")}" cannot be true: it is text, not a number`;
  }
  if (typeof value !== "number" || bound === null) return null;
  const { unit, min, above, why } = bound;
  const max = bound.perGpu ? bound.max * Math.max(gpus, 1) : bound.max;
  if (value <= max && (above ? value > min : value >= min)) return null;
  const range = `${above ? `more than ${min}, up to` : `${min} to`} ${max} ${unit}`;
  // The reason explains only figures that are too large.
  return `${value} ${unit} cannot be true: ${value > max ? `${why}; ` : ""}possible is ${range}`;
}

function memoryBound(field: string): Bound | null {
  const [, unit = ""] = MEMORY.exec(field) ?? [];
  if (unit === "") return null;
  const max = MAX_MEMORY_BYTES / 2 ** (EXPONENT[unit.slice(0, 1)] ?? 0);
  // Used memory may be none, all of it may not.
  const above = /total/.test(field) ? { above: true as const } : {};
  return { field: MEMORY, unit, min: 0, ...above, max, perGpu: true, why: "no GPU has so much" };
}

/** The fault of used memory that is more than all of it, by field. */
export function memoryFaults(figures: { readonly [field: string]: unknown }): [string, string][] {
  return Object.entries(figures).flatMap(([field, used]): [string, string][] => {
    if (!MEMORY.test(field) || !field.includes("_used_") || typeof used !== "number") return [];
    const total = figures[field.replace("_used_", "_total_")];
    if (typeof total !== "number" || used <= total) return [];
    return [[field, `${used} cannot be true: it is more than the total of ${total}`]];
  });
}
