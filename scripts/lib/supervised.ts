import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const SUPERVISOR = fileURLToPath(new URL("supervisor.mjs", import.meta.url));
/** Longer than the supervisor's own grace. */
const STOP_TIMEOUT_MS = 10_000;

/** A command with everything it starts. It ends with this process, however this process ends. */
export interface Supervised {
  /** Of the supervisor, which outlives the command; undefined when it could not be started. */
  pid: number | undefined;
  exitCode: Promise<number>;
  /** True once it has ended. */
  hasEnded(): boolean;
  /** Receives what it prints, standard output and errors alike. */
  onOutput(listener: (text: string) => void): void;
  /** Asks the command to end in its own time: one SIGTERM, to it alone. */
  ask(): void;
  /** Ends it and waits for that. May be called more than once. */
  stop(): Promise<void>;
}

/**
 * Runs a command in a process group of its own, so that all of it can be stopped together.
 *
 * @param cwd by default that of this process
 */
export function spawnSupervised(
  command: readonly string[],
  env: Record<string, string | undefined>,
  cwd?: string,
): Supervised {
  const child = spawn(process.execPath, [SUPERVISOR, ...command], {
    env,
    cwd,
    detached: true,
    // Never written to: its closing tells the supervisor that we are gone.
    stdio: ["pipe", "pipe", "pipe"],
  });
  let ended = false;
  const exitCode = new Promise<number>((resolve) => {
    child.once("error", () => resolve(1));
    child.once("close", (code) => resolve(code ?? 1));
  }).finally(() => {
    ended = true;
  });
  const signalGroup = (signal: NodeJS.Signals) => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, signal);
    } catch {
      // The group is gone already.
    }
  };
  return {
    pid: child.pid,
    exitCode,
    hasEnded: () => ended,
    onOutput(listener) {
      for (const stream of [child.stdout, child.stderr]) {
        stream.on("data", (chunk: Buffer) => listener(chunk.toString()));
      }
    },
    ask() {
      if (!ended && child.pid !== undefined) process.kill(child.pid, "SIGUSR2");
    },
    async stop() {
      if (ended) return;
      signalGroup("SIGTERM");
      const force = setTimeout(() => signalGroup("SIGKILL"), STOP_TIMEOUT_MS);
      await exitCode;
      clearTimeout(force);
    },
  };
}
