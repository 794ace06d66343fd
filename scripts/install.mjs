/**
 * Installs what the lockfile names, if it is not there, and fetches the addons that the agent carries. Runs on the machine's own Node (20 or newer),
 * before anything is installed: no dependencies, no TypeScript.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const LOCK = join(root, ".wrangler", "installing");
/** An installation that holds the lock for longer than this has died. */
const STALE_LOCK_MS = 10 * 60_000;

/** npm writes node_modules/.package-lock.json last: it tells a finished installation from half of one. */
function isInstalled() {
  const hidden = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(hidden)) return false;
  const locked = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  const present = JSON.parse(readFileSync(hidden, "utf8")).packages;
  return Object.entries(locked).every(([path, { version, optional }]) => {
    if (path === "") return true;
    const installed = present[path];
    // Packages for other platforms are optional and absent.
    return installed === undefined ? optional === true : installed.version === version;
  });
}

/** Two commands on one fresh clone must not install over each other. */
async function lockInstallation() {
  mkdirSync(dirname(LOCK), { recursive: true });
  for (;;) {
    try {
      writeFileSync(LOCK, String(process.pid), { flag: "wx" });
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    const age = existsSync(LOCK) ? Date.now() - statSync(LOCK).mtimeMs : 0;
    if (age > STALE_LOCK_MS) rmSync(LOCK, { force: true });
    else await new Promise((done) => setTimeout(done, 500));
  }
}

/** npm with these arguments; on the machine's own Node, whose warnings are about itself. */
function runNpm(args, options) {
  const npm = process.env.npm_execpath;
  const [command, ...rest] = npm ? [process.execPath, npm, ...args] : ["npm", ...args];
  return spawnSync(command, [...rest, "--loglevel=error"], { cwd: root, ...options });
}

/**
 * The agent carries koffi's addon for both platforms, but npm installs only that of the machine itself. They are fetched
 * as tarballs and must have the checksums of the lockfile.
 */
const ADDONS = join(root, ".wrangler", "addons");

function lockedAddons() {
  const locked = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  return ["linux-x64", "linux-arm64"].map((platform) => {
    const { version, integrity } = locked[`node_modules/@koromix/koffi-${platform}`];
    const file = join(ADDONS, `koromix-koffi-${platform}-${version}.tgz`);
    return { spec: `@koromix/koffi-${platform}@${version}`, integrity, file };
  });
}

function isFetched({ file, integrity }) {
  if (!existsSync(file)) return false;
  const checksum = createHash("sha512").update(readFileSync(file)).digest("base64");
  return `sha512-${checksum}` === integrity;
}

/** Answers a message when it fails. */
function fetchAddon(addon) {
  mkdirSync(ADDONS, { recursive: true });
  const draft = mkdtempSync(join(ADDONS, "fetch-"));
  try {
    const args = ["pack", addon.spec, "--prefer-offline", "--pack-destination", draft];
    const { status } = runNpm(args, { stdio: ["ignore", "ignore", 2] });
    const [name] = readdirSync(draft);
    if (status !== 0 || name === undefined) return `npm pack ${addon.spec} failed; see above.`;
    renameSync(join(draft, name), addon.file);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  if (isFetched(addon)) return null;
  rmSync(addon.file, { force: true });
  return `${addon.spec} is not what package-lock.json names.`;
}

if (!isInstalled()) {
  await lockInstallation();
  try {
    if (!isInstalled()) {
      console.error("Installing dependencies (npm ci) …");
      const { status } = runNpm(["ci"], { stdio: ["ignore", 2, 2] });
      if (status !== 0) {
        console.error("npm ci failed; see above.");
        process.exitCode = 1;
      }
    }
  } finally {
    rmSync(LOCK, { force: true });
  }
}

for (const addon of lockedAddons()) {
  const fault = isFetched(addon) ? null : fetchAddon(addon);
  if (fault !== null) {
    console.error(fault);
    process.exitCode = 1;
  }
}
