/** What is measured, in which order, and how long it may take. Pure. */
import { RATE, type RatePlan } from "./rate.ts";

/** Sizes of the work; tests take smaller ones, which have method ids of their own. */
export interface Sizes {
  /** Rows and columns of the matrices. */
  gemm: number;
  /** Bytes of each of the two buffers, best first: the first that fits twice into the free memory is taken. */
  copy: readonly number[];
  /** Pinned, for each GPU. */
  hostCopy: number;
  peerCopy: number;
  /** Iterations of a thread of the FP32 kernel in a call, and blocks for each multiprocessor. */
  fmaIterations: number;
  fmaBlocks: number;
  copyBlocks: number;
  /** Iterations of one block of the FP32 kernel, which launches are queued behind: some 10 ms. */
  holdIterations: number;
}

const MIB = 2 ** 20;
const GIB = 2 ** 30;

export const SIZES: Sizes = {
  gemm: 4_096,
  // Many times the largest L2. The smaller ones are for GPUs with less memory.
  copy: [4 * GIB, GIB, 256 * MIB],
  hostCopy: 128 * MIB,
  peerCopy: 64 * MIB,
  fmaIterations: 512,
  fmaBlocks: 8,
  copyBlocks: 16,
  holdIterations: 20_000,
};

/** BF16 and memory are rated, so they get longer to settle. */
const RATED: RatePlan = { ...RATE, maxMs: 6_000 };
/** Until BF16 is measured again at the end. */
const AGAIN: RatePlan = { ...RATE, warmMs: 200, maxMs: 2_000 };
/** Copies need no warm GPU. */
const COLD: RatePlan = { ...RATE, warmMs: 100, maxMs: 1_500 };
/** A few hundred launches fit into the driver's queue while the GPU is held. */
const LAUNCHES: RatePlan = { ...COLD, warmMs: 0, maxCalls: 256, maxBatches: 40 };

export type Figure =
  | "bf16"
  | "memory"
  | "f16"
  | "fp32"
  | "host_to_device"
  | "device_to_host"
  | "launch"
  | "pairs"
  | "bf16_again";

export interface Step {
  figure: Figure;
  /** Of the progress, in the middle of typical times; all together 1. */
  share: number;
  rate: RatePlan;
}

/** The rated figures come first: a run that breaks off has them. */
export function planSteps(gpus: number): Step[] {
  const steps: Step[] = [
    { figure: "bf16", share: 8, rate: RATED },
    { figure: "memory", share: 5, rate: RATED },
    { figure: "f16", share: 4, rate: RATE },
    { figure: "fp32", share: 3, rate: RATE },
    { figure: "host_to_device", share: 2, rate: COLD },
    { figure: "device_to_host", share: 2, rate: COLD },
    { figure: "launch", share: 1, rate: LAUNCHES },
    ...(gpus > 1 ? [{ figure: "pairs", share: 6, rate: COLD } as const] : []),
    { figure: "bf16_again", share: 2, rate: AGAIN },
  ];
  const total = steps.reduce((sum, { share }) => sum + share, 0);
  return steps.map((step) => ({ ...step, share: step.share / total }));
}

/** A run that has taken this long begins no further figure; all figures at their longest take half of it. */
export const RUN_BUDGET_MS = 75_000;

/** Copies between GPUs: of each pair one way, the other, and both at once. */
export const PAIRS = { copies: 8, samples: 3, budgetMs: 8_000 } as const;

/**
 * Rounds of disjoint pairs, in which every two GPUs meet once: no GPU waits for another's copies. The circle method; with
 * an odd number one GPU rests in each round.
 */
export function pairRounds(gpus: number): [number, number][][] {
  const seats = Array.from({ length: gpus + (gpus % 2) }, (_, i) => i);
  const rounds: [number, number][][] = [];
  for (let round = 1; round < seats.length; round++) {
    const pairs: [number, number][] = [];
    for (let i = 0; i < seats.length / 2; i++) {
      const one = seats[i] ?? 0;
      const other = seats[seats.length - 1 - i] ?? 0;
      if (one < gpus && other < gpus) pairs.push([Math.min(one, other), Math.max(one, other)]);
    }
    if (pairs.length > 0) rounds.push(pairs);
    seats.splice(1, 0, seats.pop() ?? 0);
  }
  return rounds;
}
