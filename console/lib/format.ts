/** Figures and times as people read them. */

const number = new Intl.NumberFormat("en");
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const absolute = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

const UNITS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000],
] as const;

/** A whole number with its thousands apart. */
export function count(value: number): string {
  return number.format(value);
}

/** A measured value to three or four digits; more would claim more than was measured. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  return new Intl.NumberFormat("en", { maximumFractionDigits: digits }).format(value);
}

/** A ratio as a percentage. */
export function percent(ratio: number | null | undefined, digits = 0): string {
  if (ratio === null || ratio === undefined || !Number.isFinite(ratio)) return "–";
  return `${(ratio * 100).toFixed(digits)} %`;
}

/** Such as `3 min. ago` or `in 5 hr.` */
export function ago(time: string, now: number): string {
  const distance = new Date(time).getTime() - now;
  const size = Math.abs(distance);
  if (size < 1_000) return relative.format(0, "second");
  const [unit, length] = UNITS.find(([, each]) => size >= each) ?? UNITS[3];
  return relative.format(Math.round(distance / length), unit);
}

/** In the reader's own time zone, whose name stands behind it where `zone` is wanted. */
export function moment(time: string): string {
  return absolute.format(new Date(time));
}

/** Such as `4 min 12 s`. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.max(0, Math.round(ms))} ms`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** Such as `1.8 TiB`. */
export function bytes(value: number): string {
  const names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let left = value;
  let at = 0;
  while (left >= 1_024 && at < names.length - 1) {
    left /= 1_024;
    at++;
  }
  return `${figure(left)} ${names[at]}`;
}
