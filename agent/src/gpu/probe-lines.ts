/** What is taken of a measuring process that may write anything: whole lines, bounded in length and in number. */
import { cleaned } from "../gpus/rows.ts";
import { clip } from "../log.ts";
import { type ProbeMessage, parseProbeMessage } from "./messages.ts";

/** Results are far smaller. More than this without the end of a line is no message. */
export const MAX_LINE_BYTES = 1 << 20;
/** Both far more than a run of 64 GPUs writes. Reading costs the agent time, too, which its heartbeats need. */
export const MAX_OUTPUT_BYTES = 64 << 20;
const MAX_LINES = 20_000;
/** Each becomes a line of the agent's log. */
const MAX_NOTES = 40;
const MAX_TEXT = 1_000;

export interface LineReader {
  /** Takes what was written; the answer says why no more of it is to be taken, or is null. */
  add(chunk: Uint8Array): string | null;
}

/** @param onMessage gets every message, its texts without control characters and cut */
export function createLineReader(onMessage: (message: ProbeMessage) => void): LineReader {
  let parts: Uint8Array[] = [];
  let pending = 0;
  let total = 0;
  let lines = 0;
  let notes = 0;
  const hear = (line: string): void => {
    const message = parseProbeMessage(line);
    if (message === null) return;
    if (message.type === "note") notes += 1;
    if (message.type === "note" && notes > MAX_NOTES) return;
    const isLast = message.type === "note" && notes === MAX_NOTES;
    onMessage(isLast ? { type: "note", message: "more notes are not shown" } : bounded(message));
  };
  return {
    add(chunk) {
      total += chunk.length;
      if (total > MAX_OUTPUT_BYTES) return `wrote more than ${MAX_OUTPUT_BYTES >> 20} MiB`;
      let from = 0;
      for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, from)) {
        parts.push(chunk.subarray(from, at));
        hear(Buffer.concat(parts).toString());
        [parts, pending, from] = [[], 0, at + 1];
        lines += 1;
        if (lines > MAX_LINES) return `wrote more than ${MAX_LINES} lines`;
      }
      if (from < chunk.length) parts.push(chunk.subarray(from));
      pending += chunk.length - from;
      return pending > MAX_LINE_BYTES ? "wrote a line without an end" : null;
    },
  };
}

/** Texts come from drivers and libraries, and go to terminals, logs and the server. */
function bounded(message: ProbeMessage): ProbeMessage {
  const tame = (text: string): string => clip(cleaned(text), MAX_TEXT);
  switch (message.type) {
    case "progress":
    case "note":
      return { ...message, message: tame(message.message) };
    case "failure": {
      const { code, message: text, hint } = message;
      return {
        type: "failure",
        code: tame(code),
        message: tame(text),
        hint: hint === null ? null : tame(hint),
      };
    }
    default:
      return message;
  }
}
