/**
 * `npm run deploy`: migrations, then the Worker, on a Cloudflare account. Takes TOKEN_SECRET from the environment for the
 * first deployment, which needs one, and says so when it is missing; asks for a key that signs reports.
 */
import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { promisify } from "node:util";
import { secretFault } from "../src/lib/config.ts";
import { deployFault } from "./lib/deploy-rules.ts";
import { ROOT, WRANGLER } from "./lib/project.ts";
import { reportKeyFor } from "./lib/report-key.ts";
import { freshSecret, splitSecrets } from "./lib/secrets.ts";

/** Wrangler's words for a deployment that lacks a secret of `[secrets]` in wrangler.toml. */
const SECRET_MISSING = "required secrets have not been set";

const secrets = splitSecrets(process.env.TOKEN_SECRET ?? "");
const fault = secrets.map(secretFault).find((each) => each !== null);
if (fault !== undefined) {
  console.error(`TOKEN_SECRET ${fault}.`);
  process.exit(2);
}
const settings = deployFault(readFileSync(join(ROOT, "wrangler.toml"), "utf8"), process.env);
if (settings !== null) {
  console.error(settings);
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), "assay-deploy-"));
try {
  const reportKey = await reportKeyFor({
    given: process.env.REPORT_SIGNING_KEY,
    names: secretNames,
    ask: process.stdin.isTTY ? ask : null,
    say: (text) => console.log(text),
  });
  const file = join(folder, "secrets.json");
  const values = {
    ...(secrets.length === 0 ? {} : { TOKEN_SECRET: secrets.join(",") }),
    ...(reportKey === null ? {} : { REPORT_SIGNING_KEY: reportKey }),
  };
  writeFileSync(file, JSON.stringify(values), { mode: 0o600 });
  const withSecret = Object.keys(values).length === 0 ? [] : ["--secrets-file", file];
  const migrated = await wrangler(["d1", "migrations", "apply", "DB", "--remote"]);
  const deployed = migrated.code === 0 ? await wrangler(["deploy", ...withSecret]) : migrated;
  if (deployed.errors.includes(SECRET_MISSING)) {
    console.error(`
The Worker has no TOKEN_SECRET. Deploy it with a random one, and keep the value: Cloudflare does not show it again.

  TOKEN_SECRET='${freshSecret()}' npm run deploy
`);
  }
  process.exitCode = deployed.code;
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 2;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return await terminal.question(question);
  } finally {
    terminal.close();
  }
}

/** Names of the Worker's secrets; null before the first deployment, and where wrangler cannot tell. */
async function secretNames(): Promise<string[] | null> {
  const list = [WRANGLER, "secret", "list", "--format", "json"];
  try {
    const { stdout } = await promisify(execFile)(process.execPath, list, { cwd: ROOT });
    const secrets: { name: string }[] = JSON.parse(stdout.slice(stdout.indexOf("[")));
    return secrets.map(({ name }) => name);
  } catch {
    return null;
  }
}

/** Runs wrangler at this terminal, where it may ask; answers also what it wrote to standard error. */
function wrangler(args: readonly string[]): Promise<{ code: number; errors: string }> {
  const child = spawn(process.execPath, [WRANGLER, ...args], {
    cwd: ROOT,
    stdio: ["inherit", "inherit", "pipe"],
  });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => {
    errors += chunk.toString();
    process.stderr.write(chunk);
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 1, errors }));
  });
}
