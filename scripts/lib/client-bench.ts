/** Where `npm run clients` makes, compiles and runs a client. */
import { execFile } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { build } from "esbuild";
import { ROOT } from "./project.ts";

/** What a generator works with. */
export interface Workbench {
  /** An empty folder of its own, within the clone, so that packages of the clone are found. */
  folder: string;
  /** The running server. */
  url: string;
  /** An API key of a person. */
  token: string;
  /** Runs a command in the folder; answers what it prints. Throws with its last words if it fails. */
  run(command: readonly [string, ...string[]], env?: Record<string, string>): Promise<string>;
}

export interface Generator {
  /** As in the marks of docs/guide/clients.md. */
  name: string;
  /** The file that its first call is written to. */
  program: string;
  /** Why it cannot be tried here; null if it can. */
  missing(): string | null;
  /** Makes and compiles the client, then runs the program; answers what the program prints. */
  tryOut(bench: Workbench): Promise<string>;
}

const installed = (path: string) => join(ROOT, "node_modules", path);

const TSCONFIG = {
  compilerOptions: {
    target: "es2024",
    lib: ["es2024", "dom", "dom.iterable"],
    module: "esnext",
    moduleResolution: "bundler",
    types: ["node"],
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    allowImportingTsExtensions: true,
  },
  include: ["*.ts", "client"],
};

/** Compiles a folder strictly, then runs its program. */
export async function compileAndRun({ folder, url, token, run }: Workbench, program: string) {
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(TSCONFIG));
  await run([process.execPath, installed("typescript/bin/tsc"), "-p", "."]);
  // Generated modules import each other without extensions, as bundlers understand.
  await build({
    entryPoints: [join(folder, program)],
    outfile: join(folder, "first-call.mjs"),
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "silent",
  });
  return run([process.execPath, "first-call.mjs"], { ASSAY_URL: url, ASSAY_TOKEN: token });
}

export async function download(url: string, target: string): Promise<void> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  writeFileSync(target, await response.text());
}

export function onPath(program: string): boolean {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .some((folder) => existsSync(join(folder, program)));
}

/** Runs commands in a folder until a signal. A command ends after a quarter of an hour: a Rust client compiles 200 packages. */
export function runnerIn(folder: string, signal: AbortSignal): Workbench["run"] {
  return ([program, ...args], env = {}) =>
    new Promise((resolve, reject) => {
      const options = {
        cwd: folder,
        env: { ...process.env, ...env },
        timeout: 900_000,
        signal,
        maxBuffer: 64 * 2 ** 20,
      };
      execFile(program, args, options, (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const words = `${stdout}${stderr}`.trim().slice(-2_000);
        reject(new Error(`${[program, ...args].join(" ")}\n${words || error.message}`));
      });
    });
}
