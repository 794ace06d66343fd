/**
 * Installs what the lockfile names, if it is not there, and fetches the packages of which only a built file is used. Runs on
 * the machine's own Node (20 or newer), before anything is installed: no dependencies, no TypeScript.
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

const TARBALLS = join(root, ".wrangler", "tarballs");

/**
 * Packages that are fetched and not installed. The agent carries koffi's addon for both platforms, but npm installs only
 * that of the machine itself: the lockfile names their checksums. The docs page needs one built file of a package with
 * 150 dependencies: scripts/vendored.json names its checksum.
 */
function neededTarballs() {
  const read = (path) => JSON.parse(readFileSync(join(root, path), "utf8"));
  const locked = read("package-lock.json").packages;
  const addons = ["linux-x64", "linux-arm64"].map((platform) => {
    const name = `@koromix/koffi-${platform}`;
    return { name, ...locked[`node_modules/${name}`] };
  });
  const vendored = Object.entries(read("scripts/vendored.json"));
  return [...addons, ...vendored.map(([name, pin]) => ({ name, ...pin }))].map(
    ({ name, version, integrity }) => {
      const file = `${name.slice(1).replace("/", "-")}-${version}.tgz`;
      return { spec: `${name}@${version}`, integrity, file: join(TARBALLS, file) };
    },
  );
}

function isFetched({ file, integrity }) {
  if (!existsSync(file)) return false;
  const checksum = createHash("sha512").update(readFileSync(file)).digest("base64");
  return `sha512-${checksum}` === integrity;
}

/** Answers a message when it fails. */
function fetchTarball(tarball) {
  mkdirSync(TARBALLS, { recursive: true });
  const draft = mkdtempSync(join(TARBALLS, "fetch-"));
  try {
    const args = ["pack", tarball.spec, "--prefer-offline", "--pack-destination", draft];
    const { status } = runNpm(args, { stdio: ["ignore", "ignore", 2] });
    const [name] = readdirSync(draft);
    if (status !== 0 || name === undefined) return `npm pack ${tarball.spec} failed; see above.`;
    renameSync(join(draft, name), tarball.file);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  if (isFetched(tarball)) return null;
  rmSync(tarball.file, { force: true });
  return `${tarball.spec} does not have the checksum that this project pins.`;
}

if (!isInstalled()) {
  await lockInstallation();
  try {
    if (!isInstalled()) {
      console.error("Installing dependencies, once: npm ci takes a minute or two …");
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

for (const tarball of neededTarballs()) {
  const fault = isFetched(tarball) ? null : fetchTarball(tarball);
  if (fault !== null) {
    console.error(fault);
    process.exitCode = 1;
  }
}
