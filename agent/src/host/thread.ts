/** One thread of a team: it waits for the others, works, and tells how much it did in which time. */
import { createHash } from "node:crypto";
import type { MessagePort } from "node:worker_threads";
import { memoryLoops, pageMemory } from "./wasm.ts";

export interface ThreadStart {
  kind: "assay-host-thread";
  /** Bytes of each of its three arrays, a multiple of `LOOP_BYTES`; 0 for none. */
  arrayBytes: number;
  /** 0 while a round is closed. */
  gate: Int32Array<SharedArrayBuffer>;
}

export type Round =
  /** Hashes for so long. */
  | { kind: "sha256"; ms: number }
  /** Goes through its arrays so many times. */
  | { kind: "copy" | "triad"; passes: number };

export interface ThreadReport {
  state: "ready" | "waiting" | "done";
  bytes: number;
  /** By a clock that all threads share, ms. */
  from: number;
  to: number;
}

const HASHED_BYTES = 2 ** 20;
/** Arrays that move per element: two for a copy, three for a triad. What the caches fetch besides is not counted. */
const MOVED = { copy: 2, triad: 3 } as const;

export function runThread({ arrayBytes, gate }: ThreadStart, port: MessagePort): void {
  const arrays = arrayBytes === 0 ? null : createArrays(arrayBytes);
  const data = Buffer.alloc(HASHED_BYTES, 7);
  const tell = (state: ThreadReport["state"], bytes = 0, from = 0, to = 0) =>
    port.postMessage({ state, bytes, from, to } satisfies ThreadReport);
  port.on("message", (round: Round) => {
    tell("waiting");
    Atomics.wait(gate, 0, 0);
    const from = now();
    let bytes = 0;
    if (round.kind === "sha256") {
      do {
        createHash("sha256").update(data).digest();
        bytes += HASHED_BYTES;
      } while (now() - from < round.ms);
    } else {
      for (let pass = 0; pass < round.passes; pass++) arrays?.[round.kind]();
      bytes = round.passes * arrayBytes * MOVED[round.kind];
    }
    const to = now();
    if (round.kind !== "sha256") arrays?.check(round.kind);
    tell("done", bytes, from, to);
  });
  tell("ready");
}

/** Three arrays of doubles, one behind the other, and the loops over them. */
export function createArrays(bytes: number) {
  const memory = pageMemory(3 * bytes);
  const loops = memoryLoops(memory);
  const [a, b, c] = [0, bytes, 2 * bytes] as const;
  const view = (at: number) => new Float64Array(memory.buffer, at, bytes / 8);
  const [first, second, third] = [view(a), view(b), view(c)];
  // Written by the thread that uses them, so that they lie in its part of the memory.
  first.fill(0);
  second.fill(1);
  third.fill(2);
  return {
    copy: () => loops.copy(a, c, bytes),
    triad: () => loops.triad(a, b, c, bytes),
    /** @throws if memory does not hold what the loop has written */
    check(kind: "copy" | "triad") {
      const expected = kind === "copy" ? 2 : 7;
      for (const at of [0, first.length >> 1, first.length - 1]) {
        if (first[at] !== expected) throw new Error(`the memory ${kind} gave ${first[at]}`);
      }
    },
  };
}

function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
