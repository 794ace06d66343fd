/**
 * Peak memory of reads, writes and reports at the documented limits. An isolate has 128 MB for everything that it
 * does at once; nothing enforces this locally.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Bundle } from "../scripts/lib/bundle.ts";
import { ROOT } from "../scripts/lib/project.ts";
import { stepResult } from "../test/world/results.ts";
import { workerdProcesses } from "./cpu.ts";
import { type Peak, peakOf } from "./heap.ts";
import { openSession, SilentInspector } from "./inspector.ts";
import { createMachineRoom, type MachineRoom } from "./machine-room.ts";
import { openStage } from "./stage.ts";

const ONE = { heapMib: 32 };
const THREE = { heapMib: 64 };
const REPORT = { heapMib: 64, cpuMs: 10_000 };
/** Attempts at a row whose inspector falls silent. */
const MAX_ATTEMPTS = 3;
/** A peak seen in fewer readings is no figure. */
const MIN_SAMPLES = 2;
const CHEAP_PATH = "/v0/server/version";
/** A report that is not there by then is missed. */
const REPORT_PATIENCE_MS = 180_000;

/** Lines of the log that may say why work failed. */
const TROUBLE = /"level":"(?:warn|error)"/;

interface Row {
  name: string;
  limits: { heapMib: number; cpuMs?: number };
  /** Builds the scene; answers the work that is measured. */
  prepare(room: MachineRoom): Promise<() => Promise<unknown>>;
}

export interface MemoryCost extends Row {
  /** Null if the inspector did not answer. */
  peak: Peak | null;
  /** Why the work failed, or could not be measured; null if it succeeded. */
  failure: string | null;
  isWithin: boolean;
}

/** @param only part of the names of the rows to run */
export async function measureMemory(
  folder: string,
  bundle: Bundle,
  show: (cost: MemoryCost) => void,
  only = "",
): Promise<boolean> {
  let all = true;
  for (const row of ROWS.filter(({ name }) => name.includes(only))) {
    const cost = await measureAgain(folder, bundle, row);
    show(cost);
    all &&= cost.isWithin;
  }
  return all;
}

/** Measures in another workerd if the inspector of the last one did not answer. */
async function measureAgain(folder: string, bundle: Bundle, row: Row): Promise<MemoryCost> {
  let failure = "";
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    try {
      return await measureRow(folder, bundle, row);
    } catch (error) {
      if (!(error instanceof SilentInspector)) throw error;
      failure = error.message;
    }
  }
  return { ...row, peak: null, failure, isWithin: false };
}

/** In a workerd of its own, so that no row leaves garbage or unfinished work to the next. */
async function measureRow(folder: string, bundle: Bundle, row: Row): Promise<MemoryCost> {
  const before = new Set(workerdProcesses());
  let trouble = "";
  const onLog = (line: string) => {
    if (TROUBLE.test(line)) trouble = line;
  };
  const stage = await openStage(folder, bundle, [], { inspect: true, onLog });
  try {
    const [pid] = workerdProcesses().filter((each) => !before.has(each));
    const nudge = async () => (await fetch(new URL(CHEAP_PATH, stage.url))).arrayBuffer();
    const session = await openSession(await stage.inspectorUrl(), nudge);
    const room = await createMachineRoom(stage);
    const work = await row.prepare(room);
    const failures: string[] = [];
    const peak = await peakOf(session, pid, () =>
      work().catch((error: Error) => {
        failures.push(error.message, trouble);
      }),
    );
    session.close();
    const { heapMib, cpuMs = Number.POSITIVE_INFINITY } = row.limits;
    if (peak.samples < MIN_SAMPLES) failures.push(`the heap was read ${peak.samples} times`);
    const failure = failures.length === 0 ? null : failures.join(" ");
    const isWithin = failure === null && peak.heapMib <= heapMib && (peak.cpuMs ?? 0) <= cpuMs;
    return { ...row, peak, failure, isWithin };
  } finally {
    await stage.stop();
  }
}

const KIB = 1_024;
/** A result as large as the body's limit allows, with the envelope around it. */
const LARGE = 1_023 * KIB;

const replay = () => {
  const path = join(ROOT, "agent/replays/h100-80gb-hbm3-x8.json");
  return JSON.parse(readFileSync(path, "utf8")).results as Record<string, unknown>; // a recording
};

/** The recording of a healthy node, filled up to a length in bytes. */
function padded(bytes: number, text = ""): object {
  const figures = { ...replay(), note: text };
  const missing = bytes - Buffer.byteLength(JSON.stringify(figures));
  return { ...figures, note: `${text}${"x".repeat(Math.max(0, missing))}` };
}

/** A settled job of 16 nodes, whose results together are as large as a job's may be. */
async function largeJob(room: MachineRoom, text = ""): Promise<string> {
  const { id, nodes } = await room.startJob({ nodes: 16 });
  for (const node of nodes) await room.put(node, 0, stepResult("completed", padded(LARGE, text)));
  await room.reported(id, 1 + nodes.length, REPORT_PATIENCE_MS);
  return id;
}

const details = (times: number, text = ""): Row["prepare"] => {
  return async (room) => {
    const id = await largeJob(room, text);
    return () => Promise.all(Array.from({ length: times }, () => room.read(`/jobs/${id}`)));
  };
};

const CHINESE = Array.from({ length: 20_000 }, (_, at) => String.fromCodePoint(0x4e00 + at));

/** Text of this many characters, another one for each seed. */
function chinese(seed: number, length: number): string {
  let text = "";
  for (let at = 0; at < length; at++) text += CHINESE[(seed * 7_919 + at * 31) % CHINESE.length];
  return text;
}

const plain = (rank: number, length: number) => `${rank} ${"inventory ".repeat(length / 10)}`;

/** An inventory of so many values of so many characters each. */
function inventory(count: number, value: (at: number) => string): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, at) => [`part_${at}`, value(at)]));
}

interface Scene {
  size: number;
  /** Steps after QuickMark, in which every two nodes measure their links. */
  networks: number;
  /** Runs of HostMark after them. */
  hosts?: number;
  inventoryOf: (rank: number) => Record<string, unknown>;
}

/** A job that lacks only its last result. */
async function almostEnded(room: MachineRoom, scene: Scene) {
  const { size, networks, hosts = 0, inventoryOf } = scene;
  const benchmarks = [
    ...Array.from({ length: networks }, (_, at) => ({
      benchmark_id: "cluster_network",
      config: { duration_seconds: 1 + at },
    })),
    ...Array.from({ length: hosts }, (_, at) => ({
      benchmark_id: "host_mark",
      config: { disk_mib: 64 + at },
    })),
  ];
  const { id, nodes } = await room.startJob({ nodes: size, benchmarks, inventoryOf });
  const figuresOf = (position: number, rank: number) => {
    if (position === 0) return replay();
    return position <= networks ? links(rank, size, position) : hostFigures(rank, position);
  };
  const calls = Array.from({ length: networks + hosts + 1 }, (_, position) =>
    nodes.map((node, rank) => async () => {
      const figures = figuresOf(position, rank);
      await room.put(node, position, stepResult("completed", figures));
    }),
  ).flat();
  const last = calls.pop();
  for (const call of calls) await call();
  return {
    id,
    end: async () => {
      await last?.();
      await room.reported(id, 1 + size, REPORT_PATIENCE_MS);
    },
  };
}

/** The reports of a job, from its last result on: rated, drawn and stored. */
const reports = (scene: Scene): Row["prepare"] => {
  return async (room) => (await almostEnded(room, scene)).end;
};

/** The detail of such a job, once it has ended. */
const detailOf = (scene: Scene): Row["prepare"] => {
  return async (room) => {
    const { id, end } = await almostEnded(room, scene);
    await end();
    return () => room.read(`/jobs/${id}`);
  };
};

/** Each differs, lacks its disk for a reason of its own, and has figures that cannot be true. */
function hostFigures(rank: number, position: number): object {
  const turn = 1 + ((rank * 31 + position * 7) % 97) / 100;
  return {
    cpu: { available: 2, quota: null },
    cpu_single_gbs: 2 * turn,
    cpu_all_gbs: 3.8 * turn,
    effective_cores: 64 * turn,
    memory_triad_gbs: 40 * turn,
    memory_copy_gbs: 1e6 * turn,
    disk_reason: `${rank}.${position} ${WIDE.repeat(290)}`,
    measurement: { settled: false, conditions: { busy: true } },
  };
}

function links(rank: number, size: number, position: number): object {
  const others = Array.from({ length: size }, (_, other) => other).filter((at) => at !== rank);
  const measurements = others.map((target) => ({
    source_rank: rank,
    target_rank: target,
    bandwidth_gbps: 40 + ((rank * 31 + target * 17 + position) % 97) / 10,
    latency_ms: 0.125,
  }));
  return { measurements };
}

const machine = (rank: number) => ({
  cpu: { arch: "x86_64", count: 64, os: "ubuntu 22.04", model: "AMD EPYC 7513 32-Core Processor" },
  gpu: { driver_version: "570.195.03", cuda_version: "12.8" },
  serial: `S${rank}`,
});

const WIDE = "測";
/** QuickMark of 64 GPUs, a half of them slow, with names as long as they may be. */
function manyGpus(rank: number): object {
  const gpu = (at: number) => ({
    gpu_id: `${rank} ${at} `.padEnd(120, WIDE),
    bf16_tflops: at < 31 ? 400 : 800,
    memory_bandwidth_gbs: at < 31 ? 1_000 : 3_000,
    temperature_centigrade: -1,
  });
  const gpus = Array.from({ length: 64 }, (_, at) => gpu(at));
  return { aggregate_results: { ...gpus[63], bf16_tflops: 40_000 }, test_results: gpus };
}

/**
 * A job of as many nodes and steps as there may be, in which everything goes wrong that a row of D1 tells of: slow GPUs,
 * figures that cannot be true, and nodes that give up, each with a long reason beyond Latin-1, which each of its 16 open
 * steps gets. It lacks only its last node's end.
 */
async function brokenJob(room: MachineRoom) {
  const benchmarks = Array.from({ length: 16 }, (_, at) => ({
    benchmark_id: "cluster_network",
    config: { duration_seconds: 1 + at },
  }));
  const { id, nodes } = await room.startJob({ nodes: 256, benchmarks });
  const ends = nodes.map((node, rank) => async () => {
    await room.put(node, 0, stepResult("completed", manyGpus(rank)));
    // Once no other node is left, the last one's result ends the job.
    if (rank < nodes.length - 1) await room.giveUp(node, `${rank} ${WIDE.repeat(990)}`);
  });
  const last = ends.pop();
  for (const end of ends) await end();
  return { id, size: nodes.length, end: async () => last?.() };
}

/** Reads of such a job while it lives, or once it has ended. */
const brokenReads = (
  isLive: boolean,
  pathOf: (id: string) => string,
  accept?: string,
): Row["prepare"] => {
  return async (room) => {
    const { id, end } = await brokenJob(room);
    if (!isLive) {
      await room.withoutReports(id);
      await end();
      await room.rated(id, REPORT_PATIENCE_MS);
    }
    return () => room.read(pathOf(id), accept);
  };
};

/** A live job of 16 nodes with all results but the last node's, and with large inventories. */
async function liveDetail(room: MachineRoom): Promise<() => Promise<unknown>> {
  const inventoryOf = (rank: number) => inventory(60, () => plain(rank, 1_000));
  const { id, nodes } = await room.startJob({ nodes: 17, inventoryOf });
  const body = stepResult("completed", padded(LARGE - 20 * KIB, "Ā"));
  for (const node of nodes.slice(0, 16)) await room.put(node, 0, body);
  return () => room.read(`/jobs/${id}`);
}

const writes = (times: number, body: () => object): Row["prepare"] => {
  return async (room) => {
    const { nodes } = await room.startJob({ nodes: times + 1 });
    const text = JSON.stringify(body()).replaceAll("10,", "1e1,");
    return () => Promise.all(nodes.slice(0, times).map((node) => room.putText(node, 0, text)));
  };
};

const largeResult = () => stepResult("completed", padded(LARGE, "Ā"));
const exponents = (count: number) => () =>
  stepResult("completed", { ...replay(), list: Array<number>(count).fill(10) });

/** A write that is refused for its shape. */
const refused = (body: () => object): Row["prepare"] => {
  return async (room) => {
    const work = await writes(1, body)(room);
    return () =>
      work().then(
        () => Promise.reject(new Error("it was accepted")),
        (error: Error) => {
          if (!error.message.includes("JSON values")) throw error;
        },
      );
  };
};

const FRIENDLY: Scene = { size: 256, networks: 1, inventoryOf: machine };
const CHINESE_INVENTORIES: Scene = {
  size: 256,
  networks: 0,
  inventoryOf: (rank) => inventory(48, (at) => chinese(rank * 48 + at, 385)),
};
const LARGE_INVENTORIES: Scene = {
  size: 256,
  networks: 0,
  inventoryOf: () => inventory(180, (at) => plain(at, 340)),
};
const MANY_HOSTS: Scene = { size: 256, networks: 0, hosts: 15, inventoryOf: machine };
const MANY_STEPS: Scene = { size: 100, networks: 15, inventoryOf: machine };

const ROWS: readonly Row[] = [
  { name: "detail, 16 MiB of results", limits: ONE, prepare: details(1) },
  { name: "detail, 16 MiB beyond Latin-1", limits: ONE, prepare: details(1, "Ā") },
  { name: "two such details at once", limits: THREE, prepare: details(2, "Ā") },
  { name: "three such details at once", limits: THREE, prepare: details(3, "Ā") },
  { name: "detail of a live job, 16 × 1 MiB", limits: ONE, prepare: liveDetail },
  { name: "detail, 256 inventories of 64 KiB", limits: ONE, prepare: detailOf(LARGE_INVENTORIES) },
  { name: "detail, 16 steps of 100 nodes", limits: ONE, prepare: detailOf(MANY_STEPS) },
  {
    name: "broken: detail of a live job",
    limits: ONE,
    prepare: brokenReads(true, (id) => `/jobs/${id}`),
  },
  {
    name: "broken: detail",
    limits: ONE,
    prepare: brokenReads(false, (id) => `/jobs/${id}`),
  },
  {
    name: "broken: page of 300 tasks",
    limits: ONE,
    prepare: brokenReads(false, (id) => `/tasks?job_id=${id}&per_page=300`),
  },
  {
    name: "broken: export of tasks",
    limits: ONE,
    prepare: brokenReads(false, (id) => `/tasks?job_id=${id}`, "application/x-ndjson"),
  },
  {
    name: "broken: list with all verdicts",
    limits: ONE,
    prepare: brokenReads(false, () => "/jobs?include=performance,performance_nodes"),
  },
  {
    name: "broken: reports",
    limits: REPORT,
    prepare: async (room) => {
      const { id, size, end } = await brokenJob(room);
      return async () => {
        await end();
        await room.reported(id, 1 + size, REPORT_PATIENCE_MS);
      };
    },
  },
  { name: "result of 1 MiB beyond Latin-1", limits: ONE, prepare: writes(1, largeResult) },
  { name: "three such results at once", limits: THREE, prepare: writes(3, largeResult) },
  { name: "result of 45,000 values", limits: ONE, prepare: writes(1, exponents(45_000)) },
  {
    name: "result of 1 MB, [1e1,1e1,…], refused",
    limits: ONE,
    prepare: refused(exponents(250_000)),
  },
  { name: "reports, 256 × 8 GPUs", limits: REPORT, prepare: reports(FRIENDLY) },
  {
    name: "reports, 256 inventories in Chinese",
    limits: REPORT,
    prepare: reports(CHINESE_INVENTORIES),
  },
  {
    name: "reports, 256 inventories of 64 KiB",
    limits: REPORT,
    prepare: reports(LARGE_INVENTORIES),
  },
  { name: "reports, 256 × 15 runs of HostMark", limits: REPORT, prepare: reports(MANY_HOSTS) },
  { name: "reports, 16 steps of 100 nodes", limits: REPORT, prepare: reports(MANY_STEPS) },
];
