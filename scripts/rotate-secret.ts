/**
 * `npm run rotate-secret -- --local | --remote`: a new secret signs tokens from now on, and nobody is
 * signed out: earlier secrets verify for as long as a token of theirs may live. A deployment's secrets
 * cannot be read back, so `--remote` takes the present value from TOKEN_SECRET in the environment.
 */
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { keyIdOf } from "../src/identity/lifetimes.ts";
import { splitSecrets } from "../src/lib/config.ts";
import { ROOT, runWrangler } from "./lib/project.ts";
import { readTokenSecrets, writeTokenSecrets } from "./lib/secrets.ts";
import { keyUseQuery, readKeyUse, retirementStatement, rotated } from "./lib/token-secrets.ts";

/** By then every isolate that serves requests knows a secret that was just put. */
const ROLL_OUT_MS = 60_000;

const { values } = parseArgs({
  options: {
    local: { type: "boolean" },
    remote: { type: "boolean" },
    "secrets-file": { type: "string", default: process.env.ASSAY_SECRETS ?? ".dev.vars" },
  },
});
if (values.local === values.remote) {
  console.error(
    "Choose where: npm run rotate-secret -- --local, or npm run rotate-secret -- --remote",
  );
  process.exit(2);
}
try {
  await (values.remote ? rotateRemote() : rotateLocal(resolve(ROOT, values["secrets-file"])));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

async function rotateLocal(file: string): Promise<void> {
  const state = resolve(ROOT, process.env.ASSAY_STATE ?? ".wrangler/state");
  const place = ["--local", "--persist-to", state];
  const current = readTokenSecrets(file);
  const next = await plan(current, place);
  writeTokenSecrets(file, next);
  await noteRetired(next, place);
  report(current, next);
  console.log("A running server uses it after its next start.");
}

async function rotateRemote(): Promise<void> {
  const current = splitSecrets(process.env.TOKEN_SECRET ?? "");
  if (current.length === 0) {
    throw new Error("Set TOKEN_SECRET to the current value: Cloudflare does not show it again");
  }
  const next = await plan(current, ["--remote"]);
  const [fresh = "", signing = "", ...older] = next;
  // First everyone verifies the fresh one, then it signs: no request meets a token it cannot know.
  await put([signing, fresh, ...older]);
  console.log(`Waiting ${ROLL_OUT_MS / 1_000} s until the new secret is in use everywhere …`);
  await sleep(ROLL_OUT_MS);
  await put(next);
  await noteRetired(next, ["--remote"]);
  report(current, next);
  console.log(`Save the new value; the next rotation needs it:\nTOKEN_SECRET="${next.join(",")}"`);
}

async function plan(current: readonly string[], place: readonly string[]): Promise<string[]> {
  const now = Date.now();
  const output = await execute(keyUseQuery(now), place);
  const [reply]: { results: { kind: string; key_id: string; at: number }[] }[] = JSON.parse(
    output.slice(output.indexOf("[")),
  );
  const fresh = randomBytes(36).toString("base64url");
  return rotated(current, fresh, readKeyUse(reply?.results ?? []), now);
}

async function noteRetired(next: readonly string[], place: readonly string[]): Promise<void> {
  await execute(retirementStatement(next.slice(1).map(keyIdOf), Date.now()), place);
}

function execute(sql: string, place: readonly string[]): Promise<string> {
  const args = ["d1", "execute", "DB", ...place, "--yes", "--json", "--command", sql];
  return runWrangler(args, { offline: place[0] === "--local" });
}

async function put(secrets: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "assay-secret-"));
  try {
    const file = join(folder, "secrets.json");
    writeFileSync(file, JSON.stringify({ TOKEN_SECRET: secrets.join(",") }), { mode: 0o600 });
    await runWrangler(["secret", "bulk", file], { offline: false });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function report(before: readonly string[], after: readonly string[]): void {
  const dropped = before.filter((secret) => !after.includes(secret)).map(keyIdOf);
  console.log(`Signs from now on: ${keyIdOf(after[0] ?? "")}`);
  console.log(`Verify until their tokens have expired: ${after.slice(1).map(keyIdOf).join(", ")}`);
  if (dropped.length > 0) console.log(`Dropped, no token needs them: ${dropped.join(", ")}`);
}
