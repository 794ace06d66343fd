/** `assay --version` beside a bare `node`, started in turns: the median of the difference is bounded. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import { ROOT } from "../scripts/lib/project.ts";

export interface CliStart {
  bareMs: number;
  cliMs: number;
  differenceMs: number;
  isWithin: boolean;
  /** Load of the machine before and after. */
  load: [number, number];
}

/** Slower than this, completion at the press of a key would be felt. */
export const MAX_CLI_DIFFERENCE_MS = 60;
/** A first start reads its files from the disk. */
const WARM_UPS = 3;

/** Starts both in turns, `rounds` times each, with `node`. The program is the built one. */
export function timeCliStart(folder: string, rounds: number, node = process.execPath): CliStart {
  const bare = join(folder, "bare-version.mjs");
  writeFileSync(bare, 'process.stdout.write("0.1.0\\n");\n');
  const commands = { bare: [bare], cli: [join(ROOT, "public/assay.mjs"), "--version"] };
  const times: Record<keyof typeof commands, number[]> = { bare: [], cli: [] };
  const [before = 0] = loadavg();
  for (let round = -WARM_UPS; round < rounds; round++) {
    for (const name of ["bare", "cli"] as const) {
      const startedAt = performance.now();
      const { status, stderr } = spawnSync(node, commands[name], {
        env: { PATH: folder, HOME: folder },
      });
      const ms = performance.now() - startedAt;
      if (status !== 0) throw new Error(`${name} ended with ${status}: ${stderr}`);
      if (round >= 0) times[name].push(ms);
    }
  }
  const [after = 0] = loadavg();
  const [bareMs, cliMs] = [median(times.bare), median(times.cli)];
  const differenceMs = median(times.cli.map((ms, at) => ms - (times.bare[at] ?? Number.NaN)));
  return {
    bareMs,
    cliMs,
    differenceMs,
    isWithin: differenceMs <= MAX_CLI_DIFFERENCE_MS,
    load: [before, after],
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}
