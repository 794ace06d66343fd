/** Kernels in the emulator, for the tests of them. */
import { type Element, gemmModule } from "../../../agent/src/gpu/ptx.ts";
import {
  GEMM_TILE,
  type GemmTile,
  gemm,
  gemmSharedBytes,
  gemmThreads,
} from "../../../agent/src/gpu/ptx-gemm.ts";
import { launch } from "./emulator/launch.ts";
import { Memory, type Statistics, type Warp } from "./emulator/machine.ts";
import { fromBf16, fromF16, toBf16, toF16 } from "./emulator/numbers.ts";
import { type Entry, parsePtx } from "./emulator/parse.ts";

export function entryOf(text: string, name: string): Entry {
  const entry = parsePtx(text).get(name);
  if (entry === undefined) throw new Error(`no entry ${name}`);
  return entry;
}

/** Repeatable numbers from 0 to 1. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return state / 2 ** 32;
  };
}

/** Which warp goes on: a kernel must be right in every order. */
export const ORDERS: Readonly<Record<string, (warps: readonly Warp[]) => Warp | undefined>> = {
  first: (warps) => warps[0],
  last: (warps) => warps.at(-1),
  random: (() => {
    const random = randomNumbers(7);
    return (warps: readonly Warp[]) => warps[Math.floor(random() * warps.length)];
  })(),
};

export interface GemmRun {
  type: Element;
  tile?: GemmTile;
  size: readonly [m: number, n: number, k: number];
  order?: keyof typeof ORDERS;
  copiesLandEarly?: boolean;
  /** Changes the kernel's text. */
  mutate?: (text: string) => string;
}

/** C = A · Bᵀ of random numbers, and its largest error. */
export function runGemm(run: GemmRun): { error: number; statistics: Statistics } {
  const { type, tile = GEMM_TILE, size, order = "first", copiesLandEarly = false } = run;
  const [m, n, k] = size;
  const text = tile === GEMM_TILE ? gemmModule(type) : gemm(type, tile);
  const entry = entryOf(run.mutate?.(text) ?? text, `gemm_${type}`);
  const [encode, decode] = type === "bf16" ? [toBf16, fromBf16] : [toF16, fromF16];
  const random = randomNumbers(m + n + k);
  const memory = new Memory();
  const [a, b, c] = [m * k, n * k, m * n].map((elements) => memory.allocate(elements * 2));
  if (a === undefined || b === undefined || c === undefined) throw new Error("no memory");
  const halves = (address: number, count: number) => {
    const bytes = memory.bytesAt(address, count * 2);
    return new Uint16Array(bytes.buffer, bytes.byteOffset, count);
  };
  const [left, right] = [halves(a, m * k), halves(b, n * k)];
  for (const matrix of [left, right]) {
    for (let i = 0; i < matrix.length; i++) matrix[i] = encode(random() * 2 - 1);
  }
  const statistics = launch(entry, {
    grid: (m / tile.bm) * (n / tile.bn),
    threads: gemmThreads(tile),
    sharedBytes: gemmSharedBytes(tile),
    args: [a, b, c, m, n, k],
    memory,
    copiesLandEarly,
    order: ORDERS[order] ?? (([first]) => first),
  });
  const [x, y] = [Float64Array.from(left, decode), Float64Array.from(right, decode)];
  const product = halves(c, m * n);
  let error = 0;
  for (let row = 0; row < m; row += 7) {
    for (let column = row % 5; column < n; column += 5) {
      let sum = 0;
      for (let i = 0; i < k; i++) sum += (x[row * k + i] ?? 0) * (y[column * k + i] ?? 0);
      const difference = Math.abs(decode(product[row * n + column] ?? 0) - sum);
      error = Math.max(
        error,
        Number.isNaN(difference) ? Infinity : difference / (Math.abs(sum) + 1),
      );
    }
  }
  return { error, statistics };
}

/** Rounding of a 16-bit result. */
export const ROUNDING = 0.006;

/** A change that breaks the kernel: what the emulator says of it under some order and timing, or null. */
export function faultOf(run: GemmRun): string | null {
  for (const copiesLandEarly of [false, true]) {
    for (const order of Object.keys(ORDERS)) {
      try {
        const { error } = runGemm({ ...run, order, copiesLandEarly });
        if (!(error < ROUNDING)) return `wrong by ${error}`;
      } catch (error) {
        return error instanceof Error ? error.message : String(error);
      }
    }
  }
  return null;
}

/** Small enough for seconds: one block of four warps. */
export const SMALL_TILE: GemmTile = { bm: 64, bn: 64, bk: 32, wm: 32, wn: 32, stages: 3, group: 2 };

/** Each replaces a part of the kernel's text; a part that is not there would be no fault. */
export const SEEDED_FAULTS: Readonly<Record<string, (text: string) => string>> = {
  "no wait for copies": (text) => text.replace("  cp.async.wait_group 1;\n", ""),
  "waits for one group less": (text) => text.replace("wait_group 1;", "wait_group 2;"),
  "no barrier": (text) => text.replace("  bar.sync 0;\n", ""),
  "another place in shared memory": (text) => text.replace("xor.b32 %t, %t, %bSwizzle; ", ""),
  "fragments swapped": (text) => text.replaceAll("{%b0,%b1}", "{%b1,%b0}"),
  "rows of the result too far apart": (text) =>
    text.replace("mul.wide.u32 %down, %N, 16;", "mul.wide.u32 %down, %N, 18;"),
  "a group of tiles too large": (text) => text.replace("min.u32 %rowsOf, %rowsOf, 2;", ""),
  "a stage too few": (text) =>
    text.replace("setp.ge.u32 %wrap, %write, 24576", "setp.ge.u32 %wrap, %write, 16384"),
};
