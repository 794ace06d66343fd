/** Contenders in turns, so that whatever else the machine does meets all of them alike. */

export interface Contender {
  /** Makes what one round needs; not timed. */
  prepare(): Promise<readonly Buffer[]>;
  run(requests: readonly Buffer[]): Promise<void>;
  /** Waits for what the requests have left running; not timed. */
  settle(): Promise<void>;
}

export interface Ratio {
  median: number;
  /** 95 % interval. */
  low: number;
  high: number;
}

export interface Comparison {
  /** Requests per second, median over the rounds. */
  rate: { product: number; baseline: number };
  /** Of the rates: 1 is as fast as the baseline. */
  ratio: Ratio;
}

/** Medians over the rounds, and by round. */
export interface Lap {
  /** Requests per second. */
  rate: number;
  rates: readonly number[];
  /** CPU time of the server's process for each request, µs; null where the system does not say. */
  cpuUs: number | null;
}

const WARM_UP_ROUNDS = 3;

/**
 * Runs all contenders in each round, beginning with another one each time.
 *
 * @param cpuMs CPU time that the server's process has used
 */
export async function race<Name extends string>(
  contenders: Record<Name, Contender>,
  rounds: number,
  cpuMs: () => number | null = () => null,
): Promise<Record<Name, Lap>> {
  const names = Object.keys(contenders) as Name[];
  const laps = names.map(() => ({ rates: [] as number[], cpuUs: [] as number[] }));
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    for (const turn of names.keys()) {
      const at = (turn + round + names.length * WARM_UP_ROUNDS) % names.length;
      const [name, lap] = [names[at], laps[at]];
      if (name === undefined || lap === undefined) continue;
      const { rate, cpuUs } = await run(contenders[name], cpuMs);
      if (round < 0) continue;
      lap.rates.push(rate);
      if (cpuUs !== null) lap.cpuUs.push(cpuUs);
    }
  }
  const entries = laps.map(({ rates, cpuUs }, at) => [
    names[at],
    { rate: median(rates), rates, cpuUs: cpuUs.length === 0 ? null : median(cpuUs) },
  ]);
  return Object.fromEntries(entries);
}

async function run(contender: Contender, cpuMs: () => number | null) {
  const requests = await contender.prepare();
  const cpu = cpuMs();
  const start = performance.now();
  await contender.run(requests);
  const seconds = (performance.now() - start) / 1_000;
  const used = cpuMs();
  await contender.settle();
  const cpuUs = cpu === null || used === null ? null : ((used - cpu) * 1_000) / requests.length;
  return { rate: requests.length / seconds, cpuUs };
}

export async function compare(
  product: Contender,
  baseline: Contender,
  rounds: number,
): Promise<Comparison> {
  const laps = await race({ product, baseline }, rounds);
  return {
    rate: { product: laps.product.rate, baseline: laps.baseline.rate },
    ratio: ratioOf(laps.product, laps.baseline),
  };
}

/** The ratio of two contenders' rates, round by round. */
export function ratioOf(one: Lap, other: Lap): Ratio {
  const ratios = one.rates.map((rate, round) => rate / (other.rates[round] ?? Number.NaN));
  return { median: median(ratios), ...interval(ratios) };
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
