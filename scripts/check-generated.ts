/** Part of `npm run check`: generated files are what their sources say, and the lockfile is whole. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { tablesSql, triggersSql } from "./lib/generated-sql.ts";
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

/** `migrations/` is what `npm run migrations` writes. */
async function migrationFaults(): Promise<string[]> {
  const made = { "0000_tables.sql": tablesSql(), "0001_triggers.sql": await triggersSql() };
  return Object.entries(made)
    .filter(([name, sql]) => readFileSync(join(ROOT, "migrations", name), "utf8") !== sql)
    .map(([name]) => `migrations/${name} differs from src/db: run npm run migrations`);
}

async function typeFaults(): Promise<string[]> {
  try {
    await runWrangler(
      [
        "types",
        "--env-file",
        ".dev.vars.example",
        "--strict-vars=false",
        "--include-runtime=false",
        "--check",
      ],
      {
        offline: true,
      },
    );
    return [];
  } catch {
    return ["worker-configuration.d.ts is out of date: run npm run types"];
  }
}

const faults = [...lockfileFaults(), ...(await migrationFaults()), ...(await typeFaults())];
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
else console.log("Generated files are up to date.");
