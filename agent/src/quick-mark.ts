import type { Clock } from "./clock.ts";
import type { Report } from "./heartbeat.ts";
import type { Log } from "./log.ts";
import type { StepOutcome } from "./protocol.ts";
import type { Replay } from "./replay.ts";

/** A recorded run of minutes is replayed in seconds. */
const SPEED_UP = 60;
const PROGRESS_STEPS = 50;

/** quick_mark: a recorded result where there is one, otherwise an honest failure. */
export async function runQuickMark(
  replay: Replay | null,
  tools: { clock: Clock; log: Log; report: Report; signal: AbortSignal },
): Promise<StepOutcome> {
  const { clock, log, report, signal } = tools;
  if (replay === null) {
    return {
      state: "failed",
      errorMessage:
        "This agent cannot measure GPUs yet. Start it with --replay FILE to send a recorded result.",
    };
  }
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
