/**
 * `npm run deploy`: migrations, then the Worker, on a Cloudflare account. Takes TOKEN_SECRET from the environment for the
 * first deployment, which needs one, and says so when it is missing.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { secretFault } from "../src/lib/config.ts";
import { deployFault } from "./lib/deploy-rules.ts";
import { ROOT, WRANGLER } from "./lib/project.ts";
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
  const file = join(folder, "secrets.json");
  writeFileSync(file, JSON.stringify({ TOKEN_SECRET: secrets.join(",") }), { mode: 0o600 });
  const withSecret = secrets.length === 0 ? [] : ["--secrets-file", file];
  const migrated = await wrangler(["d1", "migrations", "apply", "DB", "--remote"]);
  const deployed = migrated.code === 0 ? await wrangler(["deploy", ...withSecret]) : migrated;
  if (deployed.errors.includes(SECRET_MISSING)) {
    console.error(`
The Worker has no TOKEN_SECRET. Deploy it with a random one, and keep the value: Cloudflare does not show it again.

  TOKEN_SECRET='${freshSecret()}' npm run deploy
`);
  }
  process.exitCode = deployed.code;
} finally {
  rmSync(folder, { recursive: true, force: true });
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
