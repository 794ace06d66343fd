/** Questions to the person at the terminal: asked on /dev/tty, so that they work while the standard input is a pipe. */
import { closeSync, openSync } from "node:fs";
import { ReadStream, WriteStream } from "node:tty";
import { stopped } from "../failure.ts";

interface Terminal {
  input: ReadStream;
  output: WriteStream;
  close: () => void;
}

/** Opens the terminal; null for a program without a terminal. */
function openTerminal(): Terminal | null {
  let read: number;
  let write: number;
  try {
    read = openSync("/dev/tty", "r");
  } catch {
    return null;
  }
  try {
    write = openSync("/dev/tty", "w");
  } catch {
    closeSync(read);
    return null;
  }
  const input = new ReadStream(read);
  const output = new WriteStream(write);
  const close = () => {
    input.setRawMode(false);
    input.destroy();
    output.destroy();
  };
  return { input, output, close };
}

export function hasTerminal(): boolean {
  try {
    closeSync(openSync("/dev/tty", "r+"));
    return true;
  } catch {
    return false;
  }
}

const ENTER = /[\r\n]/;
const KEYS = { stop: "\u0003", end: "\u0004", clear: "\u0015", back: ["\u007f", "\b"] };

/**
 * Asks for one line.
 *
 * @param isSecret shows nothing of what is typed
 * @returns null where there is no terminal
 * @throws Failure 130 for Ctrl-C and Ctrl-D
 */
export async function ask(question: string, isSecret = false): Promise<string | null> {
  const terminal = openTerminal();
  if (terminal === null) return null;
  const { input, output, close } = terminal;
  input.setRawMode(true);
  input.setEncoding("utf8");
  output.write(question);
  let line = "";
  try {
    for await (const keys of input) {
      // A paste comes in one piece, an arrow key as an escape sequence.
      if (String(keys).startsWith("\u001b")) continue;
      for (const key of String(keys)) {
        if (ENTER.test(key)) return line;
        if (key === KEYS.stop || (key === KEYS.end && line === "")) throw stopped();
        const before = line;
        if (KEYS.back.includes(key)) line = [...line].slice(0, -1).join("");
        else if (key === KEYS.clear) line = "";
        else if (key >= " ") line += key;
        if (!isSecret && line !== before) output.write(`\r\u001b[K${question}${line}`);
      }
    }
    throw stopped();
  } finally {
    output.write("\n");
    close();
  }
}

/** Asks a question that is answered with y or n; no without a terminal. */
export async function confirm(question: string): Promise<boolean> {
  const answer = await ask(`${question} [y/N] `);
  return /^y(es)?$/i.test(answer?.trim() ?? "");
}
