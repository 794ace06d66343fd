/**
 * The measuring process as its parent sees it. It may crash, hang or be killed: that costs its figures, never the agent,
 * whose heartbeats go on meanwhile.
 */
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Clock } from "../clock.ts";
import { type ProbeMessage, parseProbeMessage, type Results } from "./messages.ts";

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

/** Results are far smaller. More than this without the end of a line is no message. */
const MAX_LINE_CHARACTERS = 1 << 20;
const MAX_ERROR_CHARACTERS = 2_000;

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
  });
  const heard: Heard = { end: null, partial: null, last: "its start", errors: "", killedFor: null };
  const over = new AbortController();
  const kill = (why: string): void => {
    heard.killedFor ??= why;
    child.kill("SIGKILL");
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
    kill(`said nothing for ${bounds.silenceMs / 1_000} s`),
  );
  let pending = 0;
  child.stdout.on("data", (chunk: Buffer) => {
    pending = chunk.includes(10) ? chunk.length - chunk.lastIndexOf(10) : pending + chunk.length;
    if (pending > MAX_LINE_CHARACTERS) kill("wrote a line without an end");
  });
  createInterface({ input: child.stdout }).on("line", (line) => {
    listen();
    const message = parseProbeMessage(line);
    if (message !== null) hear(heard, message, { onProgress, onNote });
  });
  child.stderr.on("data", (chunk: Buffer) => {
    heard.errors = (heard.errors + chunk.toString()).slice(-MAX_ERROR_CHARACTERS);
  });
  const ended = await new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(`could not be started: ${error.message}`));
    child.once("close", (code, by) =>
      resolve(by === null ? `ended with code ${code}` : `ended by ${by}`),
    );
  });
  over.abort();
  signal.removeEventListener("abort", onAbort);
  signal.throwIfAborted();
  return outcomeOf(heard, ended);
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
      heard.end = message;
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
    const hint = "a driver that hangs shows in dmesg as Xid errors; the GPU may need a reset";
    return { ok: false, code: "probe_hung", message, hint, partial };
  }
  const lines = errors.trim().split("\n");
  const why = lines.at(-1) ?? "";
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
