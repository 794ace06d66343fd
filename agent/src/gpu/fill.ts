/** On the host what the kernels `fill_bf16` and `fill_f16` write (ptx.ts): the check of a product needs no copy of it. */
import type { Element } from "./ptx.ts";

const WORDS = new Float32Array(1);
const BITS = new Uint32Array(WORDS.buffer);
/** 1 ÷ standard deviation of the sum of eight uniform bytes, as a 32-bit float. */
const SCALE = floatOf(0x3b9cc4bf);

/** Element `index` of a buffer that was filled with `seed`. */
export function filledValue(type: Element, index: number, seed: number): number {
  const at = (index + seed) >>> 0;
  const pairs = byteSums(at) + byteSums((at + 0x68bc21eb) >>> 0);
  const sum = ((pairs >>> 16) + pairs) & 0xffff;
  const value = Math.fround((sum - 1020) * SCALE);
  return type === "bf16" ? roundToBf16(value) : roundToF16(value);
}

function byteSums(index: number): number {
  let h = Math.imul(index, 0x9e3779b1);
  h = Math.imul(h ^ (h >>> 15), 0x85ebca77);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae3d);
  h ^= h >>> 16;
  return (h & 0x00ff00ff) + ((h >>> 8) & 0x00ff00ff);
}

/** The value of an element as a GPU stores it. */
export function decode(type: Element, half: number): number {
  if (type === "bf16") return floatOf(half << 16);
  const exponent = (half >>> 10) & 31;
  const mantissa = half & 1023;
  const sign = half & 0x8000 ? -1 : 1;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0
    ? sign * mantissa * 2 ** -24
    : sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

function roundToBf16(value: number): number {
  WORDS[0] = value;
  const bits = BITS[0] ?? 0;
  return floatOf((bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000);
}

/** Of numbers between 2^-14 and 65504 in size, and of 0: there are no others here. */
function roundToF16(value: number): number {
  if (value === 0) return 0;
  const step = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 10);
  const scaled = value / step;
  const down = Math.floor(scaled);
  const rest = scaled - down;
  const isUp = rest > 0.5 || (rest === 0.5 && down % 2 !== 0);
  return (isUp ? down + 1 : down) * step;
}

function floatOf(bits: number): number {
  BITS[0] = bits;
  return WORDS[0] ?? 0;
}
