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
import { secretFault, splitSecrets } from "../src/lib/config.ts";
import { deployFault, hasTokenSecret, secretMissing } from "./lib/deploy-rules.ts";
import { ROOT, WRANGLER } from "./lib/project.ts";
import { reportKeyFor } from "./lib/report-key.ts";
import { freshSecret } from "./lib/secrets.ts";

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
  let code = await wrangler(["d1", "migrations", "apply", "DB", "--remote"]);
  // An account that has migrated is signed in, so a Worker without a list of secrets does not exist yet.
  const lacksSecret = code === 0 && secrets.length === 0 && !hasTokenSecret(await secretNames());
  if (lacksSecret) console.error(secretMissing(freshSecret()));
  else if (code === 0) code = await wrangler(["deploy", ...withSecret]);
  process.exitCode = lacksSecret ? 1 : code;
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

/** Runs wrangler at this terminal, where it may ask; answers its exit code. */
function wrangler(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [WRANGLER, ...args], { cwd: ROOT, stdio: "inherit" });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}
