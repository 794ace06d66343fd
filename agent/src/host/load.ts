/** What else this machine does: before a run, and while it runs. */
import { loadavg } from "node:os";
import { join } from "node:path";
import { readText } from "../files.ts";

/** Ticks of all CPUs since the start of the system (proc_stat(5)). */
export interface Ticks {
  all: number;
  idle: number;
  /** Taken by the host of a virtual machine for others. */
  steal: number;
}

/** Null where the system does not tell, as in sandboxes that show zeros. */
export function readTicks(root = "/"): Ticks | null {
  const line = /^cpu\s+(.*)$/m.exec(readText(join(root, "proc/stat")) ?? "")?.[1];
  const ticks = line?.trim().split(/\s+/).map(Number) ?? [];
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0] = ticks;
  const all = user + nice + system + idle + wait + irq + soft + steal;
  return all > 0 ? { all, idle: idle + wait, steal } : null;
}

/** Shares of the time between two readings, 0 to 1; null where they do not tell. */
export function sharesBetween(
  before: Ticks | null,
  after: Ticks | null,
): { busy: number; steal: number } | null {
  if (before === null || after === null || after.all <= before.all) return null;
  const all = after.all - before.all;
  return {
    busy: share(all - (after.idle - before.idle), all),
    steal: share(after.steal - before.steal, all),
  };
}

function share(part: number, all: number): number {
  return Math.round(Math.min(1, Math.max(0, part / all)) * 10_000) / 10_000;
}

/** Processes that wanted to run in the last minute, on average; null where the system does not tell. */
export function loadBefore(): number | null {
  const [minute = 0] = loadavg();
  return process.platform === "win32" ? null : Math.round(minute * 100) / 100;
}
