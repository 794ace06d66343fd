/**
 * What agents cost: counts of the real Worker in an hour of each, multiplied with the platform's prices. Time is the
 * bench's, so that every poll, ping, alarm and tick of an hour really happens within a minute.
 */

import { NODE_HOURS, runJobs, type Transport } from "./cost-nodes.ts";
import { COUNTED, costOf, NAMES, PRICES } from "./cost-prices.ts";
import { runIdleRunners } from "./cost-runners.ts";
import { CostStage, type Counts, hours, type Purpose } from "./cost-stage.ts";

/** The fleet that prices are shown for. */
const AGENTS = 10_000;
const DAYS = 30;
const JOBS = 5;
const IDLE_TICKS = 10;
const RUNNERS = 4;

interface Row {
  name: string;
  /** In one hour of one agent. */
  counts: Counts;
  /** USD for the fleet that must not be passed; null for a row without an aim. */
  aim: number | null;
}

/** Prints the table; whether every row keeps its aim. */
export async function showCosts(folder: string): Promise<boolean> {
  const rows: Row[] = [];
  console.log("counting some hours of nodes and runners");
  let shared: Row | undefined;
  for (const transport of ["polling", "channel"] satisfies Transport[]) {
    const { contact, job } = await nodeHour(folder, transport);
    rows.push({
      name: `node, ${transport}`,
      counts: contact,
      aim: transport === "polling" ? 800 : 60,
    });
    shared = { name: "its job", counts: job, aim: null };
  }
  for (const transport of ["polling", "channel"] satisfies Transport[]) {
    const counts = await runnerHour(folder, transport);
    rows.push({
      name: `idle runner, ${transport}`,
      counts,
      aim: transport === "polling" ? null : 60,
    });
  }
  if (shared !== undefined) rows.push(shared);
  show(rows);
  return rows.every(({ counts, aim }) => aim === null || usdOf(counts) <= aim);
}

async function nodeHour(folder: string, transport: Transport) {
  const stage = await CostStage.open(folder);
  try {
    await stage.run(stage.now + IDLE_TICKS * 60_000, { cron: true });
    const idle = take(stage, "cron");
    stage.counted.clear();
    await runJobs(stage, transport, JOBS);
    const share = 1 / (JOBS * NODE_HOURS);
    // Of cron, what an idle tick does is no job's.
    const ticks = Math.floor((hours(1) + JOBS * 97_000 + 5 * 60_000) / 60_000);
    const cron = combine(take(stage, "cron"), idle, (all, none) =>
      Math.max(0, all - (none * ticks) / IDLE_TICKS),
    );
    const job = combine(take(stage, "job"), cron, (own, more) => own + more);
    return { contact: scaled(take(stage, "contact"), share), job: scaled(job, share) };
  } finally {
    await stage.stop();
  }
}

async function runnerHour(folder: string, transport: Transport): Promise<Counts> {
  const stage = await CostStage.open(folder);
  try {
    const runnerHours = await runIdleRunners(stage, transport, RUNNERS);
    return scaled(take(stage, "contact"), 1 / runnerHours);
  } finally {
    await stage.stop();
  }
}

function take(stage: CostStage, purpose: Purpose): Counts {
  const counts = stage.counted.get(purpose);
  if (counts === undefined) throw new Error(`nothing was counted for ${purpose}`);
  return counts;
}

const combine = (a: Counts, b: Counts, join: (a: number, b: number) => number): Counts =>
  // The same keys, from the table.
  Object.fromEntries(COUNTED.map((kind) => [kind, join(a[kind], b[kind])])) as Counts;

const scaled = (counts: Counts, by: number) => combine(counts, counts, (each) => each * by);

const usdOf = (counts: Counts) => costOf(counts) * AGENTS * DAYS * 24;

function show(rows: readonly Row[]): void {
  const line = (name: string, cells: readonly string[]) =>
    console.log(`${name.padEnd(26)}${cells.map((cell) => cell.padStart(22)).join("")}`);
  console.log("");
  line(
    "in an hour of one agent",
    rows.map(({ name }) => name),
  );
  for (const kind of COUNTED) {
    const cells = rows.map(({ counts }) => {
      const usd = counts[kind] * PRICES[kind].usd * AGENTS * DAYS * 24;
      return `${counts[kind].toFixed(2)}  $${usd.toFixed(usd < 10 ? 2 : 0).padStart(5)}`;
    });
    line(NAMES[kind], cells);
  }
  line(
    `${AGENTS.toLocaleString("en")} for ${DAYS} days`,
    rows.map(({ counts }) => `$${usdOf(counts).toFixed(0)}`),
  );
  line(
    "at most",
    rows.map(({ aim, counts }) =>
      aim === null ? "–" : `$${aim}${usdOf(counts) > aim ? " MISSED" : ""}`,
    ),
  );
  console.log("\nprices, USD per million (source, day it was read)");
  for (const kind of COUNTED) {
    const { usd, source, read } = PRICES[kind];
    console.log(
      `${NAMES[kind].padEnd(26)}${(usd * 1_000_000).toFixed(4).padStart(9)}  ${source}, ${read}`,
    );
  }
  console.log(
    "The paid plan's included amounts are not deducted. CPU time, objects' time awake and storage are not counted.",
  );
}
