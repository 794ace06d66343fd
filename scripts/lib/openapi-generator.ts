/** openapi-generator, which PyPI has with its Java archive: a client for each of these languages. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compileAndRun, download, type Generator, onPath, type Workbench } from "./client-bench.ts";

const PACKAGE = "openapi-generator-cli==7.26.0";

/** What all targets need, then what compiles the client. */
const NEEDED = ["java", "python3"];

function missingOf(...programs: string[]): string | null {
  const absent = [...NEEDED, ...programs].filter((program) => !onPath(program));
  return absent.length === 0 ? null : `not installed: ${absent.join(", ")}`;
}

const tool = (folder: string, name: string) => join(folder, "tools/bin", name);

async function generate(
  { folder, url, run }: Workbench,
  target: string,
  options: { output: string; properties?: string },
): Promise<void> {
  await run(["python3", "-m", "venv", "tools"]);
  await run([tool(folder, "python"), "-m", "pip", "install", "--quiet", PACKAGE]);
  await download(`${url}/openapi.json`, join(folder, "openapi.json"));
  const { output, properties } = options;
  await run([
    tool(folder, "openapi-generator-cli"),
    ...["generate", "-i", "openapi.json", "-g", target, "-o", output],
    // Tests of a client are in another module, and its pages would be thousands of lines.
    ...["--global-property", "apiTests=false,modelTests=false,apiDocs=false,modelDocs=false"],
    ...(properties === undefined ? [] : [`--additional-properties=${properties}`]),
  ]);
}

const credentials = ({ url, token }: Workbench) => ({ ASSAY_URL: url, ASSAY_TOKEN: token });

const CARGO = `[package]
name = "first"
version = "0.1.0"
edition = "2021"

[[bin]]
name = "first"
path = "first-call.rs"

[dependencies]
assay_client = { path = "client" }
tokio = { version = "1", features = ["macros", "rt"] }
`;

const JAVA = "invokerPackage=dev.assay,apiPackage=dev.assay.api,modelPackage=dev.assay.model";

export const OPENAPI_GENERATOR: readonly Generator[] = [
  {
    name: "openapi-generator-typescript-fetch",
    program: "first-call.ts",
    missing: () => missingOf(),
    async tryOut(bench) {
      await generate(bench, "typescript-fetch", { output: "client" });
      return compileAndRun(bench, "first-call.ts");
    },
  },
  {
    name: "openapi-generator-python",
    program: "first_call.py",
    missing: () => missingOf(),
    async tryOut(bench) {
      const { folder, run } = bench;
      const python = tool(folder, "python");
      await generate(bench, "python", { output: "client", properties: "packageName=assay_client" });
      await run([python, "-m", "pip", "install", "--quiet", "./client"]);
      await run([python, "-m", "compileall", "-q", "client"]);
      return run([python, "first_call.py"], credentials(bench));
    },
  },
  {
    name: "openapi-generator-go",
    program: "first-call.go",
    missing: () => missingOf("go"),
    async tryOut(bench) {
      const { run } = bench;
      const properties = "packageName=assay,enumClassPrefix=true,withGoMod=false";
      await generate(bench, "go", { output: "assay", properties });
      await run(["go", "mod", "init", "example.com/first"]);
      await run(["go", "mod", "tidy"]);
      await run(["go", "build", "./..."]);
      return run(["go", "run", "."], credentials(bench));
    },
  },
  {
    name: "openapi-generator-java",
    program: "FirstCall.java",
    missing: () => missingOf("javac", "mvn"),
    async tryOut(bench) {
      const { folder, run } = bench;
      await generate(bench, "java", { output: "client", properties: `library=native,${JAVA}` });
      const project = ["-q", "-B", "-f", "client/pom.xml"];
      const classes = join(folder, "classes");
      await run([
        "mvn",
        ...project,
        "compile",
        "dependency:build-classpath",
        `-Dmdep.outputFile=${classes}`,
      ]);
      const path = `client/target/classes:${readFileSync(classes, "utf8")}`;
      await run(["javac", "-cp", path, "-d", "client/target/classes", "FirstCall.java"]);
      return run(["java", "-cp", path, "FirstCall"], credentials(bench));
    },
  },
  {
    name: "openapi-generator-rust",
    program: "first-call.rs",
    missing: () => missingOf("cargo"),
    async tryOut(bench) {
      await generate(bench, "rust", { output: "client", properties: "packageName=assay_client" });
      writeFileSync(join(bench.folder, "Cargo.toml"), CARGO);
      return bench.run(["cargo", "run", "--quiet"], credentials(bench));
    },
  },
];
