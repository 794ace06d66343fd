/**
 * The loops that measure memory, as WebAssembly with 128-bit SIMD, assembled here: no toolchain, and the speed of
 * compiled C, which loops over typed arrays do not reach.
 */

const I32 = 0x7f;
const V128 = 0x7b;
const VOID_BLOCK = 0x40;
/** 128-bit words in a turn of a loop. */
const UNROLL = 8;
const WORD_BYTES = 16;
/** Lengths must be multiples of this. */
export const LOOP_BYTES = UNROLL * WORD_BYTES;
const PAGE_BYTES = 65_536;

/** Begins at a page, as O_DIRECT needs it. */
export interface PageMemory {
  readonly buffer: ArrayBuffer;
}

/** What is used of the global of Node, whose types come with those of browsers alone. */
interface Wasm {
  Memory: new (size: { initial: number; maximum: number }) => PageMemory;
  Module: new (code: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: unknown };
}
const wasm = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;

/** At least so many bytes, all zero. */
export function pageMemory(bytes: number): PageMemory {
  const pages = Math.ceil(bytes / PAGE_BYTES);
  return new wasm.Memory({ initial: pages, maximum: pages });
}

/** Addresses and lengths in bytes. */
export interface MemoryLoops {
  copy(to: number, from: number, bytes: number): void;
  /** `to = b + 3 × c` in doubles, as STREAM's triad. */
  triad(to: number, b: number, c: number, bytes: number): void;
}

export function memoryLoops(memory: PageMemory): MemoryLoops {
  const { exports } = new wasm.Instance(new wasm.Module(assemble()), { env: { memory } });
  return exports as MemoryLoops; // as `assemble` exports them
}

function assemble(): Uint8Array<ArrayBuffer> {
  const types = list([
    [0x60, ...list([[I32], [I32], [I32]]), ...list([])],
    [0x60, ...list([[I32], [I32], [I32], [I32]]), ...list([])],
  ]);
  const memory = [...name("env"), ...name("memory"), 0x02, 0x00, ...unsigned(1)];
  const exported = [
    [...name("copy"), 0x00, 0x00],
    [...name("triad"), 0x00, 0x01],
  ];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, types),
    ...section(2, list([memory])),
    ...section(3, list([[0x00], [0x01]])),
    ...section(7, list(exported)),
    ...section(10, list([copyBody(), triadBody()])),
  ]);
}

function copyBody(): number[] {
  const word = (offset: number) => [...get(0), ...get(1), ...load(offset), ...store(offset)];
  return body([], [...loop(2, word)]);
}

function triadBody(): number[] {
  const factor = 4;
  const word = (offset: number) => [
    ...get(0),
    ...[...get(1), ...load(offset)],
    ...[...get(2), ...load(offset), ...get(factor), ...F64X2_MUL],
    ...[...F64X2_ADD, ...store(offset)],
  ];
  return body([V128], [...F64_THREE, ...F64X2_SPLAT, ...set(factor), ...loop(3, word)]);
}

/** Runs over words while the local `left` has bytes, and moves the addresses, which are the locals before it. */
function loop(left: number, word: (offset: number) => number[]): number[] {
  const words = Array.from({ length: UNROLL }, (_, at) => word(at * WORD_BYTES)).flat();
  const step = constant(LOOP_BYTES);
  const moves = Array.from({ length: left }, (_, at) => [...get(at), ...step, I32_ADD, ...set(at)]);
  const isMore = [...get(left), ...step, I32_SUB, ...tee(left), 0x0d, 0x00];
  return [0x03, VOID_BLOCK, ...words, ...moves.flat(), ...isMore, 0x0b];
}

const I32_ADD = 0x6a;
const I32_SUB = 0x6b;
const SIMD = 0xfd;
const F64_THREE = [0x44, ...new Uint8Array(new Float64Array([3]).buffer)];
const F64X2_SPLAT = [SIMD, 0x14];
const F64X2_ADD = [SIMD, ...unsigned(0xf0)];
const F64X2_MUL = [SIMD, ...unsigned(0xf2)];

const get = (local: number) => [0x20, local];
const set = (local: number) => [0x21, local];
const tee = (local: number) => [0x22, local];
const constant = (value: number) => [0x41, ...signed(value)];
/** With an alignment of 2^4 bytes. */
const load = (offset: number) => [SIMD, 0x00, 0x04, ...unsigned(offset)];
const store = (offset: number) => [SIMD, 0x0b, 0x04, ...unsigned(offset)];

function body(locals: readonly number[], code: readonly number[]): number[] {
  const whole = [...list(locals.map((type) => [0x01, type])), ...code, 0x0b];
  return [...unsigned(whole.length), ...whole];
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...unsigned(content.length), ...content];
}

function list(items: readonly (readonly number[])[]): number[] {
  return [...unsigned(items.length), ...items.flat()];
}

function name(text: string): number[] {
  return [text.length, ...Buffer.from(text, "ascii")];
}

/** LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  do {
    const more = rest > 0x7f;
    bytes.push((rest & 0x7f) | (more ? 0x80 : 0));
    rest = Math.floor(rest / 128);
  } while (rest > 0);
  return bytes;
}

/** LEB128 of a number that is not negative: its last byte must not look like that of one that is. */
function signed(value: number): number[] {
  const bytes = unsigned(value);
  const last = bytes.at(-1) ?? 0;
  return last & 0x40 ? [...bytes.slice(0, -1), last | 0x80, 0x00] : bytes;
}
