/** The SQL of `migrations/`: made from `src/db`, never edited. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./project.ts";

/** Tables, from the schema in TypeScript. */
export function tablesSql(): string {
  const kit = join(ROOT, "node_modules/drizzle-kit/bin.cjs");
  const result = spawnSync(process.execPath, [kit, "export"], { cwd: ROOT, encoding: "utf8" });
  if (result.status !== 0) throw new Error(`drizzle-kit failed:\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

/**
 * Triggers and search tables, each statement on a line of its own: D1 splits the SQL of a remote migration on its side, and
 * has cut triggers of several lines, or with line ends of Windows, in two.
 */
export async function triggersSql(): Promise<string> {
  const { unstable_splitSqlQuery } = await import("wrangler");
  const source = readFileSync(join(ROOT, "src/db/schema/triggers.sql"), "utf8");
  const statements = unstable_splitSqlQuery(source).map(onOneLine);
  return `-- Generated from src/db/schema/triggers.sql by npm run migrations.\n${statements.map((each) => `${each};\n`).join("")}`;
}

/** Without comments, and with single spaces; texts in quotes stay as they are. */
export function onOneLine(statement: string): string {
  const parts = statement.match(/'(?:[^']|'')*'|--[^\n]*|\s+|[^'\s-]+|-/g) ?? [];
  return parts
    .map((part) => (/^(?:--|\s)/.test(part) ? " " : part))
    .join("")
    .replaceAll(/ {2,}(?=(?:[^']*'[^']*')*[^']*$)/g, " ")
    .replace(/;\s*$/, "")
    .trim();
}
