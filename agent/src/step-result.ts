import { clip } from "./log.ts";
import type { StepOutcome } from "./protocol.ts";

/** Server limit, in code points. */
const MAX_ERROR_MESSAGE = 1_000;

/** A step's times by this machine's clock, milliseconds since the epoch. */
export interface StepTimes {
  startedAt: number;
  endedAt: number;
  /** See `Skew.of`. */
  clockSkewMs: number | null;
}

/** The body of a result, serialised once so that every retry sends the same bytes. */
export function serialiseResult(outcome: StepOutcome, times: StepTimes): string {
  return JSON.stringify({
    state: outcome.state,
    started_at: new Date(times.startedAt).toISOString(),
    ended_at: new Date(times.endedAt).toISOString(),
    clock_skew_ms: times.clockSkewMs ?? undefined,
    results: outcome.results,
    error_message:
      outcome.state === "failed" ? clip(outcome.errorMessage, MAX_ERROR_MESSAGE) : undefined,
  });
}
