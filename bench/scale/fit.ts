/** Growth of costs: a straight line through logarithms, with the interval of its slope. */

export interface Point {
  /** Size of the work: nodes, jobs, routes. */
  n: number;
  cost: number;
}

export interface Growth {
  /** Of `cost ~ n^exponent`: 0 is constant, 1 linear. */
  exponent: number;
  /** 95 % interval of the exponent; the exponent itself where two points leave no doubt to measure. */
  low: number;
  high: number;
  /** Exponent between the two largest sizes alone: fixed costs of small sizes do not flatter it. */
  last: number;
}

/** The work that a cost may follow: of a page, of each node or job, of each pair of nodes. */
export type Work = "constant" | "linear" | "square";

const POWERS: Readonly<Record<Work, number>> = { constant: 0, linear: 1, square: 2 };

/** By degrees of freedom, from 1: quantiles of Student's distribution for 95 %, both sides. */
const QUANTILES = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
const NORMAL = 1.96;
/** Counts are whole numbers: rounding alone must not make a failure. */
const TOLERANCE = 0.02;

/** Fits `cost ~ n^exponent`. Costs of nothing count as 1, the least that a logarithm can show. */
export function growthOf(points: readonly Point[]): Growth {
  if (points.length < 2) throw new RangeError("a growth needs at least two sizes");
  const logs = points.map(({ n, cost }) => ({ x: Math.log(n), y: Math.log(Math.max(1, cost)) }));
  const meanX = mean(logs.map(({ x }) => x));
  const meanY = mean(logs.map(({ y }) => y));
  const spread = sum(logs.map(({ x }) => (x - meanX) ** 2));
  const exponent = sum(logs.map(({ x, y }) => (x - meanX) * (y - meanY))) / spread;
  const left = sum(logs.map(({ x, y }) => (y - meanY - exponent * (x - meanX)) ** 2));
  const freedom = points.length - 2;
  const error = freedom === 0 ? 0 : Math.sqrt(left / freedom / spread);
  const margin = freedom === 0 ? 0 : (QUANTILES[freedom - 1] ?? NORMAL) * error;
  const [one, other] = logs.slice(-2);
  const last = one && other ? (other.y - one.y) / (other.x - one.x) : exponent;
  return { exponent, low: exponent - margin, high: exponent + margin, last };
}

/** The growth of the work times log n over the same sizes. */
export function allowedGrowth(sizes: readonly number[], work: Work): Growth {
  return growthOf(sizes.map((n) => ({ n, cost: n ** POWERS[work] * Math.log2(n + 1) * SCALE })));
}

/** Lifts small values above the 1 of nothing. */
const SCALE = 1_000;

/**
 * Decides if a cost outgrows its work. Exact counts are judged by the fit and by their last step; timings only if their
 * whole interval is beyond what is allowed.
 */
export function growsTooFast(points: readonly Point[], work: Work, isExact: boolean): boolean {
  const { exponent, low, last } = growthOf(points);
  const sizes = points.map(({ n }) => n);
  const allowed = allowedGrowth(sizes, work);
  // Two points have no interval: a timing of two sizes decides nothing.
  if (!isExact) return points.length > 2 && low > allowed.exponent + TOLERANCE;
  return exponent > allowed.exponent + TOLERANCE || last > allowed.last + TOLERANCE;
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const mean = (values: readonly number[]) => sum(values) / values.length;
