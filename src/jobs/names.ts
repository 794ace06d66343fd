const LETTERS = "abcdefghijklmnopqrstuvwxyz";

/** `job-<yyyymmdd>-<hhmmss>-<4 letters>`, for jobs created without a name. */
export function generateJobName(now: number, random: () => number = Math.random): string {
  const [date = "", time = ""] = new Date(now).toISOString().split("T");
  const letters = Array.from({ length: 4 }, () => LETTERS[Math.floor(random() * LETTERS.length)]);
  return `job-${date.replaceAll("-", "")}-${time.slice(0, 8).replaceAll(":", "")}-${letters.join("")}`;
}
