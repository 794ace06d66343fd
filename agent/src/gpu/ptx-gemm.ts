/**
 * C = A · Bᵀ on tensor cores as PTX text: A (M×K), B (N×K) and C (M×N) row by row in 16 bits, FP32 accumulation.
 * `cp.async` brings tiles into shared memory some stages ahead, `ldmatrix` takes fragments from there, `mma.sync`
 * multiplies them. M, N and K must be multiples of the tile.
 */
import type { Element } from "./ptx.ts";

export interface GemmTile {
  /** Rows, columns and depth of a block's tile. */
  bm: number;
  bn: number;
  /** 32 or 64. */
  bk: number;
  /** Rows and columns of a warp's part. */
  wm: number;
  wn: number;
  /** Tiles that are loaded or on their way. */
  stages: number;
  /** Rows of tiles that run together, so that they share A and B in L2. */
  group: number;
}

/** Needs 96 KiB of shared memory, which every GPU with BF16 has. */
export const GEMM_TILE: GemmTile = {
  bm: 128,
  bn: 256,
  bk: 32,
  wm: 64,
  wn: 64,
  stages: 4,
  group: 8,
};

export function gemmThreads({ bm, bn, wm, wn }: GemmTile): number {
  return (bm / wm) * (bn / wn) * 32;
}

export function gemmSharedBytes({ bm, bn, bk, stages }: GemmTile): number {
  return (bm + bn) * bk * 2 * stages;
}

/** Depth of one mma instruction. */
const MMA_K = 16;
const CHUNK_BYTES = 16;

interface Layout extends GemmTile {
  type: Element;
  threads: number;
  rowBytes: number;
  /** Chunks of a row of a tile, and the mask of their numbers. */
  chunks: number;
  mask: number;
  /**
   * A chunk lies at its number XOR the row's: eight rows read at once then meet eight different banks. Where two rows
   * share 128 bytes, the row's number is halved.
   */
  swizzleShift: number;
  aBytes: number;
  stageBytes: number;
  /** Copies of a thread for a tile of A, and of B. */
  aCopies: number;
  bCopies: number;
  /** Fragments of a warp in rows and in columns. */
  rows: number;
  columns: number;
}

function layoutOf(type: Element, tile: GemmTile): Layout {
  const threads = gemmThreads(tile);
  const rowBytes = tile.bk * 2;
  const chunks = rowBytes / CHUNK_BYTES;
  const aBytes = tile.bm * rowBytes;
  return {
    ...tile,
    type,
    threads,
    rowBytes,
    chunks,
    mask: chunks - 1,
    swizzleShift: chunks === 4 ? 1 : 0,
    aBytes,
    stageBytes: aBytes + tile.bn * rowBytes,
    aCopies: (tile.bm * chunks) / threads,
    bCopies: (tile.bn * chunks) / threads,
    rows: tile.wm / 16,
    columns: tile.wn / 8,
  };
}

/** The entry `gemm_bf16` or `gemm_f16`. */
export function gemm(type: Element, tile: GemmTile = GEMM_TILE): string {
  const l = layoutOf(type, tile);
  return `.extern .shared .align 1024 .b8 smem[];
.visible .entry gemm_${type}(.param .u64 A, .param .u64 B, .param .u64 C, .param .u32 M, .param .u32 N, .param .u32 K)
.maxntid ${l.threads}, 1, 1
{
${[registers(l), tileOfBlock(l), copyAddresses(l), fragmentAddresses(l), prologue(l), mainLoop(l), epilogue(l)].join("\n")}
  ret;
}
`;
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

const accumulator = ({ columns }: Layout, row: number, column: number, element: number) =>
  `%c${(row * columns + column) * 4 + element}`;

function registers(l: Layout): string {
  const { rows, columns, aCopies, bCopies } = l;
  return `  .reg .pred %none, %wrap, %more;
  .reg .b32 %M, %N, %K, %block, %tilesM, %tilesN, %perGroup, %groupOf, %firstRow, %rowsOf, %m0, %n0, %t, %u;
  .reg .b32 %thread, %lane, %warp, %warpM, %warpN, %smem, %chunk, %row, %steps, %loaded, %write, %read, %step, %packed;
  .reg .b32 %aChunk, %aSwizzle, %aAt, %bChunk, %bSwizzle, %bAt, %toA<${aCopies}>, %toB<${bCopies}>;
  .reg .b64 %A, %B, %C, %pitch, %w, %v, %out, %down, %fromA<${aCopies}>, %fromB<${bCopies}>;
  .reg .b32 %a<${rows * 4}>, %b<${columns * 2}>;
  .reg .f32 %c<${rows * columns * 4}>;
  ld.param.u64 %A, [A]; ld.param.u64 %B, [B]; ld.param.u64 %C, [C];
  ld.param.u32 %M, [M]; ld.param.u32 %N, [N]; ld.param.u32 %K, [K];`;
}

/** First row and column of this block's tile, and the place of this thread. */
function tileOfBlock({ bm, bn, wm, group }: Layout): string {
  return `  mov.u32 %block, %ctaid.x; div.u32 %tilesM, %M, ${bm}; div.u32 %tilesN, %N, ${bn};
  mul.lo.u32 %perGroup, %tilesN, ${group}; div.u32 %groupOf, %block, %perGroup;
  mul.lo.u32 %firstRow, %groupOf, ${group}; sub.u32 %rowsOf, %tilesM, %firstRow; min.u32 %rowsOf, %rowsOf, ${group};
  mul.lo.u32 %t, %groupOf, %perGroup; sub.u32 %t, %block, %t;
  rem.u32 %m0, %t, %rowsOf; add.u32 %m0, %m0, %firstRow; div.u32 %n0, %t, %rowsOf;
  mul.lo.u32 %m0, %m0, ${bm}; mul.lo.u32 %n0, %n0, ${bn};
  mov.u32 %thread, %tid.x; and.b32 %lane, %thread, 31; shr.u32 %warp, %thread, 5;
  rem.u32 %warpM, %warp, ${bm / wm}; div.u32 %warpN, %warp, ${bm / wm};
  mov.u32 %smem, smem; cvt.u64.u32 %pitch, %K; shl.b64 %pitch, %pitch, 1;`;
}

/** From where and to where this thread copies: one chunk of every (threads ÷ chunks)th row. */
function copyAddresses(l: Layout): string {
  const { threads, chunks, mask, swizzleShift, rowBytes, aCopies, bCopies } = l;
  const copies = (count: number, base: string, origin: string, from: string, to: string) =>
    range(count).map(
      (
        i,
      ) => `  add.u32 %t, %row, ${(i * threads) / chunks}; add.u32 %u, %t, ${origin}; cvt.u64.u32 %w, %u;
  mul.lo.u64 %w, %w, %pitch; mul.wide.u32 %v, %chunk, ${CHUNK_BYTES}; add.u64 %w, %w, %v; add.u64 ${from}${i}, ${base}, %w;
  shr.u32 %u, %t, ${swizzleShift}; and.b32 %u, %u, ${mask}; xor.b32 %u, %u, %chunk; shl.b32 %u, %u, 4;
  mad.lo.u32 %u, %t, ${rowBytes}, %u; add.u32 ${to}${i}, %u, %smem;`,
    );
  return [
    `  and.b32 %chunk, %thread, ${mask}; shr.u32 %row, %thread, ${Math.log2(chunks)};`,
    ...copies(aCopies, "%A", "%m0", "%fromA", "%toA"),
    ...copies(bCopies, "%B", "%n0", "%fromB", "%toB"),
  ].join("\n");
}

/** The rows that this lane names to `ldmatrix`: of A 16 rows × 2 chunks, of B 2 × 8 rows × 2 chunks. */
function fragmentAddresses({ wm, wn, mask, swizzleShift, rowBytes, aBytes }: Layout): string {
  return `  and.b32 %row, %lane, 15; mad.lo.u32 %row, %warpM, ${wm}, %row; shr.u32 %aChunk, %lane, 4;
  shr.u32 %aSwizzle, %row, ${swizzleShift}; and.b32 %aSwizzle, %aSwizzle, ${mask};
  mul.lo.u32 %aAt, %row, ${rowBytes}; add.u32 %aAt, %aAt, %smem;
  and.b32 %row, %lane, 7; shr.u32 %t, %lane, 4; shl.b32 %t, %t, 3; add.u32 %row, %row, %t;
  mad.lo.u32 %row, %warpN, ${wn}, %row; shr.u32 %bChunk, %lane, 3; and.b32 %bChunk, %bChunk, 1;
  shr.u32 %bSwizzle, %row, ${swizzleShift}; and.b32 %bSwizzle, %bSwizzle, ${mask};
  mul.lo.u32 %bAt, %row, ${rowBytes}; add.u32 %bAt, %bAt, %smem; add.u32 %bAt, %bAt, ${aBytes};`;
}

/** Sends a tile of A and B on its way into the stage at the byte offset `stage`. */
function loadTile(l: Layout, stage: string): string[] {
  const copies = (count: number, from: string, to: string, offset: number) =>
    range(count).map(
      (i) =>
        `  add.u32 %t, ${to}${i}, ${stage};${offset === 0 ? "" : ` add.u32 %t, %t, ${offset};`} cp.async.cg.shared.global [%t], [${from}${i}], 16; add.u64 ${from}${i}, ${from}${i}, ${l.rowBytes};`,
    );
  return [
    ...copies(l.aCopies, "%fromA", "%toA", 0),
    ...copies(l.bCopies, "%fromB", "%toB", l.aBytes),
  ];
}

/** All stages but one are on their way before the loop. A group is committed for each, an empty one beyond K. */
function prologue(l: Layout): string {
  return [
    `  ${range(l.rows * l.columns * 4)
      .map((i) => `mov.f32 %c${i}, 0f00000000;`)
      .join(" ")}`,
    `  div.u32 %steps, %K, ${l.bk}; mov.u32 %loaded, 0;`,
    ...range(l.stages - 1).flatMap((stage) => [
      `  setp.ge.u32 %none, %loaded, %steps; @%none bra SKIP${stage};`,
      `  mov.u32 %write, ${stage * l.stageBytes};`,
      ...loadTile(l, "%write"),
      `SKIP${stage}:`,
      "  cp.async.commit_group; add.u32 %loaded, %loaded, 1;",
    ]),
    `  mov.u32 %write, ${(l.stages - 1) * l.stageBytes}; mov.u32 %read, 0; mov.u32 %step, 0;`,
  ].join("\n");
}

/** Waits for the oldest tile, sends the next on its way into the stage that all warps have left, multiplies. */
function mainLoop(l: Layout): string {
  const advance = (at: string) =>
    `add.u32 ${at}, ${at}, ${l.stageBytes}; setp.ge.u32 %wrap, ${at}, ${l.stages * l.stageBytes}; @%wrap mov.u32 ${at}, 0;`;
  return [
    "LOOP:",
    `  cp.async.wait_group ${l.stages - 2};`,
    "  bar.sync 0;",
    "  setp.ge.u32 %none, %loaded, %steps; @%none bra NOLOAD;",
    ...loadTile(l, "%write"),
    "NOLOAD:",
    "  cp.async.commit_group; add.u32 %loaded, %loaded, 1;",
    `  ${advance("%write")}`,
    ...range(l.bk / MMA_K).flatMap((k) => multiply(l, k)),
    `  ${advance("%read")}`,
    "  add.u32 %step, %step, 1; setp.lt.u32 %more, %step, %steps; @%more bra LOOP;",
    "  cp.async.wait_group 0;",
  ].join("\n");
}

/** One depth of 16 of the warp's tile. */
function multiply(l: Layout, k: number): string[] {
  const { rows, columns, rowBytes, type } = l;
  const take = (of: "a" | "b") =>
    `  add.u32 %t, %${of}Chunk, ${k * 2}; xor.b32 %t, %t, %${of}Swizzle; shl.b32 %t, %t, 4; add.u32 %t, %t, %${of}At; add.u32 %t, %t, %read;`;
  const four = (of: "a" | "b", first: number) =>
    range(4)
      .map((i) => `%${of}${first + i}`)
      .join(",");
  const matrices = (of: "a" | "b", count: number) =>
    range(count).map(
      (i) =>
        `  ldmatrix.sync.aligned.m8n8.x4.shared.b16 {${four(of, i * 4)}}, [%t+${i * 16 * rowBytes}];`,
    );
  const product = (row: number, column: number): string => {
    const sums = range(4).map((e) => accumulator(l, row, column, e));
    const b = `%b${column * 2},%b${column * 2 + 1}`;
    return `  mma.sync.aligned.m16n8k16.row.col.f32.${type}.${type}.f32 {${sums}}, {${four("a", row * 4)}}, {${b}}, {${sums}};`;
  };
  return [
    take("a"),
    ...matrices("a", rows),
    take("b"),
    ...matrices("b", columns / 2),
    ...range(rows).flatMap((row) => range(columns).map((column) => product(row, column))),
  ];
}

/** Two neighbours of a row are one 32-bit store; a lane has rows 0 and 8 of each fragment. */
function epilogue(l: Layout): string {
  const { wm, wn, rows, columns, type } = l;
  return [
    `  shr.u32 %row, %lane, 2; mad.lo.u32 %row, %warpM, ${wm}, %row; add.u32 %row, %row, %m0;`,
    `  and.b32 %t, %lane, 3; shl.b32 %t, %t, 1; mad.lo.u32 %t, %warpN, ${wn}, %t; add.u32 %t, %t, %n0;`,
    "  mul.wide.u32 %out, %row, %N; cvt.u64.u32 %w, %t; add.u64 %out, %out, %w; shl.b64 %out, %out, 1; add.u64 %out, %out, %C;",
    "  mul.wide.u32 %down, %N, 16;",
    ...range(rows).flatMap((row) =>
      range(2).flatMap((half) => [
        ...range(columns).map((column) => {
          const [low, high] = [0, 1].map((e) => accumulator(l, row, column, half * 2 + e));
          return `  cvt.rn.${type}x2.f32 %packed, ${high}, ${low}; st.global.u32 [%out+${column * 16}], %packed;`;
        }),
        "  add.u64 %out, %out, %down;",
      ]),
    ),
  ].join("\n");
}
