import { spawn } from "node:child_process";

export interface Pager {
  /** False once the reader has left. */
  write: (text: string) => Promise<boolean>;
  /** Resolves when the reader has left. */
  end: () => Promise<void>;
}

const ignore = () => {};

/** Starts the program of `PAGER`, less by default; null where there is to be none. */
export function openPager(env: NodeJS.ProcessEnv): Pager | null {
  const command = env.PAGER ?? "if command -v less >/dev/null; then exec less; else exec cat; fi";
  if (command.trim() === "" || command.trim() === "cat") return null;
  const child = spawn("/bin/sh", ["-c", command], {
    stdio: ["pipe", "inherit", "inherit"],
    // As git does: quit where all fits, keep colours, leave the text on the screen.
    env: { ...env, LESS: env.LESS ?? "FRX" },
  });
  // Ctrl-C belongs to the pager while it shows.
  const listeners = process.listeners("SIGINT");
  process.removeAllListeners("SIGINT").on("SIGINT", ignore);
  let isOpen = true;
  let isOver = false;
  child.stdin.on("error", () => {
    isOpen = false;
  });
  const ended = new Promise<void>((done) => {
    const end = () => {
      if (isOver) return;
      isOver = true;
      isOpen = false;
      process.off("SIGINT", ignore);
      for (const listener of listeners) process.on("SIGINT", listener);
      done();
    };
    child.once("close", end);
    child.once("error", end);
  });
  return {
    write: (text) =>
      isOpen
        ? Promise.race([
            new Promise<boolean>((done) => child.stdin.write(text, () => done(isOpen))),
            ended.then(() => false),
          ])
        : Promise.resolve(false),
    end: () => {
      child.stdin.end();
      return ended;
    },
  };
}
