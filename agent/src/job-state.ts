import { createHash, randomBytes } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { makeFolder } from "./files.ts";
import type { Log } from "./log.ts";
import { isRecord } from "./protocol.ts";

/** Jobs live for a day, so the agent of an older file has not come back. */
const STALE_MS = 2 * 24 * 3_600_000;
const SECRET = /^[A-Za-z0-9_-]{22,128}$/;

interface Kept {
  /** Proves to the server that this is the same agent. */
  joinSecret: string;
  task: { id: string; token: string } | null;
}

/** The state of one job on disk, by which a restarted agent continues as the same node. */
export interface JobState {
  kept: Kept;
  /** Called with the task and its token, whenever joining has brought them. */
  save(task: { id: string; token: string }): void;
  /** The job is over for this node. */
  remove(): void;
}

/**
 * Reads or begins the state of a job in a file that only its user can read. If it cannot be written, the agent
 * goes on without it and says so once.
 *
 * @param of names the job and this node of it: server, job's token, machine
 */
export function openJobState(options: {
  folder: string;
  of: readonly string[];
  log: Log;
  now: () => number;
}): JobState {
  const { of, log, now } = options;
  const folder = join(options.folder, "jobs");
  const name = createHash("sha256").update(of.join("\n")).digest("hex").slice(0, 32);
  const file = join(folder, `${name}.json`);
  let isKept = true;
  const attempt = (write: () => void): void => {
    if (!isKept) return;
    try {
      write();
    } catch (error) {
      isKept = false;
      log(
        `cannot keep the job's state in ${folder} (${String(error)}); if this agent is killed, the next one must wait until the server considers it lost`,
      );
    }
  };
  let kept = read(file);
  const store = () => attempt(() => replace(file, kept));
  if (kept.task === null) {
    attempt(() => {
      makeFolder(folder, 0o700);
      removeStale(folder, now());
    });
    store();
  }
  return {
    get kept() {
      return kept;
    },
    save(task) {
      if (kept.task?.id === task.id && kept.task.token === task.token) return;
      kept = { ...kept, task };
      store();
    },
    remove: () => attempt(() => rmSync(file, { force: true })),
  };
}

/** The contents of the file; without a usable file, a new secret and no task. */
function read(file: string): Kept {
  try {
    const state: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (isRecord(state)) {
      const { join_secret: joinSecret, task_id: id, task_token: token } = state;
      if (typeof joinSecret === "string" && SECRET.test(joinSecret)) {
        const isJoined = typeof id === "string" && typeof token === "string";
        return { joinSecret, task: isJoined ? { id, token } : null };
      }
    }
  } catch {
    // The file does not exist yet, or is damaged and will be replaced.
  }
  return { joinSecret: randomBytes(24).toString("base64url"), task: null };
}

/** Writes the whole file or nothing of it, also when the machine loses its power. */
function replace(file: string, { joinSecret, task }: Kept): void {
  const draft = `${file}.${process.pid}`;
  rmSync(draft, { force: true });
  const handle = openSync(draft, "wx", 0o600);
  try {
    const state = { join_secret: joinSecret, task_id: task?.id, task_token: task?.token };
    writeSync(handle, `${JSON.stringify(state)}\n`);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(draft, file);
}

function removeStale(folder: string, now: number): void {
  for (const name of readdirSync(folder)) {
    const file = join(folder, name);
    const age = now - (statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? now);
    if (age > STALE_MS) rmSync(file, { force: true });
  }
}
