/** A lock file between processes of one person. */
import { randomUUID } from "node:crypto";
import { linkSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Failure, systemReason } from "../failure.ts";

/** A lock of this age was left by a process that has died: nothing under it takes as long. */
export const STALE_MS = 30_000;
const LOOK_MS = 50;
/** A queue of processes ahead, each as slow as can be, is not waited for. */
const PATIENCE_MS = 3 * STALE_MS;

let busy: Promise<unknown> = Promise.resolve();

/** Resolves when this process holds no lock: a program that ends earlier could lose a session that has just been renewed. */
export async function whenUnlocked(): Promise<void> {
  await busy.catch(() => {});
}

/** Runs `action` while this process holds the lock file. `isHeld` answers false once another process has taken it over. */
export async function underLock<Result>(
  path: string,
  action: (isHeld: () => boolean) => Promise<Result>,
): Promise<Result> {
  const own = `${process.pid} ${randomUUID()}\n`;
  const until = Date.now() + PATIENCE_MS;
  while (!take(path, own)) {
    removeStale(path);
    if (Date.now() > until) {
      throw new Failure(`${path} is held by another process: end it, or remove the file`, 1);
    }
    await sleep(LOOK_MS);
  }
  const isHeld = () => read(path) === own;
  try {
    const done = action(isHeld);
    busy = done;
    return await done;
  } finally {
    if (isHeld()) rmSync(path, { force: true });
  }
}

function take(path: string, own: string): boolean {
  try {
    writeFileSync(path, own, { flag: "wx", mode: 0o600 });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw new Failure(`${path} cannot be written: ${systemReason(error)}`, 1);
  }
}

/** Moves a stale lock away. Two processes may find the same one: whoever moves a newer one by mistake puts it back. */
function removeStale(path: string): void {
  const stale = read(path);
  const ageMs = ageOf(path);
  if (stale === null || ageMs === null || ageMs < STALE_MS) return;
  const aside = `${path}.${process.pid}`;
  try {
    renameSync(path, aside);
    if (read(aside) !== stale) linkSync(aside, path);
  } catch {
    // Another process was faster.
  }
  rmSync(aside, { force: true });
}

function read(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}

function ageOf(path: string): number | null {
  try {
    return Date.now() - statSync(path).mtimeMs;
  } catch {
    return null;
  }
}
