/**
 * `npm run bench`: what requests cost, first in exact counts, then beside the least that could answer the
 * same, both in one workerd. Exits 1 when a ratio is below its floor. `--only poll` runs one of them, `--only lists`
 * those of many jobs, which take minutes to fill, `--only cost` what agents cost, `--only barrier` how fast sockets tell,
 * `--only docs` how fast the docs page shows, `--only console` how fast the console does, `--only cli` how fast the command line
 * starts, `--only local` what the server of `npm start` carries.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { MAX_DIFFERENCE_MS, timeAgentStart } from "../bench/agent-start.ts";
import { showBarrier } from "../bench/barrier.ts";
import { MAX_CLI_DIFFERENCE_MS, timeCliStart } from "../bench/cli-start.ts";
import { MAX_FIRST_CONTENT_MS, MAX_SHIFT, timeConsole } from "../bench/console-page.ts";
import { contendersOf, createScene, MATCHES, type Match } from "../bench/contenders.ts";
import { showCosts } from "../bench/cost.ts";
import { countCosts } from "../bench/counts.ts";
import { TOLERANCE, timeRefusals } from "../bench/denied.ts";
import { MAX_FIRST_OPERATION_MS, timeDocsPage } from "../bench/docs-page.ts";
import { compareLists } from "../bench/lists.ts";
import { measureLocalServer } from "../bench/local-server.ts";
import { type MemoryCost, measureMemory } from "../bench/memory.ts";
import { comparePeers } from "../bench/peers/compare.ts";
import { profile } from "../bench/profile.ts";
import { timeReports } from "../bench/reports.ts";
import { type Comparison, compare } from "../bench/rounds.ts";
import { showScale } from "../bench/scale/show.ts";
import { type Baseline, buildBaseline, openStage } from "../bench/stage.ts";
import { startUpCpuMs } from "../bench/start-up.ts";
import { type Bundle, buildBundle } from "./lib/bundle.ts";
import { projectWorkerOptions } from "./lib/local-worker.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    rounds: { type: "string", default: "40" },
    /** In the longest list. */
    jobs: { type: "string", default: "1000000" },
    /** How costs grow, alone; `--part` names some of its parts. */
    scale: { type: "boolean", default: false },
    part: { type: "string" },
    /** The same lists by others, alone. */
    peers: { type: "boolean", default: false },
    /** Part of the names of the rows of `--only memory`. */
    row: { type: "string", default: "" },
  },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 30) {
  console.error("--rounds must be a whole number of at least 30");
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), "assay-bench-"));
const jobs = Number(values.jobs);
const { part } = values;
if (values.scale)
  await runAlone(() => showScale(folder, { jobs, ...(part !== undefined && { part }) }));
if (values.peers) await runAlone(() => comparePeers(folder, { jobs }));
if (values.only === "barrier") {
  await runAlone(async () => showBarrier(folder, await buildBundle(folder)));
}
if (values.only === "docs") await runAlone(showDocsPage);
if (values.only === "local") await runAlone(showLocalServer);
if (values.only === "cli") await runAlone(async () => cliStartsFast());
if (values.only === "console") await runAlone(showConsole);
if (values.only === "cost") await runAlone(() => showCosts(folder));
const matches = MATCHES.filter(({ name }) => name.includes(values.only ?? ""));
try {
  const bundle = await buildBundle(folder);
  const payloads = await countCosts(folder, bundle, matches);

  const baselines = matches.map(
    (match): Baseline => ({ ...match.baseline, payload: payloads.get(match.name) ?? "" }),
  );
  const slow = await compareAll(bundle, baselines);
  if (slow.length > 0) {
    process.exitCode = 1;
    await profileAll(bundle, baselines, slow);
  }

  const isWhole = (values.only ?? "") === "";
  if (isWhole && !(await showCosts(folder))) process.exitCode = 1;
  if (isWhole && !(await showBarrier(folder, bundle))) process.exitCode = 1;
  if (isWhole && !(await refusalsTellNothing(bundle))) process.exitCode = 1;
  if (isWhole || values.only === "lists") {
    const jobs = { few: 1_000, textbook: 100_000, many: Number(values.jobs) };
    console.log("\nlists of many jobs; ratio of rates, 95 % interval");
    for (const match of await compareLists(folder, bundle, { jobs, rounds })) {
      if (!showRatio(match, match.comparison)) process.exitCode = 1;
    }
  }

  if ("reports".includes(values.only ?? "") && !(await reportsAreCheap())) process.exitCode = 1;

  if ("memory".includes(values.only ?? "") && !(await memorySuffices(bundle))) process.exitCode = 1;

  if ("agent".includes(values.only ?? "") && !(await agentStartsFast())) process.exitCode = 1;

  if (isWhole && !cliStartsFast()) process.exitCode = 1;

  const { assets: _assets, ...product } = await projectWorkerOptions(bundle, {});
  const { compatibilityDate, compatibilityFlags } = product;
  const bare = async (file: string) => ({
    name: "bare",
    compatibilityDate,
    compatibilityFlags,
    modulesRoot: folder,
    modules: [{ type: "ESModule" as const, path: await buildBaseline(folder, file) }],
    bindings: { PAYLOAD: "{}" },
  });
  console.log("\nCPU of workerd from its start to the end of the first reply, median");
  const show = (name: string, ms: number | null) =>
    console.log(`${name.padEnd(42)} ${ms === null ? "not known here" : `${ms.toFixed(0)} ms`}`);
  show("a Worker that does nothing", await startUpCpuMs(await bare("nothing")));
  show("a bare Hono Worker", await startUpCpuMs(await bare("hono-route")));
  show("this one", await startUpCpuMs(product));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Runs one part that needs nothing of the others, and ends. */
async function runAlone(part: () => Promise<boolean>): Promise<never> {
  try {
    process.exit((await part()) ? 0 : 1);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Prints the ratios; answers the matches that are below their floor. */
async function compareAll(bundle: Bundle, baselines: readonly Baseline[]): Promise<Match[]> {
  const slow: Match[] = [];
  const stage = await openStage(folder, bundle, baselines);
  try {
    const scene = await createScene(stage);
    console.log(`\n${rounds} rounds in turns, one workerd; ratio of rates, 95 % interval`);
    for (const match of matches) {
      const { product, baseline, close } = await contendersOf(match, stage, scene);
      const { rate, ratio } = await compare(product, baseline, rounds);
      close();
      if (!showRatio(match, { rate, ratio })) slow.push(match);
    }
    scene.world.close();
  } finally {
    await stage.stop();
  }
  return slow;
}

/** Prints a ratio; whether it reaches its floor. */
function showRatio({ name, floor }: { name: string; floor: number }, { rate, ratio }: Comparison) {
  const missed = ratio.median < floor;
  const cells = [
    name.padEnd(42),
    `${ratio.median.toFixed(2)} (${ratio.low.toFixed(2)}–${ratio.high.toFixed(2)})`.padEnd(18),
    `${rate.product.toFixed(0)}/s ÷ ${rate.baseline.toFixed(0)}/s`.padEnd(20),
    `floor ${floor.toFixed(2)}${missed ? "  MISSED" : ""}`,
  ];
  console.log(cells.join(" "));
  return !missed;
}

/** Prints the times of refusals; whether none tells if the thing exists. */
async function refusalsTellNothing(bundle: Bundle): Promise<boolean> {
  const stage = await openStage(folder, bundle, []);
  try {
    const scene = await createScene(stage);
    console.log("\nrefused, whether the thing exists or not: medians of 200 interleaved calls, ms");
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
async function reportsAreCheap(): Promise<boolean> {
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
async function showLocalServer(): Promise<boolean> {
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
    console.log("docs page: not measured, since there is no Chromium here");
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
    console.log("console: not measured, since there is no Chromium here");
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
async function agentStartsFast(): Promise<boolean> {
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
function cliStartsFast(): boolean {
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

/** Prints the peak memory of work at the documented limits; whether all of it is within its bounds. */
function memorySuffices(bundle: Bundle): Promise<boolean> {
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
  return measureMemory(folder, bundle, show, values.row);
}

/** Prints where the time of slow routes goes, measured apart: a profiler costs time itself. */
async function profileAll(
  bundle: Bundle,
  baselines: readonly Baseline[],
  slow: readonly Match[],
): Promise<void> {
  const stage = await openStage(folder, bundle, baselines, { inspect: true });
  try {
    const scene = await createScene(stage);
    for (const match of slow) {
      const { product, close } = await contendersOf(match, stage, scene);
      console.log(`\nwhere the time goes: ${match.name.split(" ÷ ")[0]}`);
      for (const line of await profile(await stage.inspectorUrl(), bundle, product)) {
        console.log(line);
      }
      close();
    }
    scene.world.close();
  } finally {
    await stage.stop();
  }
}
