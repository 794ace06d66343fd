import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

const ROOT = join(import.meta.dirname, "../..");

/**
 * Writes a built file. Leaves an unchanged one alone, and never shows half of one: a server may be reading it.
 *
 * @param path relative to the clone's folder
 */
export function publish(path: string, contents: Uint8Array): void {
  const target = join(ROOT, path);
  if (existsSync(target) && readFileSync(target).equals(contents)) return;
  mkdirSync(dirname(target), { recursive: true });
  const draft = join(ROOT, ".wrangler", `${path.replaceAll("/", "-")}.${process.pid}`);
  mkdirSync(dirname(draft), { recursive: true });
  writeFileSync(draft, contents);
  renameSync(draft, target);
}
