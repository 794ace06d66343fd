/** The parts of `npm run bench`: each prints its figures, and tells whether they are within their bounds. */
import type { Bundle } from "../scripts/lib/bundle.ts";
import { projectWorkerOptions } from "../scripts/lib/local-worker.ts";
import { MAX_DIFFERENCE_MS, timeAgentStart } from "./agent-start.ts";
import { showBarrier } from "./barrier.ts";
import { MAX_CLI_DIFFERENCE_MS, timeCliStart } from "./cli-start.ts";
import { MAX_FIRST_CONTENT_MS, MAX_SHIFT, timeConsole } from "./console-page.ts";
import { showCosts } from "./cost.ts";
import { TOLERANCE, timeRefusals } from "./denied.ts";
import { MAX_FIRST_OPERATION_MS, timeDocsPage } from "./docs-page.ts";
import { createScene } from "./hot/scene.ts";
import { showHotRoutes } from "./hot/show.ts";
import { measureLocalServer } from "./local-server.ts";
import { type MemoryCost, measureMemory } from "./memory.ts";
import { comparePeers } from "./peers/compare.ts";
import { timeReports } from "./reports.ts";
import { showScale } from "./scale/show.ts";
import { buildBaseline, openStage } from "./stage.ts";
import { startUpCpuMs } from "./start-up.ts";

export interface BenchOptions {
  /** For built files; removed afterwards. */
  folder: string;
  bundle: Bundle;
  /** Of contenders in turns. */
  rounds: number;
  /** In the largest database. */
  jobs: number;
  /** Part of the names of the rows that are wanted. */
  row: string;
  /** Parts of the scale, separated by commas; all without it. */
  part?: string;
}

export interface Part {
  /** A line of the help. */
  about: string;
  /** Runs by default. */
  isQuick?: true;
  run(options: BenchOptions): Promise<boolean>;
}

export const PARTS: Record<string, Part> = {
  hot: {
    about: "the hot routes, compared with a plain Worker and the least that workerd can do",
    isQuick: true,
    run: ({ folder, bundle, ...options }) => showHotRoutes(folder, bundle, options),
  },
  "start-up": { about: "CPU from the start to the first reply", run: showStartUp },
  cost: {
    about: "the monthly cost of agents and runners",
    run: ({ folder }) => showCosts(folder),
  },
  barrier: {
    about: "the time until nodes learn of a change, by sockets and by polls",
    run: ({ folder, bundle }) => showBarrier(folder, bundle),
  },
  refusals: {
    about: "the times of refusals, which must not reveal what exists",
    run: showRefusals,
  },
  reports: { about: "CPU and memory of drawing reports", run: showReports },
  memory: { about: "peak memory at the documented limits", run: showMemory },
  agent: { about: "from the agent's start to its first request", run: showAgentStart },
  cli: { about: "the start of the command line", run: showCliStart },
  docs: { about: "the docs page, in a browser", run: showDocsPage },
  console: { about: "the console, in a browser", run: showConsole },
  scale: {
    about: "how costs grow with nodes, live jobs, stored jobs and routes; writes docs/performance",
    run: ({ folder, jobs, part }) =>
      showScale(folder, { jobs, ...(part !== undefined && { part }) }),
  },
  peers: {
    about: "the same lists by a textbook Worker, and by FastAPI if Python has it",
    run: ({ folder, jobs }) => comparePeers(folder, { jobs }),
  },
  local: { about: "the capacity of the server of npm start", run: showLocalServer },
};

async function showStartUp({ folder, bundle }: BenchOptions): Promise<boolean> {
  const { assets: _assets, ...product } = await projectWorkerOptions(bundle, {});
  const { compatibilityDate, compatibilityFlags } = product;
  const nothing = {
    name: "bare",
    compatibilityDate,
    compatibilityFlags,
    modulesRoot: folder,
    modules: [{ type: "ESModule" as const, path: await buildBaseline(folder, "nothing") }],
  };
  console.log("\nmedian CPU time of workerd from its start to the end of the first reply");
  const show = (name: string, ms: number | null) =>
    console.log(`${name.padEnd(42)} ${ms === null ? "not known here" : `${ms.toFixed(0)} ms`}`);
  show("a Worker that does nothing", await startUpCpuMs(nothing));
  show("this one", await startUpCpuMs(product));
  return true;
}

/** Prints the times of refusals; whether none tells if the thing exists. */
async function showRefusals({ folder, bundle }: BenchOptions): Promise<boolean> {
  const stage = await openStage(folder, bundle, []);
  try {
    const scene = await createScene(stage);
    console.log(
      "\nrefusals, whether the resource exists or not: medians of 200 interleaved calls, ms",
    );
    const refusals = await timeRefusals(stage, scene);
    for (const { name, existing, missing, difference } of refusals) {
      console.log(
        `${name.padEnd(36)} ${existing.toFixed(2)} / ${missing.toFixed(2)}  differ by ${(difference * 100).toFixed(1)} %`,
      );
    }
    scene.world.close();
    return refusals.every(({ difference }) => difference <= TOLERANCE);
  } finally {
    await stage.stop();
  }
}

/** Prints what reports cost; whether all are within their limits. */
async function showReports({ folder }: BenchOptions): Promise<boolean> {
  console.log("\nreports, drawn in workerd        first  then, CPU ms  fits in heap   file KB");
  const costs = await timeReports(folder);
  const format = (value: number | null, unit: number) =>
    value === null ? "–" : (value / unit).toFixed(0);
  for (const { name, firstCpuMs, cpuMs, heapMib, bytes, isWithin } of costs) {
    const [first, then] = [format(firstCpuMs, 1), format(cpuMs, 1)];
    console.log(
      `${name.padEnd(30)}${first.padStart(8)}${then.padStart(14)}${(heapMib === null ? "no" : `${heapMib} MiB`).padStart(14)}${format(bytes, 1_000).padStart(10)}${isWithin ? "" : "  MISSED"}`,
    );
  }
  return costs.every(({ isWithin }) => isWithin);
}

/** Prints what a local server carries. */
async function showLocalServer({ folder }: BenchOptions): Promise<boolean> {
  const { cores, load, rates } = await measureLocalServer(folder);
  console.log("the server of npm start, 32 connections, requests a second");
  for (const [name, rate] of Object.entries(rates)) {
    console.log(`${name.padEnd(22)} ${rate.toFixed(0)}`);
  }
  console.log(`${cores} cores, load ${load.map((each) => each.toFixed(1)).join(" to ")}`);
  return true;
}

/** Prints how long the docs page takes to its first operation; whether that is within its bound. */
async function showDocsPage(): Promise<boolean> {
  const times = await timeDocsPage();
  if (times === null) {
    console.log("docs page: not measured, since Chromium is not installed");
    return true;
  }
  console.log("first operation of the docs page, cold, medians of 10 interleaved visits");
  for (const [name, { ms, bytes }] of Object.entries(times)) {
    console.log(`${name.padEnd(10)} ${ms.toFixed(0)} ms, ${(bytes / 1_024).toFixed(0)} KiB gzip`);
  }
  const isWithin = times.docs.ms <= MAX_FIRST_OPERATION_MS;
  console.log(`bound ${MAX_FIRST_OPERATION_MS} ms${isWithin ? "" : "  MISSED"}`);
  return isWithin;
}

/** Prints how long the console takes to its first content, and how far it moves; whether both are within their bounds. */
async function showConsole(): Promise<boolean> {
  const times = await timeConsole();
  if (times === null) {
    console.log("console: not measured, since Chromium is not installed");
    return true;
  }
  const { firstContentMs, listMs, shift, bytes } = times;
  const isWithin = firstContentMs <= MAX_FIRST_CONTENT_MS && shift <= MAX_SHIFT;
  console.log("the console with 20 jobs, cold, medians of 10 visits");
  console.log(`first content ${firstContentMs.toFixed(0)} ms, list ${listMs.toFixed(0)} ms`);
  console.log(
    `layout shift ${shift.toFixed(3)} at most, ${(bytes / 1_024).toFixed(0)} KiB as sent`,
  );
  console.log(`bounds ${MAX_FIRST_CONTENT_MS} ms and ${MAX_SHIFT}${isWithin ? "" : "  MISSED"}`);
  return isWithin;
}

/** Prints how long the agent takes to its first request; whether that is within its bound. */
async function showAgentStart({ folder, rounds }: BenchOptions): Promise<boolean> {
  const { bareMs, agentMs, differenceMs, cpuDifferenceMs, isWithin, load } = await timeAgentStart(
    folder,
    rounds,
  );
  console.log(`\nfrom start to first request, medians of ${rounds} interleaved starts each`);
  const cells = [
    `bare Node ${bareMs.toFixed(0)} ms`,
    `agent ${agentMs.toFixed(0)} ms`,
    `difference ${differenceMs.toFixed(0)} ms`,
    `bound ${MAX_DIFFERENCE_MS} ms${isWithin ? "" : "  MISSED"}`,
    `difference of CPU time ${cpuDifferenceMs?.toFixed(0) ?? "not known"} ms`,
    `load ${load.map((each) => each.toFixed(1)).join(" to ")}`,
  ];
  console.log(cells.join("  "));
  return isWithin;
}

/** Prints how long `assay --version` takes beside a bare Node; whether the difference is within its bound. */
async function showCliStart({ folder, rounds }: BenchOptions): Promise<boolean> {
  const { bareMs, cliMs, differenceMs, isWithin, load } = timeCliStart(folder, rounds);
  console.log(`\nassay --version, medians of ${rounds} interleaved starts each`);
  const cells = [
    `bare Node ${bareMs.toFixed(0)} ms`,
    `assay ${cliMs.toFixed(0)} ms`,
    `difference ${differenceMs.toFixed(0)} ms`,
    `bound ${MAX_CLI_DIFFERENCE_MS} ms${isWithin ? "" : "  MISSED"}`,
    `load ${load.map((each) => each.toFixed(1)).join(" to ")}`,
  ];
  console.log(cells.join("  "));
  return isWithin;
}

/** Prints the peak memory at the documented limits; whether all of it is within its bounds. */
function showMemory({ folder, bundle, row }: BenchOptions): Promise<boolean> {
  console.log(
    "\nmemory above the idle isolate, MiB            peak  bound  buffers  process  CPU ms  bound  wall ms  readings",
  );
  const show = ({ name, limits, peak, failure, isWithin }: MemoryCost) => {
    const cells = [
      [peak?.heapMib, 6],
      [limits.heapMib, 7],
      [peak?.bufferMib, 9],
      [peak?.rssMib, 9],
      [peak?.cpuMs, 8],
      [limits.cpuMs, 7],
      [peak?.wallMs, 9],
      [peak?.samples, 10],
    ] as const;
    const figures = cells.map(([value, width]) => (value?.toFixed(0) ?? "–").padStart(width));
    const verdict = isWithin ? "" : `  MISSED${failure === null ? "" : `: ${failure}`}`;
    console.log(`${name.padEnd(44)}${figures.join("")}${verdict}`);
  };
  return measureMemory(folder, bundle, show, row);
}
