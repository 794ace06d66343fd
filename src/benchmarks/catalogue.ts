import type { Benchmark } from "./benchmark.ts";
import { clusterNetwork } from "./cluster-network.ts";
import { hostMark } from "./host-mark.ts";
import { quickMark } from "./quick-mark.ts";

/** Every benchmark, in the order of `GET /benchmarks`. */
export const CATALOGUE: readonly Benchmark[] = [quickMark, hostMark, clusterNetwork];

const BY_ID = new Map(CATALOGUE.map((benchmark) => [benchmark.id, benchmark]));

export function findBenchmark(id: string): Benchmark | undefined {
  return BY_ID.get(id);
}

/** The benchmark of a step in a stored sequence, whose ids were checked when the job was created. */
export function benchmarkOf(id: string): Benchmark {
  const benchmark = BY_ID.get(id);
  if (benchmark === undefined)
    throw new Error(`Benchmark ${id} is in a job but not in the catalogue`);
  return benchmark;
}
