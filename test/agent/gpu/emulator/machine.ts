/** What a kernel runs on: device memory, the shared memory of a block, and warps of 32 lanes. */
import type { Entry } from "./parse.ts";

export const LANES = 32;
export const ALL = 0xffffffff | 0;

/** Device memory in allocations with gaps between: an access outside of one is an error, as is a misaligned one. */
export class Memory {
  readonly #allocations: { base: number; bytes: number; view: DataView }[] = [];
  #next = 0x10_0000_0000;

  allocate(bytes: number): number {
    const base = this.#next;
    // Not zero: a kernel that reads what nobody wrote must not look right.
    const contents = new Uint8Array(bytes).fill(0xff);
    this.#allocations.push({ base, bytes, view: new DataView(contents.buffer) });
    this.#next += Math.ceil(bytes / 4096) * 4096 + 4096;
    return base;
  }

  free(base: number): void {
    const index = this.#allocations.findIndex((one) => one.base === base);
    if (index < 0) throw new Error(`nothing is allocated at ${base.toString(16)}`);
    this.#allocations.splice(index, 1);
  }

  /** The whole allocation that begins at an address, or null. */
  allocationAt(base: number): Uint8Array | null {
    const found = this.#allocations.find((one) => one.base === base);
    return found === undefined ? null : new Uint8Array(found.view.buffer);
  }

  /** A copy of nothing: the bytes themselves. */
  bytesAt(address: number, bytes: number): Uint8Array {
    const { view, offset } = this.at(address, bytes, 1);
    return new Uint8Array(view.buffer, offset, bytes);
  }

  at(address: number, bytes: number, alignment: number): { view: DataView; offset: number } {
    if (address % alignment !== 0) {
      throw new Error(`misaligned ${bytes}-byte access at ${address.toString(16)}`);
    }
    for (const { base, bytes: length, view } of this.#allocations) {
      const offset = address - base;
      if (offset >= 0 && offset + bytes <= length) return { view, offset };
    }
    throw new Error(`illegal address ${address.toString(16)} (${bytes} bytes)`);
  }
}

export interface Statistics {
  read: number;
  written: number;
  flop: number;
  instructions: number;
  /** Rows that `ldmatrix` read from a bank that another row of the same phase needs. */
  bankConflicts: number;
}

/** A block of threads. */
export interface Block {
  readonly index: number;
  readonly blocks: number;
  readonly threads: number;
  readonly args: readonly number[];
  readonly memory: Memory;
  /** Copies into shared memory land at once, or as late as they may. */
  readonly copiesLandEarly: boolean;
  readonly statistics: Statistics;
  readonly shared: Uint8Array;
  /** Bytes that may be read. */
  readonly valid: Uint8Array;
  readonly view: DataView;
}

export function createBlock(
  sharedBytes: number,
  rest: Omit<Block, "shared" | "valid" | "view">,
): Block {
  const shared = new Uint8Array(sharedBytes);
  const valid = new Uint8Array(sharedBytes);
  return { ...rest, shared, valid, view: new DataView(shared.buffer) };
}

export function checkShared({ shared }: Block, address: number): void {
  if (address % 16 !== 0 || address < 0 || address + 16 > shared.length) {
    throw new Error(`shared address ${address}`);
  }
}

type Copy = () => void;

/** 32 lanes in step, each with its own program counter: those that are furthest behind go first. */
export class Warp {
  readonly pc = new Int32Array(LANES);
  done = 0;
  atBarrier = false;
  readonly pred: Uint8Array;
  readonly b32: Int32Array;
  readonly b64: Float64Array;
  readonly f32: Float32Array;
  /** Copies since the last commit, and the groups committed before, of each lane. */
  readonly open: Copy[][] = Array.from({ length: LANES }, () => []);
  readonly groups: Copy[][][] = Array.from({ length: LANES }, () => []);

  readonly block: Block;
  readonly index: number;

  constructor(block: Block, index: number, { counts }: Entry) {
    this.block = block;
    this.index = index;
    this.pred = new Uint8Array(counts.pred * LANES);
    this.b32 = new Int32Array(counts.b32 * LANES);
    // Exact up to 2^53, which is beyond every address and size here.
    this.b64 = new Float64Array(counts.b64 * LANES);
    this.f32 = new Float32Array(counts.f32 * LANES);
  }
}
