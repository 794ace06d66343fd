import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/**
 * Claims a state folder for this process. Two servers on one state would both run the same Durable
 * Object, so the second is refused. A lock left by a process that has died is taken over.
 *
 * @returns a function that releases the folder.
 */
export function lockState(folder: string): () => void {
  mkdirSync(folder, { recursive: true });
  const lock = join(folder, "assay.lock");
  const mine = join(folder, `assay.lock.${process.pid}`);
  writeFileSync(mine, String(process.pid));
  try {
    for (;;) {
      try {
        // Linking is atomic and fails when the lock exists; writing would be neither.
        linkSync(mine, lock);
        break;
      } catch (error) {
        if (!isCode(error, "EEXIST")) throw error;
      }
      removeStale(lock, `${mine}.stale`, folder);
    }
  } finally {
    rmSync(mine, { force: true });
  }
  return () => rmSync(lock, { force: true });
}

function removeStale(lock: string, aside: string, folder: string): void {
  const holder = readOrNull(lock);
  if (holder === null) return;
  if (isAlive(Number(holder))) {
    throw new Error(
      `The state in ${folder} is in use by another Assay server (process ${holder}). Stop that one, or set ASSAY_STATE to another folder.`,
    );
  }
  // Whoever renames it first has removed it; what was renamed must still be what was read.
  renameSync(lock, aside);
  if (readOrNull(aside) !== holder) linkSync(aside, lock);
  rmSync(aside, { force: true });
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isCode(error, "ENOENT")) return null;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  // A container gives every start the same process id: a lock with our own is a dead one's.
  if (!Number.isInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return isCode(error, "EPERM");
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
