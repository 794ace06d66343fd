/** Matrix products: checked before and after they are measured, by whichever engine makes them. */
import type { Engine, LaunchedEngine, ProductCheck, RemoteEngine } from "./engine.ts";
import type { FigureTools } from "./figures.ts";
import { type Lane, measureBatches, measureRate, withBuffers } from "./lanes.ts";
import { GEMM_METRIC, gemmMethod } from "./methods.ts";
import { MOST_ERROR, productError, SEEDS, sampleProduct } from "./product-check.ts";
import type { Element } from "./ptx.ts";
import type { Rate } from "./rate.ts";
import type { Fault, MeasuredFigure } from "./results.ts";

export interface ProductFigure {
  figure: MeasuredFigure;
  isRepeatable: boolean;
  error: number;
  faults: Fault[];
}

const FILL_THREADS = 256;
const FILL_BLOCKS = 4;

/** A product of one type on all GPUs at once. */
export function measureProduct(engine: Engine, type: Element, tools: FigureTools): ProductFigure {
  const n = tools.sizes.gemm;
  const metric = GEMM_METRIC[type];
  const { rates, checks } =
    "prepare" in engine ? launched(engine, type, tools) : remote(engine, type, tools);
  return {
    figure: {
      metric,
      method: gemmMethod(engine.id, n),
      values: rates.map((rate) => teraflops(n, rate)),
      rates,
      isAdditive: true,
    },
    isRepeatable: checks.every(({ isRepeatable }) => isRepeatable),
    error: Math.max(...checks.map(({ error }) => error)),
    faults: checks.flatMap((check, gpu) => checkFaults(metric, gpu, check)),
  };
}

/** BF16 once more, for what warmth has cost; it is not checked. TFLOPS of each GPU. */
export function measureAgain(engine: Engine, tools: FigureTools): number[] {
  const n = tools.sizes.gemm;
  const rates =
    "prepare" in engine
      ? withProducts(engine, "bf16", tools, (works) => measureRate(tools.lanes, works, tools))
      : withRemote(engine, "bf16", tools, ({ start }) =>
          measureBatches(tools.lanes, start, tools, false),
        );
  return rates.map((rate) => teraflops(n, rate));
}

export function teraflops(n: number, { msPerCall }: Rate): number {
  return (2 * n ** 3) / 1e9 / msPerCall;
}

interface Checked {
  rates: Rate[];
  /** Of each GPU. */
  checks: ProductCheck[];
}

function launched(engine: LaunchedEngine, type: Element, tools: FigureTools): Checked {
  const { lanes, sizes } = tools;
  return withProducts(engine, type, tools, (works, read) => {
    const products = (): Uint8Array[] => {
      for (const work of works) work();
      return read();
    };
    const first = products();
    const rates = measureRate(lanes, works, tools);
    const second = products();
    const expected = sampleProduct(type, sizes.gemm, engine.isTransposed);
    const checks = lanes.map((_, i) => {
      const [before, after] = [first[i] ?? new Uint8Array(), second[i] ?? new Uint8Array()];
      const error = Math.max(productError(expected, before), productError(expected, after));
      return { isRepeatable: Buffer.compare(before, after) === 0, error };
    });
    return { rates, checks };
  });
}

function remote(engine: RemoteEngine, type: Element, tools: FigureTools): Checked {
  return withRemote(engine, type, tools, ({ start, check }) => {
    // The other process takes part of the host's time for itself.
    const rates = measureBatches(tools.lanes, start, tools, false);
    return { rates, checks: check() };
  });
}

function withRemote<Result>(
  engine: RemoteEngine,
  type: Element,
  { lanes, sizes }: FigureTools,
  use: (products: ReturnType<RemoteEngine["open"]>) => Result,
): Result {
  const products = engine.open(type, sizes.gemm, lanes.length);
  try {
    return use(products);
  } finally {
    products.close();
  }
}

/**
 * A product on each GPU, its factors filled, while `use` runs.
 *
 * @param use gets the work of each GPU, and what reads the products
 */
export function withProducts<Result>(
  engine: LaunchedEngine,
  type: Element,
  { lanes, sizes, onBatch }: Pick<FigureTools, "lanes" | "sizes" | "onBatch">,
  use: (works: (() => void)[], read: () => Uint8Array[]) => Result,
  fillWith: Fill = fill,
): Result {
  const n = sizes.gemm;
  const bytes = n * n * 2;
  return withBuffers(lanes, [bytes, bytes, bytes], (buffers) => {
    const works = lanes.map((lane, i) => {
      const [a = 0n, b = 0n, c = 0n] = buffers[i] ?? [];
      fillWith(lane, type, a, n * n, SEEDS.a);
      fillWith(lane, type, b, n * n, SEEDS.b);
      const work = engine.prepare(lane.gpu, { type, n, a, b, c });
      onBatch(0);
      return work;
    });
    return use(works, () => lanes.map(({ gpu }, i) => gpu.read(buffers[i]?.[2] ?? 0n, bytes)));
  });
}

/** Writes so many elements of a factor. */
export type Fill = (
  lane: Lane,
  type: Element,
  address: bigint,
  elements: number,
  seed: number,
) => void;

/** N(0,1), as measured. */
function fill(lane: Lane, type: Element, address: bigint, elements: number, seed: number): void {
  lane.kernel(`fill_${type}`).bind({
    grid: FILL_BLOCKS * lane.gpu.description.multiprocessors,
    threads: FILL_THREADS,
    args: [
      ["u64", address],
      ["u64", elements / 2],
      ["u32", seed],
    ],
  })();
  lane.gpu.finish();
}

function checkFaults(metric: string, gpu: number, { isRepeatable, error }: ProductCheck): Fault[] {
  const faults: Fault[] = [];
  if (!isRepeatable) {
    const message =
      "the same matrix product had different bits the second time: this GPU computes wrong results without reporting an error (silent corruption)";
    faults.push({ metric, gpu, code: "product_differs", message });
  }
  // Also for what is no number.
  if (!(error <= MOST_ERROR)) {
    const size = Number.isFinite(error) ? `${(100 * error).toFixed(1)} %` : "an infinite amount";
    const message = `elements of a matrix product are wrong by up to ${size}: this GPU computes wrong results without reporting an error (silent corruption)`;
    faults.push({ metric, gpu, code: "product_wrong", message });
  }
  return faults;
}
