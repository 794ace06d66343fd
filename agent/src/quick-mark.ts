import type { Clock } from "./clock.ts";
import type { ProbeOptions } from "./gpu/messages.ts";
import { runProbeProcess } from "./gpu/probe-process.ts";
import type { Report } from "./heartbeat.ts";
import type { Log } from "./log.ts";
import type { StepOutcome } from "./protocol.ts";
import type { Replay } from "./replay.ts";

/** A recorded run of minutes is replayed in seconds. */
const SPEED_UP = 60;
const PROGRESS_STEPS = 50;

/** Where QuickMark's figures come from: the GPUs of this machine, or a recording. */
export type Measuring =
  | { kind: "replay"; replay: Replay }
  /** `command` starts this agent's own program. */
  | { kind: "gpus"; command: readonly string[]; options: ProbeOptions };

interface Tools {
  clock: Clock;
  log: Log;
  report: Report;
  signal: AbortSignal;
}

/** quick_mark: measured by a process of its own, or replayed and marked as such. */
export function runQuickMark(measuring: Measuring, tools: Tools): Promise<StepOutcome> {
  return measuring.kind === "replay"
    ? replayFigures(measuring.replay, tools)
    : measure(measuring, tools);
}

async function measure(
  { command, options }: Extract<Measuring, { kind: "gpus" }>,
  { clock, log, report, signal }: Tools,
): Promise<StepOutcome> {
  const outcome = await runProbeProcess(
    command,
    options,
    { onProgress: report, onNote: (message) => log(`quick_mark: ${message}`) },
    signal,
    clock,
  );
  if (outcome.ok) return { state: "completed", results: outcome.results };
  const { code, message, hint, partial } = outcome;
  return {
    state: "failed",
    errorMessage: `${message} (${code})${hint === null ? "" : `: ${hint}`}`,
    // Figures that were made before are worth having; they are marked as partial.
    ...(partial === null ? {} : { results: partial }),
  };
}

async function replayFigures(
  replay: Replay,
  { clock, log, report, signal }: Tools,
): Promise<StepOutcome> {
  const totalMs = (replay.durationSeconds * 1000) / SPEED_UP;
  log(
    `quick_mark: results are REPLAYED from a recording of ${replay.gpuCount} × ${replay.gpuModel} ` +
      `and not measured here; takes ${(totalMs / 1000).toFixed(1)} s`,
  );
  for (let done = 0; done < PROGRESS_STEPS; done++) {
    report(done / PROGRESS_STEPS, "replaying a recorded result");
    await clock.sleep(totalMs / PROGRESS_STEPS, signal);
  }
  return {
    state: "completed",
    results: {
      ...replay.results,
      replayed: true,
      timestamp: new Date(clock.now()).toISOString(),
    },
  };
}
