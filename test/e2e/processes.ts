import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { ROOT } from "../../scripts/lib/project.ts";

/** A command as a user runs it in the project's folder, with everything it starts marked. */
export interface Run {
  child: ChildProcess;
  /** Its output so far. */
  output(): string;
  exitCode: Promise<number | null>;
  /** Processes alive that it or its children have started, by id and command line. */
  processes(): { pid: number; command: string }[];
  /** Resolves when `text` has been printed; rejects when the run ends without. */
  printed(text: string): Promise<void>;
}

export function runCommand(
  command: readonly string[],
  env: Record<string, string> = {},
  cwd = ROOT,
): Run {
  // Children inherit the environment: whoever carries the mark was started by this run.
  const mark = `ASSAY_TEST_RUN=${randomUUID()}`;
  const [name = "", value = ""] = mark.split("=");
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, ...env, [name]: value },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const listeners = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      for (const listener of listeners) listener();
    });
  }
  const exitCode = new Promise<number | null>((resolve) => {
    child.once("close", (code) => resolve(code));
  });
  return {
    child,
    output: () => output,
    exitCode,
    processes: () => markedProcesses(mark),
    printed: (text) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (output.includes(text)) resolve();
        };
        listeners.add(look);
        look();
        void exitCode.then(() => reject(new Error(`ended without printing "${text}":\n${output}`)));
      }),
  };
}

function markedProcesses(mark: string): { pid: number; command: string }[] {
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      if (!readFileSync(`/proc/${entry}/environ`, "utf8").includes(mark)) return [];
      const command = readFileSync(`/proc/${entry}/cmdline`, "utf8").replaceAll("\0", " ");
      // A process that has ended and waits to be collected has no command line any more.
      return command === "" ? [] : [{ pid: Number(entry), command }];
    } catch {
      return [];
    }
  });
}
