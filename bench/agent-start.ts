/** The time from the start of a process to its first request: the agent beside a Node that does nothing else. */
import { spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { loadavg } from "node:os";
import { join } from "node:path";
import { ROOT } from "../scripts/lib/project.ts";

/** Medians, ms. */
export interface AgentStart {
  bareMs: number;
  agentMs: number;
  differenceMs: number;
  /** The difference of what their main threads have computed, which other work on the machine changes little; null if not known. */
  cpuDifferenceMs: number | null;
  isWithin: boolean;
  /** Of the machine over the last minute, at the beginning and at the end. */
  load: [number, number];
}

export const MAX_DIFFERENCE_MS = 100;
/** A first start reads its files from the disk. */
const WARM_UPS = 2;

/** Starts both in turns, `rounds` times each, with `node`. The agent is the built one. */
export async function timeAgentStart(
  folder: string,
  rounds: number,
  node = process.execPath,
): Promise<AgentStart> {
  const bare = join(folder, "bare.mjs");
  writeFileSync(
    bare,
    'import { get } from "node:http";\nget(process.argv[2]).on("error", () => {});\n',
  );
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  // `as`: a TCP server that listens has an AddressInfo.
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const options = ["--host", url, "--token", "none"];
  const commands = { bare: [bare, url], agent: [join(ROOT, "public/agent.mjs"), ...options] };

  async function time(args: readonly string[]): Promise<{ ms: number; cpuMs: number }> {
    const env = { PATH: folder, HOME: folder, XDG_STATE_HOME: folder };
    const startedAt = performance.now();
    const child = spawn(node, args, { env, stdio: "ignore" });
    try {
      await new Promise<void>((heard, reject) => {
        server.once("request", () => heard());
        child.once("error", reject);
        child.once("exit", () => reject(new Error(`${args[0]} ended without a request`)));
      });
      return { ms: performance.now() - startedAt, cpuMs: cpuMsOf(child.pid) };
    } finally {
      child.removeAllListeners();
      const gone = new Promise((done) => child.once("close", done));
      child.kill("SIGKILL");
      await gone;
    }
  }

  const times = { bare: [] as number[], agent: [] as number[] };
  const cpu = { bare: [] as number[], agent: [] as number[] };
  const [before = 0] = loadavg();
  try {
    for (let round = -WARM_UPS; round < rounds; round++) {
      for (const name of ["bare", "agent"] as const) {
        const { ms, cpuMs } = await time(commands[name]);
        if (round < 0) continue;
        times[name].push(ms);
        cpu[name].push(cpuMs);
      }
    }
  } finally {
    server.closeAllConnections();
    server.close();
  }
  const [after = 0] = loadavg();
  const [bareMs, agentMs] = [median(times.bare), median(times.agent)];
  const differenceMs = agentMs - bareMs;
  const isWithin = differenceMs <= MAX_DIFFERENCE_MS;
  const cpuDifference = median(cpu.agent) - median(cpu.bare);
  const cpuDifferenceMs = Number.isNaN(cpuDifference) ? null : cpuDifference;
  return { bareMs, agentMs, differenceMs, cpuDifferenceMs, isWithin, load: [before, after] };
}

/** What the main thread of a process has computed so far; NaN where the system does not tell. */
function cpuMsOf(pid: number | undefined): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;
  } catch {
    return Number.NaN;
  }
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}
