/**
 * Runs kernels on the CPU, slowly and strictly. Memory that is not the kernel's, shared memory that nobody has filled,
 * and missing synchronisation are errors or wrong results, never luck: copies land as late as they may or at once, and
 * warps go in any order. It shows that a kernel is right as this reads PTX; it says nothing about speed.
 */
import { compile, type Instruction } from "./instructions.ts";
import {
  ALL,
  type Block,
  createBlock,
  LANES,
  type Memory,
  type Statistics,
  Warp,
} from "./machine.ts";
import type { Entry } from "./parse.ts";

export interface Launch {
  grid: number;
  threads: number;
  sharedBytes?: number;
  /** In the order of the parameters. */
  args: readonly number[];
  memory: Memory;
  copiesLandEarly?: boolean;
  /** A loop without an end must fail. */
  maxInstructions?: number;
  /** Chooses which of the warps that can go on does so, until its next barrier. */
  order?: (warps: readonly Warp[]) => Warp | undefined;
}

/** More than any kernel here takes. */
const MAX_INSTRUCTIONS = 2_000_000;

const programs = new WeakMap<Entry, Instruction[]>();

let emulated = 0;

/** What this process has emulated since it began: instructions of warps, the emulator's unit of work. */
export const emulatedInstructions = (): number => emulated;

export function launch(entry: Entry, options: Launch): Statistics {
  const { grid, threads, sharedBytes = 0, args, memory, copiesLandEarly = false } = options;
  if (args.length !== entry.parameters.length) throw new Error(`${entry.name}: arguments`);
  if (threads % LANES !== 0) throw new Error("whole warps only");
  const program = programs.get(entry) ?? compile(entry);
  programs.set(entry, program);
  const statistics: Statistics = {
    read: 0,
    written: 0,
    flop: 0,
    instructions: 0,
    bankConflicts: 0,
  };
  for (let index = 0; index < grid; index++) {
    const block = createBlock(sharedBytes, {
      index,
      blocks: grid,
      threads,
      args,
      memory,
      copiesLandEarly,
      statistics,
    });
    runBlock(entry, program, block, options);
  }
  return statistics;
}

function runBlock(
  entry: Entry,
  program: readonly Instruction[],
  block: Block,
  { order = ([first]) => first, maxInstructions = MAX_INSTRUCTIONS }: Launch,
): void {
  const warps = Array.from(
    { length: block.threads / LANES },
    (_, index) => new Warp(block, index, entry),
  );
  for (;;) {
    const live = warps.filter(({ done }) => done !== ALL);
    if (live.length === 0) return;
    let ready = live.filter(({ atBarrier }) => !atBarrier);
    if (ready.length === 0) {
      if (live.length !== warps.length) throw new Error("a barrier that some warps have left");
      for (const warp of live) warp.atBarrier = false;
      ready = live;
    }
    const next = order(ready);
    if (next === undefined) throw new Error("the order names no warp");
    runWarp(entry, program, next, maxInstructions);
  }
}

/** To the next barrier, or to the end. */
function runWarp(
  entry: Entry,
  program: readonly Instruction[],
  warp: Warp,
  maxInstructions: number,
): void {
  const { pc, block } = warp;
  while (!warp.atBarrier && warp.done !== ALL) {
    let at = Number.MAX_SAFE_INTEGER;
    for (let lane = 0; lane < LANES; lane++) {
      const own = pc[lane] ?? 0;
      if (!((warp.done >>> lane) & 1) && own < at) at = own;
    }
    let mask = 0;
    for (let lane = 0; lane < LANES; lane++) {
      if (!((warp.done >>> lane) & 1) && pc[lane] === at) mask |= 1 << lane;
    }
    const instruction = program[at];
    if (instruction === undefined) throw new Error(`${entry.name} runs off its end`);
    try {
      instruction(warp, mask);
    } catch (error) {
      const place = `block ${block.index}, warp ${warp.index}: ${entry.statements[at]?.source}`;
      throw new Error(`${error instanceof Error ? error.message : error} (${place})`);
    }
    for (let lane = 0; lane < LANES; lane++)
      if ((mask >>> lane) & 1) pc[lane] = (pc[lane] ?? 0) + 1;
    block.statistics.instructions += 1;
    emulated += 1;
    if (block.statistics.instructions > maxInstructions) throw new Error("too many instructions");
  }
}
