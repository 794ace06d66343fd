/** Part of `npm run check`: generated files are what their sources say, and the lockfile is whole. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, runWrangler } from "./lib/project.ts";

interface LockedPackage {
  version?: string;
  optionalDependencies?: Record<string, string>;
}

/**
 * npm leaves a platform's package out of the lock when it could not find it, and `npm ci` then fails
 * on that platform alone: every optional dependency that a package names must be locked.
 */
function lockfileFaults(): string[] {
  const lock: { packages: Record<string, LockedPackage> } = JSON.parse(
    readFileSync(join(ROOT, "package-lock.json"), "utf8"),
  );
  const locked = new Set(
    Object.keys(lock.packages).map((path) => path.replace(/^.*node_modules\//, "")),
  );
  return Object.entries(lock.packages).flatMap(([path, { optionalDependencies }]) =>
    Object.keys(optionalDependencies ?? {})
      .filter((name) => !locked.has(name))
      .map((name) => `package-lock.json lacks ${name}, an optional dependency of ${path}`),
  );
}

/** The tables of src/db/schema, as `npm run migrations` writes them. */
function migrationFaults(): string[] {
  const kit = join(ROOT, "node_modules/drizzle-kit/bin.cjs");
  const result = spawnSync(process.execPath, [kit, "export"], { cwd: ROOT, encoding: "utf8" });
  if (result.status !== 0) return [`drizzle-kit failed:\n${result.stdout}${result.stderr}`];
  return readFileSync(join(ROOT, "migrations/0000_tables.sql"), "utf8") === result.stdout
    ? []
    : ["migrations/0000_tables.sql is not what src/db/schema says: run npm run migrations"];
}

async function typeFaults(): Promise<string[]> {
  try {
    await runWrangler(["types", "--strict-vars=false", "--include-runtime=false", "--check"], {
      offline: true,
    });
    return [];
  } catch {
    return ["worker-configuration.d.ts is out of date: run npm run types"];
  }
}

const faults = [...lockfileFaults(), ...migrationFaults(), ...(await typeFaults())];
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
else console.log("Generated files are up to date.");
