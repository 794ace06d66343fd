/**
 * (a) One job of 1 to 256 nodes, from the last join until it has settled and is rated: exact counts from the counted
 * Worker, time and CPU from the product as it is. Reports are given up beforehand: drawing them is measured by `--only reports`.
 */
import { randomUUID } from "node:crypto";
import type { Bundle } from "../../scripts/lib/bundle.ts";
import { eachOf } from "../../src/lib/each.ts";
import { clusterFigures, quickMarkFigures, stepResult } from "../../test/world/results.ts";
import { CostStage } from "../cost-stage.ts";
import { cpuMs, workerdProcesses } from "../cpu.ts";
import { createMachineRoom } from "../machine-room.ts";
import { median } from "../rounds.ts";
import { openStage } from "../stage.ts";
import { type Counted, readMeters } from "./meters.ts";
import type { Series } from "./report.ts";

const API = "/api/silicon-mark/v1";
const SIZES = [1, 4, 16, 64, 256];
/** Each pair of nodes has a link: what they send grows with the square. */
const CLUSTER_SIZES = SIZES.filter((size) => size > 1);
const AT_ONCE = 16;
const PATIENCE_MS = 120_000;
const LOOK_MS = 10;
/** Time that passes after the last result, so that every alarm of the follow-ups fires. */
const AFTER_MS = 3 * 60_000;

type Kind = "node steps" | "cluster step";

const BENCHMARK: Readonly<Record<Kind, string>> = {
  "node steps": "host_mark",
  "cluster step": "cluster_network",
};
const HOST_FIGURES = { effective_cores: 13.2, memory_triad_gbs: 180.5 };

/** The two results of a node. */
function resultsOf(kind: Kind, rank: number, size: number): object[] {
  const second = kind === "node steps" ? HOST_FIGURES : clusterFigures(rank, size, 400);
  return [quickMarkFigures(700), second].map((figures) => stepResult("completed", figures));
}

export async function measureNodes(folder: string, bundle: Bundle): Promise<Series[]> {
  const kinds: [Kind, readonly number[]][] = [
    ["node steps", SIZES],
    ["cluster step", CLUSTER_SIZES],
  ];
  const all: Series[] = [];
  for (const [kind, sizes] of kinds) {
    const counted = await countSizes(folder, kind, sizes);
    const timed = await timeSizes(folder, bundle, kind, sizes);
    all.push(...counted, ...timed);
  }
  return all;
}

async function countSizes(folder: string, kind: Kind, sizes: readonly number[]) {
  const stage = await CostStage.open(folder);
  try {
    const counts: { n: number; counted: Counted }[] = [];
    for (const size of sizes) counts.push({ n: size, counted: await countJob(stage, kind, size) });
    const series = (name: string, unit: string, key: keyof Counted, work: Series["work"]) => ({
      name: `${kind}: ${name}`,
      unit,
      work,
      isExact: true,
      points: counts.map(({ n, counted }) => ({ n, cost: counted[key] })),
    });
    // Results about each pair of nodes are read and written whole.
    const bytes = kind === "cluster step" ? "square" : "linear";
    return [
      series("D1 calls", "", "d1Calls", "linear"),
      series("rows read in D1", "", "d1Reads", "linear"),
      series("rows written in D1", "", "d1Rows", "linear"),
      // Each flush sends the job's row again, and their number depends on how fast the machine is.
      { ...series("sent to D1", "bytes", "d1SentBytes", "linear"), isExact: false },
      series("rows written in the object", "", "objectRows", "linear"),
      series("calls of the object", "", "objectRequests", "linear"),
      series("written to R2", "bytes", "r2WrittenBytes", bytes),
    ];
  } finally {
    await stage.stop();
  }
}

/** Jobs that one's life is the mean of, after one that pays for what is made once. */
const LIVES = 8;
export const NODES_OF_A_LIFE = 4;

/** Counts of one job of four nodes from its creation to its last report, and the bytes that it leaves in D1. */
export async function countLife(folder: string): Promise<Counted> {
  const stage = await CostStage.open(folder);
  try {
    const job = () => countJob(stage, "cluster step", NODES_OF_A_LIFE, true);
    await job();
    const before = await readMeters(stage.url);
    for (let life = 0; life < LIVES; life++) await job();
    const all = (await readMeters(stage.url)).since(before);
    return Object.fromEntries(
      Object.entries(all).map(([name, count]) => [name, count / LIVES]),
    ) as Counted; // the same keys
  } finally {
    await stage.stop();
  }
}

async function countJob(
  stage: CostStage,
  kind: Kind,
  size: number,
  withReports = false,
): Promise<Counted> {
  const owner = await stage.signIn();
  const order = { node_count: size, benchmarks: [BENCHMARK[kind]] };
  const { body: job } = await stage.call("POST", `${API}/jobs`, owner, { body: order });
  const nodes: { id: string; headers: Record<string, string> }[] = [];
  for (let rank = 0; rank < size; rank++) {
    const machine = { machine_uuid: randomUUID(), gpu_model: "NVIDIA H100 80GB HBM3" };
    const body = { ...machine, gpu_count: 8, join_secret: `${randomUUID()}-bench` };
    const joined = await stage.call("POST", `${API}/jobs/current/tasks`, job.token, { body });
    nodes.push({
      id: joined.body.id,
      headers: { "assay-task-token": joined.body.task_token },
    });
  }
  await stage.quiet();
  const giveUp = stage.db.prepare("UPDATE jobs SET report_attempts = 3 WHERE id = ?1");
  if (!withReports) await giveUp.bind(Number(job.id)).all();
  const before = await readMeters(stage.url);
  for (const position of [0, 1]) {
    for (const [rank, { id, headers }] of nodes.entries()) {
      const body = resultsOf(kind, rank, size)[position] ?? {};
      const path = `${API}/jobs/current/tasks/${id}/results/${position}`;
      await stage.call("PUT", path, job.token, { body, headers });
    }
    await stage.quiet();
  }
  await stage.run(stage.now + AFTER_MS);
  const after = await readMeters(stage.url);
  return after.since(before);
}

/** Rounds of a size, so that small ones are not one reading of a noisy machine. */
const roundsOf = (size: number) => (size <= 16 ? 5 : 2);

async function timeSizes(folder: string, bundle: Bundle, kind: Kind, sizes: readonly number[]) {
  const before = new Set(workerdProcesses());
  const stage = await openStage(folder, bundle, []);
  try {
    const [pid] = workerdProcesses().filter((each) => !before.has(each));
    const room = await createMachineRoom(stage);
    const ended = stage.db.prepare(
      "SELECT count(*) AS n FROM jobs WHERE id = ?1 AND ended_at > 0 AND rated_at > 0",
    );
    const once = async (size: number) => {
      const benchmarks = [{ benchmark_id: BENCHMARK[kind] }];
      const { id, nodes } = await room.startJob({ nodes: size, benchmarks });
      await room.withoutReports(id);
      const cpu = pid === undefined ? 0 : cpuMs(pid);
      const start = performance.now();
      for (const position of [0, 1]) {
        await eachOf([...nodes.entries()], AT_ONCE, async ([rank, node]) => {
          await room.put(node, position, resultsOf(kind, rank, size)[position] ?? {});
        });
      }
      const isEnded = ended.bind(Number(id));
      while ((await isEnded.all<{ n: number }>()).results[0]?.n !== 1) {
        if (performance.now() - start > PATIENCE_MS) throw new Error(`job ${id} has not settled`);
        await new Promise((done) => setTimeout(done, LOOK_MS));
      }
      const wall = performance.now() - start;
      return { wall, cpu: pid === undefined ? null : cpuMs(pid) - cpu };
    };
    await once(sizes[0] ?? 1);
    const readings = new Map<number, Awaited<ReturnType<typeof once>>[]>();
    for (const size of sizes) {
      const rounds: Awaited<ReturnType<typeof once>>[] = [];
      for (let round = 0; round < roundsOf(size); round++) rounds.push(await once(size));
      readings.set(size, rounds);
    }
    return timings(kind, readings);
  } finally {
    await stage.stop();
  }
}

function timings(
  kind: Kind,
  readings: ReadonlyMap<number, { wall: number; cpu: number | null }[]>,
): Series[] {
  const work = kind === "cluster step" ? "square" : "linear";
  const common = { work, isExact: false } as const;
  const points = (pick: (reading: { wall: number; cpu: number | null }) => number | null) =>
    [...readings].flatMap(([n, all]) => {
      const values = all.map(pick).filter((value) => value !== null);
      return values.length === 0 ? [] : [{ n, cost: median(values) }];
    });
  return [
    { ...common, name: `${kind}: last join to rated`, unit: "ms", points: points((r) => r.wall) },
    { ...common, name: `${kind}: CPU of workerd`, unit: "ms", points: points((r) => r.cpu) },
  ];
}
