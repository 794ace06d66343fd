import { writeSync } from "node:fs";
import { Socket } from "node:net";
import type { Writable } from "node:stream";

/** More than this that a reader has not taken is dropped, so that a stopped one costs no memory. */
const MAX_WAITING_BYTES = 1 << 20;

/** Writes to standard output or error. What cannot be written is dropped: the work matters more. */
export function createOutput(stream: Writable & { fd: number }): (text: string) => void {
  const { fd } = stream;
  if (stream instanceof Socket) {
    // A pipe or terminal that was closed.
    stream.on("error", () => {});
    return (text) => {
      if (stream.writableLength < MAX_WAITING_BYTES) stream.write(text);
    };
  }
  return (text) => {
    try {
      // Node's own stream ends with its first failure, but a full disk may have room again.
      writeSync(fd, text);
    } catch {}
  };
}
