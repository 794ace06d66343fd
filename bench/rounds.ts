/** Two contenders in turns, so that whatever else the machine does meets both alike. */

export interface Contender {
  /** Makes what one round needs; not timed. */
  prepare(): Promise<readonly Buffer[]>;
  run(requests: readonly Buffer[]): Promise<void>;
  /** Waits for what the requests have left running; not timed. */
  settle(): Promise<void>;
}

export interface Comparison {
  /** Requests per second, median over the rounds. */
  rate: { product: number; baseline: number };
  /** Of the rates: 1 is as fast as the baseline. */
  ratio: { median: number; low: number; high: number };
}

const WARM_UP_ROUNDS = 3;

export async function compare(
  product: Contender,
  baseline: Contender,
  rounds: number,
): Promise<Comparison> {
  const rates = { product: [] as number[], baseline: [] as number[] };
  const ratios: number[] = [];
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    const first = round % 2 === 0;
    const a = first ? await rateOf(product) : await rateOf(baseline);
    const b = first ? await rateOf(baseline) : await rateOf(product);
    if (round < 0) continue;
    const [ofProduct, ofBaseline] = first ? [a, b] : [b, a];
    rates.product.push(ofProduct);
    rates.baseline.push(ofBaseline);
    ratios.push(ofProduct / ofBaseline);
  }
  return {
    rate: { product: median(rates.product), baseline: median(rates.baseline) },
    ratio: { median: median(ratios), ...interval(ratios) },
  };
}

async function rateOf(contender: Contender): Promise<number> {
  const requests = await contender.prepare();
  const start = performance.now();
  await contender.run(requests);
  const seconds = (performance.now() - start) / 1_000;
  await contender.settle();
  return requests.length / seconds;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  const [low = 0, high = 0] = [sorted[Math.floor(middle)], sorted[Math.ceil(middle)]];
  return (low + high) / 2;
}

/** 95 % for the median, from order statistics: no assumption on how the values are spread. */
function interval(values: readonly number[]): { low: number; high: number } {
  const sorted = [...values].sort((a, b) => a - b);
  const half = 1.96 * Math.sqrt(sorted.length / 4);
  const low = Math.max(0, Math.floor(sorted.length / 2 - half));
  const high = Math.min(sorted.length - 1, Math.ceil(sorted.length / 2 + half));
  return { low: sorted[low] ?? 0, high: sorted[high] ?? 0 };
}
