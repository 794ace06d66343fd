/**
 * A program that is asked line by line, without an event loop: the measuring process waits for everything. Questions go by
 * its standard input; its answers are read from a file, which can be waited for with a bound.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const POLL_MS = 2;
const TICK_MS = 5_000;
/** More than this without the end of a line is no answer. */
const MAX_LINE_BYTES = 1 << 20;

export interface SyncChild {
  /** @throws when it cannot be written */
  send(line: string): void;
  /**
   * The next line.
   *
   * @param onTick called now and then while it is waited for
   * @throws if no line comes in that time, or the program has ended
   */
  receive(withinMs: number, onTick: () => void): string;
  end(): void;
}

/** @throws when the program cannot be started */
export function startSyncChild(command: string, args: readonly string[]): SyncChild {
  const folder = mkdtempSync(join(tmpdir(), "assay-ask-"));
  const answers = openSync(join(folder, "answers"), "w+", 0o600);
  let child: ChildProcess;
  try {
    child = spawn(command, args, { stdio: ["pipe", answers, "inherit"] });
  } finally {
    // Both have it open; nobody else needs it.
    rmSync(folder, { recursive: true, force: true });
  }
  // Told by the missing process id, too, at once.
  child.on("error", () => {});
  child.stdin?.on("error", () => {});
  const { pid } = child;
  if (pid === undefined) {
    closeSync(answers);
    throw new Error(`${command} cannot be started`);
  }
  const chunk = Buffer.alloc(64 * 1024);
  let at = 0;
  let text = "";
  const nextLine = (): string | null => {
    const end = text.indexOf("\n");
    if (end === -1) return null;
    const line = text.slice(0, end);
    text = text.slice(end + 1);
    return line;
  };
  return {
    send(line) {
      // A pipe takes so short a line at once.
      child.stdin?.write(`${line}\n`);
    },
    receive(withinMs, onTick) {
      const started = performance.now();
      let ticked = started;
      for (;;) {
        const line = nextLine();
        if (line !== null) return line;
        // Asked before it is read: what it wrote last is there then.
        const hasEnded = !isAlive(pid);
        const count = readSync(answers, chunk, 0, chunk.length, at);
        at += count;
        text += chunk.toString("utf8", 0, count);
        if (text.length > MAX_LINE_BYTES) throw new Error(`${command} wrote a line without an end`);
        if (count > 0) continue;
        if (hasEnded) throw new Error(`${command} has ended`);
        const now = performance.now();
        if (now - started > withinMs) {
          throw new Error(`${command} did not answer within ${Math.round(withinMs / 1_000)} s`);
        }
        if (now - ticked > TICK_MS) {
          ticked = now;
          onTick();
        }
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
      }
    },
    end() {
      child.kill("SIGKILL");
      child.stdin?.destroy();
      child.unref();
      closeSync(answers);
    },
  };
}

/** An ended process stays in the list until an event loop has taken note of it. */
function isAlive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return !/^ [ZX]/.test(stat.slice(stat.lastIndexOf(")") + 1));
  } catch {
    return false;
  }
}
