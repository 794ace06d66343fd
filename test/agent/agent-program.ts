/** The built agent as a machine runs it: one file, its own process. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export interface Run {
  child: ChildProcess;
  output: { stdout: string; stderr: string };
  exit: Promise<number | string>;
}

export interface AgentProgram {
  /** Of all that belongs to it. */
  folder: string;
  /** The agent's file. */
  file: string;
  /** By this process's own Node, unless another is given. */
  start(args: string[], env?: Record<string, string>, node?: string): Run;
  /** A recording whose replay takes `seconds`. */
  recording(seconds: number): string;
  /** Ends what is left of all runs. */
  killAll(): void;
  remove(): void;
}

export async function buildAgent(): Promise<AgentProgram> {
  const folder = mkdtempSync(join(tmpdir(), "assay-agent-"));
  const file = join(folder, "agent.mjs");
  await build({
    entryPoints: [fileURLToPath(new URL("../../agent/src/main.ts", import.meta.url))],
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    outfile: file,
    logLevel: "silent",
  });
  const children: ChildProcess[] = [];
  return {
    folder,
    file,
    start(args, env = {}, node = process.execPath) {
      const child = spawn(node, [file, ...args], {
        env: { PATH: process.env.PATH, XDG_STATE_HOME: folder, ...env },
        stdio: ["ignore", "pipe", "pipe"],
      });
      children.push(child);
      const output = { stdout: "", stderr: "" };
      child.stdout.on("data", (chunk) => {
        output.stdout += chunk;
      });
      child.stderr.on("data", (chunk) => {
        output.stderr += chunk;
      });
      const exit = new Promise<number | string>((resolve) =>
        child.on("close", (code, signal) => resolve(code ?? signal ?? "")),
      );
      return { child, output, exit };
    },
    recording(seconds) {
      const recording = join(folder, `replay-${seconds}.json`);
      const results = { test_results: [{ bf16_tflops: 50, memory_bandwidth_gbs: 250 }] };
      const about = "made for this test";
      const facts = {
        about,
        gpu_model: "NVIDIA L4",
        gpu_count: 1,
        inventory: { location: "test" },
      };
      writeFileSync(
        recording,
        JSON.stringify({ ...facts, duration_seconds: seconds * 60, results }),
      );
      return recording;
    },
    killAll() {
      for (const child of children.splice(0)) child.kill("SIGKILL");
    },
    remove: () => rmSync(folder, { recursive: true }),
  };
}
