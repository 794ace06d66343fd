/** A terminal without a person: tmux (Debian's package of that name) holds it. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { patient } from "../patience.ts";
import type { CliProgram } from "./program.ts";

export const hasTmux = spawnSync("tmux", ["-V"]).status === 0;
if (!hasTmux) console.warn("There is no tmux here: the command line is not tested in a terminal.");

export interface PseudoTerminal {
  /** Text on the screen, and above it. */
  screen(): string;
  /** As `screen`, with the sequences that colour it. */
  coloured(): string;
  /** Lines on the screen alone. */
  lines(): string[];
  /** Types text as it is. */
  type(text: string): void;
  /** Presses a key by tmux's name, such as `Enter` or `C-c`. */
  press(key: string): void;
  resize(columns: number, rows: number): void;
  /** Resolves when the screen has the text. */
  shows(text: string | RegExp): Promise<void>;
  /** The program's exit code. */
  ended(): Promise<number>;
  close(): void;
}

const quote = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;

export function openPseudoTerminal(
  cli: CliProgram,
  args: readonly string[],
  {
    columns = 100,
    rows = 24,
    env = {} as Record<string, string>,
    /** In place of the command line. */
    program = "",
  } = {},
): PseudoTerminal {
  const folder = mkdtempSync(join(tmpdir(), "assay-tty-"));
  const tmux = (...words: string[]) => {
    const run = spawnSync("tmux", ["-S", join(folder, "s"), "-f", "/dev/null", ...words], {
      encoding: "utf8",
      env: { PATH: process.env.PATH, LANG: "C.UTF-8", HOME: folder, TERM: "xterm-256color" },
    });
    if (run.status !== 0) throw new Error(`tmux ${words[0]}: ${run.stderr}`);
    return run.stdout;
  };
  const variables = Object.entries({ ...cli.env, ...env, TERM: "tmux-256color" });
  const command = [
    "env",
    "-i",
    ...variables.map(([name, value]) => `${name}=${value}`),
    ...(program === "" ? [process.execPath, cli.file] : [program]),
    ...args,
  ];
  // Ctrl-C reaches the shell, too, which is to outlive it.
  const line = `trap : INT; cd ${quote(cli.folder)}; ${command.map(quote).join(" ")}; echo "EXIT=$?"; sleep 1000`;
  tmux("new-session", "-d", "-x", String(columns), "-y", String(rows), "sh", "-c", line);
  const screen = () => tmux("capture-pane", "-p", "-J", "-S", "-200");
  const shows = async (text: string | RegExp) => {
    const until = Date.now() + patient(60_000);
    const has = () => (typeof text === "string" ? screen().includes(text) : text.test(screen()));
    while (!has()) {
      if (Date.now() > until) throw new Error(`never showed ${text}:\n${screen()}`);
      await new Promise((done) => setTimeout(done, 50));
    }
  };
  return {
    screen,
    coloured: () => tmux("capture-pane", "-e", "-p", "-J", "-S", "-200"),
    lines: () => tmux("capture-pane", "-p").split("\n"),
    type: (text) => void tmux("send-keys", "-l", text),
    press: (key) => void tmux("send-keys", key),
    resize: (wide, high) => void tmux("resize-window", "-x", String(wide), "-y", String(high)),
    shows,
    async ended() {
      await shows(/EXIT=\d+/);
      return Number(/EXIT=(\d+)/.exec(screen())?.[1]);
    },
    close() {
      tmux("kill-server");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
