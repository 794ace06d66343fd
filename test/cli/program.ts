/** The command line as users run it: one file, its own process, a configuration of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { CLI_BUNDLE } from "../../scripts/lib/cli-bundle.ts";

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Running {
  child: ChildProcess;
  /** Both streams so far. */
  output: { stdout: string; stderr: string };
  ended: Promise<Ended>;
  /** Resolves when the standard error or output has the text; rejects when the program ends without. */
  printed(text: string): Promise<void>;
}

export interface CliProgram {
  /** Of all that belongs to it. */
  folder: string;
  file: string;
  /** Environment of its processes: nothing of the person who runs the tests. */
  env: Record<string, string>;
  start(args: readonly string[], env?: Record<string, string>, input?: string): Running;
  run(args: readonly string[], env?: Record<string, string>, input?: string): Promise<Ended>;
  remove(): void;
}

export async function buildCli(): Promise<CliProgram> {
  const folder = mkdtempSync(join(tmpdir(), "assay-cli-"));
  const file = join(folder, "assay.mjs");
  await build({ ...CLI_BUNDLE, outfile: file, write: true });
  const children: ChildProcess[] = [];
  const env = {
    PATH: process.env.PATH ?? "",
    HOME: folder,
    XDG_CONFIG_HOME: join(folder, "config"),
    LANG: "C.UTF-8",
  };
  const start: CliProgram["start"] = (args, more = {}, input) => {
    const child = spawn(process.execPath, [file, ...args], {
      cwd: folder,
      env: { ...env, ...more },
      // A session of its own has no terminal.
      detached: true,
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    children.push(child);
    child.stdin?.end(input);
    const output = { stdout: "", stderr: "" };
    const listeners = new Set<() => void>();
    for (const name of ["stdout", "stderr"] as const) {
      child[name]?.setEncoding("utf8").on("data", (text: string) => {
        output[name] += text;
        for (const listener of listeners) listener();
      });
    }
    const ended = new Promise<Ended>((done) =>
      child.once("close", (code) => done({ code, ...output })),
    );
    return {
      child,
      output,
      ended,
      printed: (text) =>
        new Promise((done, reject) => {
          const look = () => {
            if ((output.stdout + output.stderr).includes(text)) done();
          };
          listeners.add(look);
          look();
          void ended.then((end) => {
            look();
            reject(new Error(`ended without "${text}": ${JSON.stringify(end)}`));
          });
        }),
    };
  };
  return {
    folder,
    file,
    env,
    start,
    run: (args, more, input) => start(args, more, input).ended,
    remove() {
      for (const child of children) child.kill("SIGKILL");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
