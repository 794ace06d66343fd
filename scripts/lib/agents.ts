import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { spawnSupervised } from "./supervised.ts";

const LOG_CHARACTERS = 4_000;

export interface AgentOptions {
  /** Path of the agent's file. */
  program: string;
  index: number;
  host: string;
  /** Of the job it joins, or the runner it serves. */
  token: string | { runner: string; key: string };
  clusterAddress: string;
  replayFile: string;
}

export interface AgentProcess {
  index: number;
  /** Null while it runs. */
  readonly exitCode: number | null;
  /** The end of what it logged. */
  log(): string;
  waitForExit(timeoutMs: number, signal: AbortSignal): Promise<void>;
  /** Asks it to leave as a machine's service manager would. */
  ask(): void;
  stop(): Promise<void>;
}

/** Gets the agent as a machine does: one file from the server. Answers its path. */
export async function fetchAgent(host: string, folder: string): Promise<string> {
  const response = await fetch(`${host}/agent.mjs`);
  if (!response.ok) throw new Error(`GET /agent.mjs answered ${response.status}`);
  const path = join(folder, "agent.mjs");
  writeFileSync(path, await response.text());
  return path;
}

/** Starts one agent as a process of its own. Secrets travel in its environment, out of sight of `ps`. */
export function startAgent(options: AgentOptions): AgentProcess {
  const { program, index, host, token, clusterAddress, replayFile } = options;
  const machineUuid = `00000000-0000-4000-8000-${String(index + 1).padStart(12, "0")}`;
  const isNode = typeof token === "string";
  const args = ["--host", host, ...(isNode ? ["--machine-uuid", machineUuid] : [])];
  const credential = isNode
    ? { ASSAY_TOKEN: token }
    : { ASSAY_RUNNER: token.runner, ASSAY_KEY: token.key };
  const child = spawnSupervised(
    [
      process.execPath,
      program,
      ...args,
      "--cluster-address",
      clusterAddress,
      "--replay",
      replayFile,
    ],
    // What an agent keeps of its job lies beside it, and goes with the stage.
    { ...process.env, XDG_STATE_HOME: dirname(program), ...credential },
  );
  let log = "";
  child.onOutput((text) => {
    log = (log + text).slice(-LOG_CHARACTERS);
  });
  let exitCode: number | null = null;
  const exited = child.exitCode.then((code) => {
    exitCode = code;
  });
  return {
    index,
    get exitCode() {
      return exitCode;
    },
    log: () => log,
    async waitForExit(timeoutMs, signal) {
      const timer = new AbortController();
      const timeout = new Promise<void>((resolve) => {
        const handle = setTimeout(resolve, timeoutMs);
        signal.addEventListener("abort", () => resolve(), { signal: timer.signal });
        timer.signal.addEventListener("abort", () => clearTimeout(handle));
      });
      await Promise.race([exited, timeout]);
      timer.abort();
      signal.throwIfAborted();
    },
    ask: () => child.ask(),
    stop: () => child.stop(),
  };
}
