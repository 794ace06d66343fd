/**
 * The kernels as PTX text, which the CUDA driver compiles on the machine: no toolkit is needed. The text is ASCII, since
 * assemblers refuse more. A changed kernel is another method: raise its number in methods.ts.
 */
import { gemm } from "./ptx-gemm.ts";

/** PTX 7.0 is compiled by every driver since r450 (CUDA 11.0); sm_80 is the oldest with BF16. */
const HEADER = ".version 7.0\n.target sm_80\n.address_size 64\n";
/** Compute capability that the kernels need, as 10 × major + minor. */
export const LEAST_CAPABILITY = 80;

export const COPY_THREADS = 256;
/** A thread has this many loads of 16 bytes in flight. */
const COPY_UNROLL = 4;
/** Buffers are copied in multiples of what one block copies in a step. */
export const COPY_GRANULE = COPY_THREADS * COPY_UNROLL * 16;

export const FMA_THREADS = 256;
const FMA_CHAINS = 16;
const FMA_INNER = 16;

/** Floating-point operations of one thread of `fma_f32` in one iteration. */
export const FMA_FLOP_PER_ITERATION = 2 * FMA_CHAINS * FMA_INNER;

export type Element = "bf16" | "f16";

/** Fills, copy, FP32 and the empty kernel in one module: compiled once for each GPU. */
export function basicModule(): string {
  return [HEADER, fill("bf16"), fill("f16"), copy(), fmaF32(), EMPTY].join("\n");
}

/** The matrix product alone: its compilation takes longest. */
export function gemmModule(type: Element): string {
  return [HEADER, gemm(type)].join("\n");
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

const EMPTY = `.visible .entry empty(.param .u64 unused)
{
  ret;
}
`;

/** The sum of a word's four bytes twice, in the low halves of two registers: 16 bits are enough for all sums. */
function hashedBytes(into: string, index: string, salt: number): string {
  return `  add.u32 %h, ${index}, ${salt};
  mul.lo.u32 %h, %h, 0x9E3779B1;
  shr.u32 %t, %h, 15; xor.b32 %h, %h, %t;
  mul.lo.u32 %h, %h, 0x85EBCA77;
  shr.u32 %t, %h, 13; xor.b32 %h, %h, %t;
  mul.lo.u32 %h, %h, 0xC2B2AE3D;
  shr.u32 %t, %h, 16; xor.b32 %h, %h, %t;
  and.b32 %t, %h, 0x00FF00FF; shr.u32 %h, %h, 8; and.b32 %h, %h, 0x00FF00FF;
  add.u32 ${into}, %h, %t;`;
}

/** One value of N(0,1): the sum of eight uniform bytes, centred and scaled. Exact until the last step. */
function normal(into: string, index: string): string {
  return `${hashedBytes("%s", index, 0)}
${hashedBytes("%u", index, 0x68bc21eb)}
  add.u32 %s, %s, %u; shr.u32 %u, %s, 16; add.u32 %s, %s, %u; and.b32 %s, %s, 0xFFFF;
  cvt.rn.f32.u32 ${into}, %s;
  sub.f32 ${into}, ${into}, 0f447F0000;
  mul.f32 ${into}, ${into}, 0f3B9CC4BF;`;
}

/** Random numbers N(0,1), two to a 32-bit word: words 0 to `words` - 1 of `p`. fill.ts computes the same on the host. */
function fill(type: Element): string {
  return `.visible .entry fill_${type}(.param .u64 p, .param .u64 words, .param .u32 seed)
{
  .reg .pred %end;
  .reg .b32 %cta, %ctas, %threads, %thread, %seed, %index, %h, %t, %s, %u, %packed;
  .reg .b64 %p, %words, %word, %step, %wide, %address;
  .reg .f32 %low, %high;
  ld.param.u64 %p, [p]; ld.param.u64 %words, [words]; ld.param.u32 %seed, [seed];
  mov.u32 %cta, %ctaid.x; mov.u32 %threads, %ntid.x; mov.u32 %thread, %tid.x; mov.u32 %ctas, %nctaid.x;
  mul.wide.u32 %word, %cta, %threads; cvt.u64.u32 %wide, %thread; add.u64 %word, %word, %wide;
  mul.wide.u32 %step, %ctas, %threads;
LOOP:
  setp.ge.u64 %end, %word, %words; @%end bra DONE;
  cvt.u32.u64 %index, %word; shl.b32 %index, %index, 1; add.u32 %index, %index, %seed;
${normal("%low", "%index")}
  add.u32 %index, %index, 1;
${normal("%high", "%index")}
  cvt.rn.${type}x2.f32 %packed, %high, %low;
  shl.b64 %address, %word, 2; add.u64 %address, %p, %address; st.global.u32 [%address], %packed;
  add.u64 %word, %word, %step; bra LOOP;
DONE:
  ret;
}
`;
}

/** to[i] = from[i], past the caches; a step of the grid copies COPY_GRANULE bytes a block. */
function copy(): string {
  const registers = range(COPY_UNROLL * 4).map((i) => `%v${i}`);
  const four = (step: number) => registers.slice(step * 4, step * 4 + 4).join(", ");
  const steps = range(COPY_UNROLL);
  return `.visible .entry copy(.param .u64 from, .param .u64 to, .param .u64 bytes)
{
  .reg .pred %end;
  .reg .b32 %cta, %ctas, %threads, %thread, %row;
  .reg .b64 %from, %to, %bytes, %at, %step, %wide, %stride, %load<${COPY_UNROLL}>, %store<${COPY_UNROLL}>;
  .reg .f32 ${registers.join(", ")};
  ld.param.u64 %from, [from]; ld.param.u64 %to, [to]; ld.param.u64 %bytes, [bytes];
  mov.u32 %cta, %ctaid.x; mov.u32 %threads, %ntid.x; mov.u32 %thread, %tid.x; mov.u32 %ctas, %nctaid.x;
  mul.lo.u32 %row, %threads, 16; cvt.u64.u32 %stride, %row;
  mul.wide.u32 %at, %cta, %threads; mul.lo.u64 %at, %at, ${COPY_UNROLL * 16};
  mul.wide.u32 %wide, %thread, 16; add.u64 %at, %at, %wide;
  mul.wide.u32 %step, %ctas, %threads; mul.lo.u64 %step, %step, ${COPY_UNROLL * 16};
LOOP:
  setp.ge.u64 %end, %at, %bytes; @%end bra DONE;
  add.u64 %load0, %from, %at; add.u64 %store0, %to, %at;
${steps
  .slice(1)
  .map(
    (u) =>
      `  add.u64 %load${u}, %load${u - 1}, %stride; add.u64 %store${u}, %store${u - 1}, %stride;`,
  )
  .join("\n")}
${steps.map((u) => `  ld.global.cs.v4.f32 {${four(u)}}, [%load${u}];`).join("\n")}
${steps.map((u) => `  st.global.cs.v4.f32 [%store${u}], {${four(u)}};`).join("\n")}
  add.u64 %at, %at, %step; bra LOOP;
DONE:
  ret;
}
`;
}

/** Independent chains of fused multiply-adds in registers. The result is never stored, but might be. */
function fmaF32(): string {
  const chains = range(FMA_CHAINS).map((i) => `%c${i}`);
  const round = chains.map((c) => `fma.rn.f32 ${c}, ${c}, %factor, %term;`).join(" ");
  return `.visible .entry fma_f32(.param .u64 out, .param .u32 iterations)
{
  .reg .pred %more, %keep;
  .reg .b32 %thread, %left;
  .reg .b64 %out;
  .reg .f32 %term, %factor, %sum, ${chains.join(", ")};
  ld.param.u64 %out, [out]; ld.param.u32 %left, [iterations];
  mov.u32 %thread, %tid.x; cvt.rn.f32.u32 %term, %thread;
  mul.f32 %term, %term, 0f3A83126F; mov.f32 %factor, 0f3F7FF000;
  ${chains.map((c, i) => `add.f32 ${c}, %term, 0f${(0x3f800000 + i * 0x10000).toString(16).toUpperCase()};`).join(" ")}
LOOP:
${range(FMA_INNER)
  .map(() => `  ${round}`)
  .join("\n")}
  sub.u32 %left, %left, 1; setp.ne.u32 %more, %left, 0; @%more bra LOOP;
  mov.f32 %sum, 0f00000000;
  ${chains.map((c) => `add.f32 %sum, %sum, ${c};`).join(" ")}
  setp.eq.f32 %keep, %sum, 0f7F7FFFFF; @!%keep bra DONE;
  st.global.f32 [%out], %sum;
DONE:
  ret;
}
`;
}
