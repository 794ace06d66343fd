import { type ChildProcess, spawn } from "node:child_process";

/** Without persistence mode nvidia-smi takes tens of seconds; on a sick machine it never returns. */
export const ASK_BOUND_MS = 30_000;
/** For what an ended tool has left in its pipe, which a process that it started may keep open for ever. */
const LAST_BYTES_MS = 500;
/** 64 GPUs have less than a tenth of it. */
const MAX_OUTPUT_BYTES = 256 * 1024;

/** What a tool printed, and its end: an exit code, or the reason why it has none. */
export interface ToolOutput {
  stdout: string;
  stderr: string;
  end: { code: number } | { why: string };
}

/**
 * Runs a tool and reads what it prints, for at most `boundMs`. It waits for no process: one in an uninterruptible
 * sleep cannot be ended by anybody, so that after the bound the tool is killed, with all that it started, and left.
 *
 * @throws when `signal` aborts, at once
 */
export function askTool(
  command: string,
  args: readonly string[],
  { boundMs, signal }: { boundMs: number; signal: AbortSignal },
): Promise<ToolOutput> {
  signal.throwIfAborted();
  // A process group of its own, so that what it starts can be ended with it.
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  const text = { stdout: "", stderr: "" };
  return new Promise((resolve, reject) => {
    let lastBytes: NodeJS.Timeout | undefined;
    const finish = (end: ToolOutput["end"]) => {
      release();
      resolve({ ...text, end });
    };
    const bound = setTimeout(() => {
      finish({ why: `did not end within ${Math.round(boundMs / 100) / 10} s` });
    }, boundMs);
    const onAbort = () => {
      release();
      reject(signal.reason);
    };
    const release = () => {
      clearTimeout(bound);
      clearTimeout(lastBytes);
      signal.removeEventListener("abort", onAbort);
      leave(child);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    for (const name of ["stdout", "stderr"] as const) {
      child[name].setEncoding("utf8").on("data", (part: string) => {
        text[name] += part;
        if (text[name].length > MAX_OUTPUT_BYTES) finish({ why: "printed more than 256 KiB" });
      });
    }
    child.on("error", (error: NodeJS.ErrnoException) => {
      finish({ why: error.code === "ENOENT" ? "was not found" : `did not start (${error.code})` });
    });
    const endOf = (code: number | null, killed: string | null) =>
      code === null ? { why: `was ended by ${killed}` } : { code };
    child.on("exit", (code, killed) => {
      lastBytes = setTimeout(() => finish(endOf(code, killed)), LAST_BYTES_MS);
    });
    child.on("close", (code, killed) => finish(endOf(code, killed)));
  });
}

/** Kills the tool and its group, and keeps nothing of it that could hold this process. */
function leave(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
  } catch {
    // They have ended.
  }
  child.stdout?.destroy();
  child.stderr?.destroy();
  child.unref();
}
