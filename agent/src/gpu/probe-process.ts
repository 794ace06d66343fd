/**
 * The measuring process as its parent sees it. It may crash, hang or be killed: that costs its figures, never the agent,
 * whose heartbeats go on meanwhile.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Clock } from "../clock.ts";
import { cleaned } from "../gpus/rows.ts";
import { clip } from "../log.ts";
import type { ProbeMessage, Results } from "./messages.ts";
import { createLineReader, MAX_OUTPUT_BYTES } from "./probe-lines.ts";

export interface ProbeBounds {
  /** Without a line for so long the process hangs. */
  silenceMs: number;
  totalMs: number;
  /** After SIGKILL. A process within a broken driver may never end. */
  killMs: number;
}

export const PROBE_BOUNDS: ProbeBounds = { silenceMs: 30_000, totalMs: 300_000, killMs: 5_000 };

export type ProbeOutcome =
  | { ok: true; results: Results }
  | {
      ok: false;
      code: string;
      message: string;
      hint: string | null;
      /** Figures that were made before it failed. */
      partial: Results | null;
    };

export interface ProbeWatcher {
  onProgress: (progress: number, message: string) => void;
  onNote: (message: string) => void;
}

const MAX_ERROR_CHARACTERS = 2_000;
const MAX_WHY = 300;

/**
 * @param command program and arguments of the agent itself
 * @throws the signal's reason, after the process was killed
 */
export async function runProbeProcess(
  command: readonly string[],
  options: object,
  { onProgress, onNote }: ProbeWatcher,
  signal: AbortSignal,
  clock: Pick<Clock, "sleep">,
  bounds: ProbeBounds = PROBE_BOUNDS,
): Promise<ProbeOutcome> {
  signal.throwIfAborted();
  const [program = "", ...args] = command;
  const child = spawn(program, [...args, "--probe", JSON.stringify(options)], {
    stdio: ["ignore", "pipe", "pipe"],
    // A process group of its own, so that what it starts can be ended with it.
    detached: true,
  });
  const heard: Heard = { end: null, partial: null, last: "its start", errors: "", killedFor: null };
  const over = new AbortController();
  const kill = (why: string): void => {
    heard.killedFor ??= why;
    endGroup(child);
    after(clock, bounds.killMs, over.signal, () => {
      // Nothing of it may keep the agent from ending.
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      child.emit("close", null, "SIGKILL");
    });
  };
  const onAbort = () => kill("was stopped");
  signal.addEventListener("abort", onAbort, { once: true });
  after(clock, bounds.totalMs, over.signal, () =>
    kill(`took longer than ${bounds.totalMs / 1_000} s`),
  );
  const listen = watchSilence(clock, bounds.silenceMs, over.signal, () =>
    kill(`wrote nothing for ${bounds.silenceMs / 1_000} s`),
  );
  // Only messages count as life: a driver's own output may go on when nothing else does.
  const lines = createLineReader((message) => {
    if (heard.end === null) listen();
    hear(heard, message, { onProgress, onNote });
  });
  child.stdout.on("data", (chunk: Buffer) => {
    const why = heard.killedFor === null ? lines.add(chunk) : null;
    if (why !== null) kill(why);
  });
  let errorBytes = 0;
  child.stderr.on("data", (chunk: Buffer) => {
    errorBytes += chunk.length;
    if (errorBytes > MAX_OUTPUT_BYTES) kill("wrote too many errors");
    heard.errors = (heard.errors + chunk.toString()).slice(-MAX_ERROR_CHARACTERS);
  });
  const ended = await new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(`could not be started: ${error.message}`));
    child.once("close", (code, by) =>
      resolve(by === null ? `ended with code ${code}` : `ended by ${by}`),
    );
  });
  over.abort();
  // What it started may have outlived it.
  endGroup(child);
  signal.removeEventListener("abort", onAbort);
  signal.throwIfAborted();
  return outcomeOf(heard, ended);
}

function endGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  } catch {
    // All of them have ended.
  }
}

interface Heard {
  end: Extract<ProbeMessage, { type: "result" | "failure" }> | null;
  partial: Results | null;
  /** What it did when it was last heard of. */
  last: string;
  errors: string;
  killedFor: string | null;
}

function hear(heard: Heard, message: ProbeMessage, { onProgress, onNote }: ProbeWatcher): void {
  switch (message.type) {
    case "progress":
      heard.last = message.message;
      onProgress(message.progress, message.message);
      return;
    case "note":
      onNote(message.message);
      return;
    case "partial":
      heard.partial = message.results;
      return;
    default:
      // The first word counts: nothing is measured after it.
      heard.end ??= message;
  }
}

/** A result counts, even if the process then failed to end: the driver cleans up at its end. */
function outcomeOf({ end, partial, last, errors, killedFor }: Heard, ended: string): ProbeOutcome {
  if (end?.type === "result") return { ok: true, results: end.results };
  if (end?.type === "failure") {
    const { code, message, hint } = end;
    return { ok: false, code, message, hint, partial };
  }
  if (killedFor !== null) {
    const message = `the measuring process ${killedFor} during ${last}`;
    const hint = "look for Xid errors in dmesg: the driver may hang, and the GPU may need a reset";
    return { ok: false, code: "probe_hung", message, hint, partial };
  }
  const why = clip(cleaned(errors.trim().split("\n").at(-1) ?? ""), MAX_WHY);
  const message = `the measuring process ${ended} during ${last}${why === "" ? "" : `: ${why}`}`;
  return { ok: false, code: "probe_crashed", message, hint: null, partial };
}

function after(
  clock: Pick<Clock, "sleep">,
  ms: number,
  signal: AbortSignal,
  act: () => void,
): void {
  clock.sleep(ms, signal).then(act, () => {});
}

/** Calls `act` once nothing was heard for `ms`; call what it answers whenever something is. */
function watchSilence(
  clock: Pick<Clock, "sleep">,
  ms: number,
  over: AbortSignal,
  act: () => void,
): () => void {
  let waiting = new AbortController();
  const wait = (): void => after(clock, ms, waiting.signal, act);
  over.addEventListener("abort", () => waiting.abort(), { once: true });
  wait();
  return () => {
    waiting.abort();
    waiting = new AbortController();
    if (!over.aborted) wait();
  };
}
