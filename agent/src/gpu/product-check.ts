/** Whether a product is right: it has the same bits twice, and sampled elements agree with the host's own product. */
import { decode, filledValue } from "./fill.ts";
import type { Element } from "./ptx.ts";

/** Far apart, so that the two matrices share no part of one sequence. */
export const SEEDS = { a: 0x1000_0000, b: 0x9000_0000 } as const;

/** Larger than any rounding of 16 bits, and smaller than one wrong product in a sum. */
export const MOST_ERROR = 0.01;

const ROWS = 16;
const COLUMNS = 64;

export interface SampledProduct {
  n: number;
  type: Element;
  /** Sampled rows, spread over the matrix, and the columns that are looked at in each. */
  rows: number[];
  columns: number[];
  /** rows × columns. */
  values: Float64Array;
}

/** What the host computes from the numbers that the fill kernels write. */
export function sampleProduct(type: Element, n: number, isTransposed: boolean): SampledProduct {
  const rows = spread(ROWS, n);
  const columns = spread(COLUMNS, n);
  const a = rows.map((row) =>
    Float64Array.from({ length: n }, (_, k) => filledValue(type, row * n + k, SEEDS.a)),
  );
  const b = columns.map((column) =>
    Float64Array.from({ length: n }, (_, k) =>
      filledValue(type, isTransposed ? column * n + k : k * n + column, SEEDS.b),
    ),
  );
  const values = new Float64Array(rows.length * columns.length);
  for (const [i, left] of a.entries()) {
    for (const [j, right] of b.entries()) {
      let sum = 0;
      for (let k = 0; k < n; k++) sum += (left[k] ?? 0) * (right[k] ?? 0);
      values[i * columns.length + j] = sum;
    }
  }
  return { n, type, rows, columns, values };
}

/** The largest error, over the size that elements of such a product have; infinite for what is no number. */
export function productError(expected: SampledProduct, product: Uint8Array): number {
  const { n, type, rows, columns, values } = expected;
  const view = new DataView(product.buffer, product.byteOffset, product.byteLength);
  let worst = 0;
  for (const [i, row] of rows.entries()) {
    for (const [j, column] of columns.entries()) {
      const value = decode(type, view.getUint16((row * n + column) * 2, true));
      const wanted = values[i * columns.length + j] ?? 0;
      const error = Math.abs(value - wanted) / Math.max(Math.abs(wanted), Math.sqrt(n));
      worst = Math.max(worst, Number.isNaN(error) ? Number.POSITIVE_INFINITY : error);
    }
  }
  return worst;
}

/** Indices below n, for a sample of so many. Odd steps meet every tile, warp and lane of a kernel in the end. */
export function spread(count: number, n: number): number[] {
  const step = Math.floor(n / count) | 1;
  return Array.from({ length: Math.min(count, n) }, (_, i) => (i * step + (i % 7)) % n);
}
