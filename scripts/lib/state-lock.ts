import {
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** A state folder that this process and the server it starts hold. */
export interface StateLock {
  /** Names another process that writes to the state: the folder is in use until both are gone. */
  alsoHeldBy(pid: number): void;
  release(): void;
}

/**
 * Locks a state folder. Two servers on one state would both run the same Durable Object, so the
 * second is refused. A lock left by processes that have died is taken over.
 */
export function lockState(folder: string): StateLock {
  mkdirSync(folder, { recursive: true });
  const lock = join(folder, "assay.lock");
  const draft = join(folder, `assay.lock.${process.pid}`);
  writeFileSync(draft, String(process.pid));
  try {
    for (;;) {
      try {
        // Linking is atomic and fails when the lock exists; writing would be neither.
        linkSync(draft, lock);
        break;
      } catch (error) {
        if (!isCode(error, "EEXIST")) throw error;
      }
      removeIfStale(lock, `${draft}.stale`, folder);
    }
  } finally {
    rmSync(draft, { force: true });
  }
  const inode = statSync(lock).ino;
  return {
    alsoHeldBy: (pid) => writeFileSync(lock, `${process.pid} ${pid}`),
    release() {
      // Only our own: after a crash of this process's server somebody else may hold the folder.
      if (inodeOf(lock) === inode) rmSync(lock, { force: true });
    },
  };
}

function removeIfStale(lock: string, aside: string, folder: string): void {
  const holders = readOrNull(lock);
  if (holders === null) return;
  const alive = holders.split(" ").map(Number).find(isAlive);
  if (alive !== undefined) {
    throw new Error(
      `The state in ${folder} is in use by another Assay server (process ${alive}). Stop that one, or set ASSAY_STATE to another folder.`,
    );
  }
  try {
    // The first process to rename the lock has removed it, and the renamed lock must still be the one that was read.
    renameSync(lock, aside);
    if (readOrNull(aside) !== holders) linkSync(aside, lock);
  } catch (error) {
    // Another starter was faster: look again.
    if (!isCode(error, "ENOENT") && !isCode(error, "EEXIST")) throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

function inodeOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.ino ?? null;
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
  } catch (error) {
    return isCode(error, "EPERM");
  }
  // A process that has ended but was not collected still has an id; only Linux tells here.
  const state = /\) (\w)/.exec(readOrNull(`/proc/${pid}/stat`) ?? "")?.[1];
  return state !== "Z";
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
