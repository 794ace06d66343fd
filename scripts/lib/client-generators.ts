/** The client generators that `npm run clients` tries: how each makes, compiles and runs its client. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
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

/** With a compiler that it can load: it takes the newest one otherwise, which has no interface for programs. */
const HEY_API = ["@hey-api/openapi-ts@0.99.0", "typescript@5.9.3"];
const PYTHON_CLIENT = "openapi-python-client==0.29.1";

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
async function compileAndRun({ folder, url, token, run }: Workbench, program: string) {
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

async function download(url: string, target: string): Promise<void> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  writeFileSync(target, await response.text());
}

function onPath(program: string): boolean {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .some((folder) => existsSync(join(folder, program)));
}

const OAPI_CODEGEN = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2";
const OGEN = "github.com/ogen-go/ogen/cmd/ogen@v1.25.0";

/** A module with the client in the package `assay` and the program beside it. */
function goGenerator(name: string, command: readonly string[]): Generator {
  return {
    name,
    program: "first-call.go",
    missing: () => (onPath("go") ? null : "go is not installed"),
    async tryOut({ folder, url, token, run }) {
      await download(`${url}/openapi.json`, join(folder, "openapi.json"));
      mkdirSync(join(folder, "assay"));
      await run(["go", "mod", "init", "example.com/first"]);
      await run(["go", "run", ...command]);
      await run(["go", "mod", "tidy"]);
      await run(["go", "build", "./..."]);
      return run(["go", "run", "."], { ASSAY_URL: url, ASSAY_TOKEN: token });
    },
  };
}

export const GENERATORS: readonly Generator[] = [
  {
    name: "openapi-typescript",
    program: "first-call.ts",
    missing: () => null,
    async tryOut(bench) {
      await download(`${bench.url}/client.d.ts`, join(bench.folder, "client.d.ts"));
      return compileAndRun(bench, "first-call.ts");
    },
  },
  {
    name: "hey-api",
    program: "first-call.ts",
    missing: () => null,
    async tryOut(bench) {
      await bench.run(["npm", "install", "--silent", "--no-audit", "--no-fund", ...HEY_API]);
      const cli = "node_modules/@hey-api/openapi-ts/bin/run.js";
      await download(`${bench.url}/openapi.json`, join(bench.folder, "openapi.json"));
      await bench.run([process.execPath, cli, "-i", "openapi.json", "-o", "client"]);
      return compileAndRun(bench, "first-call.ts");
    },
  },
  {
    name: "openapi-python-client",
    program: "first_call.py",
    missing: () => (onPath("python3") ? null : "python3 is not installed"),
    async tryOut({ folder, url, token, run }) {
      const python = join(folder, "venv/bin/python");
      await run(["python3", "-m", "venv", "venv"]);
      await run([python, "-m", "pip", "install", "--quiet", PYTHON_CLIENT]);
      await download(`${url}/openapi.json`, join(folder, "openapi.json"));
      const tool = join(folder, "venv/bin/openapi-python-client");
      writeFileSync(
        join(folder, "config.yml"),
        "project_name_override: assay_client\npost_hooks: []\n",
      );
      await run([tool, "generate", "--path", "openapi.json", "--config", "config.yml"]);
      await run([python, "-m", "pip", "install", "--quiet", "./assay_client"]);
      await run([python, "-m", "compileall", "-q", "assay_client"]);
      return run([python, "first_call.py"], { ASSAY_URL: url, ASSAY_TOKEN: token });
    },
  },
  goGenerator("oapi-codegen", [
    ...[OAPI_CODEGEN, "-generate", "types,client", "-package", "assay"],
    ...["-o", "assay/client.go", "openapi.json"],
  ]),
  goGenerator("ogen", [
    ...[OGEN, "--target", "assay", "--package", "assay", "--clean", "openapi.json"],
  ]),
];

/** Generators that this command does not run: each of its targets needs a tool chain of its own. */
export const NOT_RUN = ["openapi-generator (Java, Go, Rust, Python, TypeScript)"];

/** The first call of a generator, as docs/guide/clients.md shows it. */
export function firstCallOf(name: string): string {
  const guide = readFileSync(join(ROOT, "docs/guide/clients.md"), "utf8");
  const [, after = ""] = guide.split(`<!-- first call: ${name} -->`);
  const code = /^\n```\w+\n([\s\S]*?)\n```/.exec(after)?.[1];
  if (code === undefined) throw new Error(`docs/guide/clients.md has no first call of ${name}`);
  return `${code}\n`;
}

/** Runs commands in a folder. A command ends after five minutes. */
export function runnerIn(folder: string): Workbench["run"] {
  return ([program, ...args], env = {}) =>
    new Promise((resolve, reject) => {
      const options = {
        cwd: folder,
        env: { ...process.env, ...env },
        timeout: 300_000,
        maxBuffer: 64 * 2 ** 20,
      };
      execFile(program, args, options, (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        const words = `${stdout}${stderr}`.trim().slice(-2_000);
        reject(new Error(`${[program, ...args].join(" ")}\n${words || error.message}`));
      });
    });
}
