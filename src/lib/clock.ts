/** The source of time: milliseconds since the Unix epoch. Tests replace `systemClock.now`. */
export interface Clock {
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

export const SECOND_MS = 1_000;
export const MINUTE_MS = 60 * SECOND_MS;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** The day of the last call of `toTimestamp`, and its date. */
let lastDay = { day: Number.NaN, date: "" };

/** Formats milliseconds as RFC 3339 in UTC, with `Z`; null stays null. */
export function toTimestamp(ms: number): string;
export function toTimestamp(ms: number | null): string | null;
export function toTimestamp(ms: number | null): string | null {
  if (ms === null) return null;
  // A list formats dozens of times of a few days; `toISOString` for each takes six times as long.
  const day = Math.floor(ms / DAY_MS);
  if (day !== lastDay.day) lastDay = { day, date: new Date(ms).toISOString().slice(0, 11) };
  const rest = ms - day * DAY_MS;
  const part = (unit: number, of: number) => String(Math.floor(rest / unit) % of).padStart(2, "0");
  const seconds = `${part(HOUR_MS, 24)}:${part(MINUTE_MS, 60)}:${part(SECOND_MS, 60)}`;
  return `${lastDay.date}${seconds}.${String(rest % SECOND_MS).padStart(3, "0")}Z`;
}
