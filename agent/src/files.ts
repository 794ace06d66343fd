import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

/** The agent's folder for what must outlive it. */
export function stateFolderOf(env: Record<string, string | undefined>): string {
  return join(env.XDG_STATE_HOME || join(homedir(), ".local/state"), "assay");
}

/**
 * Makes a folder, and those above it. Node's own recursive `mkdir` never returns below `/proc`.
 *
 * @throws as `mkdirSync`
 */
export function makeFolder(folder: string, mode?: number): void {
  if (existsSync(folder)) return;
  const parent = dirname(folder);
  if (parent !== folder) makeFolder(parent, mode);
  try {
    mkdirSync(folder, mode);
  } catch (error) {
    // Another agent may have made it meanwhile.
    if (!existsSync(folder)) throw error;
  }
}

/** Null for a file that cannot be read. */
export function readText(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}
