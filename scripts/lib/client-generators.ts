/** The client generators that `npm run clients` tries: how each makes, compiles and runs its client. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileAndRun, download, type Generator, onPath } from "./client-bench.ts";
import { OPENAPI_GENERATOR } from "./openapi-generator.ts";
import { ROOT } from "./project.ts";

/** With a compiler that it can load: it takes the newest one otherwise, which has no interface for programs. */
const HEY_API = ["@hey-api/openapi-ts@0.99.0", "typescript@5.9.3"];
const PYTHON_CLIENT = "openapi-python-client==0.29.1";

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
  ...OPENAPI_GENERATOR,
];

/** The first call of a generator, as docs/guide/clients.md shows it. */
export function firstCallOf(name: string): string {
  const guide = readFileSync(join(ROOT, "docs/guide/clients.md"), "utf8");
  const [, after = ""] = guide.split(`<!-- first call: ${name} -->`);
  const code = /^\n```\w+\n([\s\S]*?)\n```/.exec(after)?.[1];
  if (code === undefined) throw new Error(`docs/guide/clients.md has no first call of ${name}`);
  return `${code}\n`;
}
