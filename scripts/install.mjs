/**
 * Installs what the lockfile names, if it is not there. Runs on the machine's own Node (20 or newer),
 * before anything is installed: no dependencies, no TypeScript.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
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
  const wanted = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages;
  const present = JSON.parse(readFileSync(hidden, "utf8")).packages;
  return Object.entries(wanted).every(([path, { version, optional }]) => {
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

if (!isInstalled()) {
  await lockInstallation();
  try {
    if (!isInstalled()) {
      console.error("Installing dependencies (npm ci) …");
      const npm = process.env.npm_execpath;
      const [command, ...args] = npm ? [process.execPath, npm, "ci"] : ["npm", "ci"];
      // Warnings are about the machine's own Node; the project runs on the one it installs.
      const result = spawnSync(command, [...args, "--loglevel=error"], {
        cwd: root,
        stdio: ["ignore", 2, 2],
      });
      if (result.status !== 0) {
        console.error("npm ci failed; see above.");
        process.exitCode = 1;
      }
    }
  } finally {
    rmSync(LOCK, { force: true });
  }
}
