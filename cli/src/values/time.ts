/** Times and durations as people write them. */

const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 } as const;
const DURATION = /^(\d{1,9})\s*([smhdw])$/;
const DATE =
  /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;

export const DURATION_FORMS = "a number with s, m, h, d or w, such as 90s, 12h or 30d";
export const DATE_FORMS =
  "an ISO 8601 time, such as 2026-11-22 or 2026-11-22T10:30:00Z, or an age, such as 2d or 12h";

/** Seconds of a duration such as `30d`; null for other text. */
export function parseDuration(text: string): number | null {
  const [, count, unit] = DURATION.exec(text.trim()) ?? [];
  if (count === undefined || unit === undefined) return null;
  // `as`: the expression allows these units alone.
  return Number(count) * SECONDS[unit as keyof typeof SECONDS];
}

/** A time as the API takes it: an ISO 8601 time unchanged, an age such as `2d` counted back from `now`. Null for other text. */
export function parseDate(text: string, now: number): string | null {
  const trimmed = text.trim();
  if (DATE.test(trimmed)) return Number.isNaN(Date.parse(trimmed)) ? null : trimmed;
  const age = parseDuration(trimmed);
  if (age === null) return null;
  const at = new Date(now - age * 1_000);
  return Number.isNaN(at.getTime()) ? null : at.toISOString();
}

/** A duration for people, such as `2 d`, `3 h`, `5 min` or `12 s`. */
export function showDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7_200) return `${Math.round(whole / 60)} min`;
  if (whole < 172_800) return `${Math.round(whole / 3_600)} h`;
  return `${Math.round(whole / 86_400)} d`;
}

/** A timestamp of the API for people: `2026-11-22 10:30:00`, in UTC. */
export function showTime(timestamp: string | null | undefined): string {
  return timestamp == null ? "–" : timestamp.replace("T", " ").replace(/(?:\.\d+)?Z$/, "");
}
