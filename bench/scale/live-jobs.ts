/**
 * (b) 1 to 1,000 live jobs in one process of workerd: polls and results a second, latencies at 20 % and 80 % of saturation
 * with an open-loop client, and the memory of each job. Everything, client included, shares the machine's cores.
 */
import { readFileSync } from "node:fs";
import type { Bundle } from "../../scripts/lib/bundle.ts";
import { eachOf } from "../../src/lib/each.ts";
import { quickMarkFigures, stepResult } from "../../test/world/results.ts";
import { workerdProcesses } from "../cpu.ts";
import { HttpPool, requestBytes } from "../http-pool.ts";
import { createMachineRoom, type MachineRoom, type RoomNode } from "../machine-room.ts";
import { openStage } from "../stage.ts";
import type { Series } from "./report.ts";
import { arrivals, latenciesOf, runSchedule } from "./schedule.ts";

const API = "/api/silicon-mark/v1";
const SIZES = [1, 10, 100, 1_000];
/** Nodes of all jobs together, while these are fewer. */
const NODES = 240;
/** A step of QuickMark, and others of HostMark, which differ by their configuration. */
const STEPS = 16;
const CONNECTIONS = 32;
const AT_ONCE = 8;
/** Requests of a measurement. */
const COUNTS = { saturation: 800, low: 600, high: 1_000 };
const SHARES = { low: 0.2, high: 0.8 };
/** A slow machine sends fewer. */
const MAX_SECONDS = 20;
const QUICK_MARK = JSON.stringify(stepResult("completed", quickMarkFigures(700)));
const HOST_MARK = JSON.stringify(
  stepResult("completed", { effective_cores: 13.2, memory_triad_gbs: 180.5 }),
);

/** A node and its next step. */
interface Ready {
  node: RoomNode;
  position: number;
}

/** Sends a request and waits for its reply. */
type Transmit = (request: Buffer) => Promise<void>;
/** Makes a call of one kind, whichever is next. */
type Call = (transmit: Transmit) => Promise<void>;

export async function measureLiveJobs(folder: string, bundle: Bundle): Promise<Series[]> {
  const found = new Map<string, Series>();
  const note = (name: string, unit: string, work: Series["work"], n: number, cost: number) => {
    const made: Series = { name, unit, work, isExact: false, points: [] };
    const series = found.get(name) ?? made;
    series.points.push({ n, cost });
    found.set(name, series);
  };
  for (const size of SIZES) {
    const before = new Set(workerdProcesses());
    const stage = await openStage(folder, bundle, []);
    try {
      const [pid] = workerdProcesses().filter((each) => !before.has(each));
      const room = await createMachineRoom(stage);
      // Code that the first job loads is not its memory.
      await startJobs(room, 1, 1);
      const empty = rssMib(pid);
      const nodes = await startJobs(room, size, Math.max(1, Math.floor(NODES / size)));
      for (const [name, call] of [
        ["polls", pollsOf(nodes)],
        ["results", resultsOf(nodes)],
      ] as const) {
        const { perSecond, low, high, maxLateMs } = await measureRate(stage.url, call);
        note(`${name} at saturation`, "µs each", "constant", size, 1e6 / perSecond);
        for (const [share, { p50, p95, p99 }] of [
          ["20 %", low] as const,
          ["80 %", high] as const,
        ]) {
          note(`${name} at ${share}: p50`, "ms", "constant", size, p50);
          note(`${name} at ${share}: p95`, "ms", "constant", size, p95);
          note(`${name} at ${share}: p99`, "ms", "constant", size, p99);
        }
        const late = maxLateMs.toFixed(0);
        console.log(
          `  ${size} jobs: ${perSecond.toFixed(0)} ${name} a second, client late by ${late} ms at most`,
        );
      }
      const full = rssMib(pid);
      if (empty !== null && full !== null) {
        note("memory of workerd beyond an idle one", "MiB", "linear", size, full - empty);
      }
    } finally {
      await stage.stop();
    }
  }
  return [...found.values()];
}

/** @returns the nodes of all jobs, in turns: neighbours are of different jobs */
async function startJobs(room: MachineRoom, jobs: number, nodesOfJob: number) {
  const benchmarks = Array.from({ length: STEPS - 1 }, (_, at) => ({
    benchmark_id: "host_mark",
    config: { disk_mib: 64 + at },
  }));
  const started: RoomNode[][] = [];
  await eachOf([...Array(jobs).keys()], AT_ONCE, async () => {
    started.push((await room.startJob({ nodes: nodesOfJob, benchmarks })).nodes);
  });
  return Array.from({ length: nodesOfJob }, (_, rank) =>
    started.flatMap((nodes) => nodes[rank] ?? []),
  ).flat();
}

function pollsOf(nodes: readonly RoomNode[]): Call {
  const requests = nodes.map(({ token, taskId }) =>
    requestBytes("GET", `${API}/jobs/current?task_id=${taskId}`, { token }),
  );
  let at = 0;
  return (transmit) => transmit(requests[at++ % requests.length] ?? Buffer.alloc(0));
}

/**
 * Every step once, in the order of a node's steps; never a node's last, after which its job would end. A node sends its next
 * result once the last one is answered, as agents do; where all are waiting, so does the call.
 */
function resultsOf(nodes: readonly RoomNode[]): Call {
  const free: Ready[] = nodes.map((node) => ({ node, position: 0 }));
  const waiting: ((next: Ready) => void)[] = [];
  return async (transmit) => {
    const next = free.shift() ?? (await new Promise<Ready>((take) => waiting.push(take)));
    const { node, position } = next;
    if (position >= STEPS - 1) throw new Error("all results are sent");
    const path = `${API}/jobs/current/tasks/${node.taskId}/results/${position}`;
    const body = position === 0 ? QUICK_MARK : HOST_MARK;
    await transmit(requestBytes("PUT", path, { token: node.token, body }));
    const then = { node, position: position + 1 };
    const wake = waiting.shift();
    if (wake === undefined) free.push(then);
    else wake(then);
  };
}

async function measureRate(url: URL, call: Call) {
  const line = await OpenLine.open(url);
  try {
    const many = (count: number) =>
      eachOf([...Array(count).keys()], CONNECTIONS, () => call((request) => line.send(request)));
    await many(CONNECTIONS);
    const start = performance.now();
    await many(COUNTS.saturation);
    const perSecond = COUNTS.saturation / ((performance.now() - start) / 1_000);
    const atShare = (share: keyof typeof SHARES) => {
      const rate = perSecond * SHARES[share];
      const count = Math.ceil(Math.min(COUNTS[share], rate * MAX_SECONDS));
      const times = arrivals(count, rate, COUNTS[share]);
      return runSchedule(times, () => call((request) => line.send(request)));
    };
    const low = await atShare("low");
    const high = await atShare("high");
    return {
      perSecond,
      low: latenciesOf(low.latencies),
      high: latenciesOf(high.latencies),
      maxLateMs: Math.max(low.maxLateMs, high.maxLateMs),
    };
  } finally {
    line.close();
  }
}

/** Connections for requests that do not wait for each other: an idle one is taken, another one opened where none is. */
class OpenLine {
  readonly #url: URL;
  readonly #idle: HttpPool[] = [];
  readonly #all: HttpPool[] = [];

  private constructor(url: URL) {
    this.#url = url;
  }

  static async open(url: URL): Promise<OpenLine> {
    const line = new OpenLine(url);
    const pools = Array.from({ length: CONNECTIONS }, () => HttpPool.open(url, 1));
    line.#all.push(...(await Promise.all(pools)));
    line.#idle.push(...line.#all);
    return line;
  }

  async send(request: Buffer): Promise<void> {
    let pool = this.#idle.pop();
    while (pool?.isOpen === false) pool = this.#idle.pop();
    if (pool === undefined) {
      pool = await HttpPool.open(this.#url, 1);
      this.#all.push(pool);
    }
    await pool.run([request]);
    this.#idle.push(pool);
  }

  close(): void {
    for (const pool of this.#all) pool.close();
  }
}

/** Resident memory of a process; null where the system does not say. */
function rssMib(pid: number | undefined): number | null {
  if (pid === undefined) return null;
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return kib === undefined ? null : Number(kib) / 1_024;
}
