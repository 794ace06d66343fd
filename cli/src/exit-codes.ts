/** Exit codes of `assay`; docs/guide/cli.md shows this table, and a test keeps both equal. */
export const EXIT_CODES = [
  { name: "ok", code: 0, meaning: "done; a measured job is as expected or better" },
  { name: "failed", code: 1, meaning: "failed: the job, one of its nodes, or the request" },
  { name: "usage", code: 2, meaning: "the command line or the configuration is wrong" },
  {
    name: "below",
    code: 3,
    meaning: "underperforming, with findings, or differing from the expected spec",
  },
  { name: "unrated", code: 4, meaning: "measured, but not rated" },
  { name: "unreachable", code: 69, meaning: "the server cannot be reached, or does not answer" },
  { name: "denied", code: 77, meaning: "not signed in, or not allowed" },
  { name: "stopped", code: 130, meaning: "stopped by a signal" },
] as const;

export type ExitName = (typeof EXIT_CODES)[number]["name"];
export type ExitCode = (typeof EXIT_CODES)[number]["code"];

export const EXIT = Object.fromEntries(EXIT_CODES.map(({ name, code }) => [name, code])) as {
  // `as`: fromEntries forgets which name has which code.
  readonly [Name in ExitName]: Extract<(typeof EXIT_CODES)[number], { name: Name }>["code"];
};

/** Outcomes of a job, the worst first. */
export const WORST_FIRST = [
  EXIT.stopped,
  EXIT.failed,
  EXIT.below,
  EXIT.unrated,
  EXIT.ok,
] as const satisfies readonly ExitCode[];

export type Outcome = (typeof WORST_FIRST)[number];

/** The worst of several outcomes; 0 of none. */
export function worstOf(outcomes: readonly Outcome[]): Outcome {
  return WORST_FIRST.find((code) => outcomes.includes(code)) ?? EXIT.ok;
}
