/**
 * How fast sockets tell: the last node of a barrier arrives, beside the same by polling; and an abort of many jobs whose
 * sockets are all open at once in one workerd, with the memory of each.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import type { Bundle } from "../scripts/lib/bundle.ts";
import { eachOf } from "../src/lib/each.ts";
import { quickMarkFigures, stepResult } from "../test/world/results.ts";
import { type InsideOrder, OPEN } from "./baselines/inside-order.ts";
import { workerdProcesses } from "./cpu.ts";
import { createMachineRoom, type MachineRoom, type RoomNode } from "./machine-room.ts";
import { type NodeSocket, openSocket } from "./node-socket.ts";
import { openStage, type Stage } from "./stage.ts";

const API = "/api/silicon-mark/v1";
const NODES = 256;
/** Barriers that the channel's p99 is taken over. */
const BARRIERS = 4;
const P99_MS = 250;

const JOBS = 100;
/** Share of sockets that must come over TCP: those within workerd cost the kernel nothing. */
const LEAST_BY_TCP = 0.5;
const NODES_OF_A_JOB = 100;
const TOLD_MS = 5_000;
/** Requests at the same time while the scene is made. */
const AT_ONCE = 16;
/** Descriptors that workerd takes for a socket: it holds each connection twice. */
const FILES_OF_A_SOCKET = 2;
/** Files that a process needs besides its sockets, those of each job's object among them. */
const OTHER_FILES = 1_000;
const CLUSTER = [{ benchmark_id: "cluster_network" }];

/** Prints what was measured; whether all is within its bounds. */
export async function showBarrier(folder: string, bundle: Bundle): Promise<boolean> {
  const [load = 0] = loadavg();
  console.log(
    `\nthe last of ${NODES} nodes reaches a barrier: ms until each node knows (load ${load.toFixed(1)} of ${availableParallelism()} cores)`,
  );
  const byChannel = await barriers(folder, bundle, waitBySocket, BARRIERS);
  const isFast = percentile(byChannel, 0.99) <= P99_MS;
  showTimes("channel", byChannel, isFast ? "" : `  MISSED: p99 at most ${P99_MS}`);
  showTimes("polling", await barriers(folder, bundle, waitByPolls, 1), "");
  return (await showMany(folder, bundle)) && isFast;
}

/** Waits until a node is told to run its second step; answers when that was. */
type Wait = (stage: Stage, node: RoomNode) => Promise<{ told: Promise<number> }>;

/** The times of all nodes from the last node's call, ms. */
async function barriers(folder: string, bundle: Bundle, wait: Wait, rounds: number) {
  const times: number[] = [];
  const stage = await openStage(folder, bundle, []);
  try {
    const room = await createMachineRoom(stage);
    for (let round = 0; round < rounds; round++)
      times.push(...(await oneBarrier(stage, room, wait)));
  } finally {
    await stage.stop();
  }
  return times;
}

async function oneBarrier(stage: Stage, room: MachineRoom, wait: Wait): Promise<number[]> {
  const { id, nodes } = await room.startJob({ nodes: NODES, benchmarks: CLUSTER });
  const last = nodes.at(-1);
  if (last === undefined) throw new Error("a job without nodes");
  const result = stepResult("completed", quickMarkFigures(700));
  const waiting: Promise<number>[] = [];
  await eachOf(nodes, AT_ONCE, async (node) => {
    if (node !== last) await room.put(node, 0, result);
    waiting.push((await wait(stage, node)).told);
  });
  const begun = performance.now();
  const arrived = room.put(last, 0, result);
  const times = (await Promise.all(waiting)).map((at) => at - begun);
  await arrived;
  await room.abort(id);
  return times;
}

const isTold = (text: string) => /"directive":"run","step":\{"position":1/.test(text);

const waitBySocket: Wait = async (stage, node) => {
  const socket = await greet(stage, node);
  return { told: heardBy(socket, isTold) };
};

/** When a socket hears a message. */
async function heardBy(socket: NodeSocket, isIt: (text: string) => boolean): Promise<number> {
  for (let text = await socket.next(); text !== null; text = await socket.next()) {
    if (isIt(text)) return performance.now();
  }
  throw new Error(`the server has closed a socket: ${socket.ending}`);
}

async function greet({ url }: Stage, { token, taskId }: RoomNode): Promise<NodeSocket> {
  const socket = await openSocket(url, `${API}/jobs/current/channel`, token);
  socket.send(JSON.stringify({ type: "hello", task_id: taskId }));
  const first = await socket.next();
  if (first?.startsWith('{"type":"view"') !== true) {
    throw new Error(`the server answers a hello with ${first ?? socket.ending}`);
  }
  return socket;
}

/** As an agent polls: when the server says so, with the validator of what it knows. */
const waitByPolls: Wait = async ({ url }, { token, taskId }) => {
  const path = new URL(`${API}/jobs/current?task_id=${taskId}`, url);
  let etag = "";
  const poll = async () => {
    while (true) {
      const headers = { authorization: `Bearer ${token}`, ...(etag && { "if-none-match": etag }) };
      const reply = await fetch(path, { headers });
      if (isTold(await reply.text())) return performance.now();
      etag = reply.headers.get("etag") ?? "";
      const seconds = Number(reply.headers.get("retry-after"));
      await new Promise((done) => setTimeout(done, seconds * 1_000));
    }
  };
  return { told: poll() };
};

/** Opens the sockets of many jobs, and aborts these; whether all are told in time. */
async function showMany(folder: string, bundle: Bundle): Promise<boolean> {
  const sockets = JOBS * NODES_OF_A_JOB;
  const wanted = sockets * FILES_OF_A_SOCKET + OTHER_FILES;
  const files = allowFiles(wanted);
  const byTcp = Math.min(sockets, Math.floor((files - OTHER_FILES) / FILES_OF_A_SOCKET));
  const limit = `${sockets} take ${wanted} open files, and a process may have ${files} here: "ulimit -n ${wanted}"`;
  if (byTcp < sockets * LEAST_BY_TCP) {
    console.log(`\nsockets of many jobs cannot be measured: ${limit}  MISSED`);
    return false;
  }
  const inside = byTcp < sockets ? `, ${sockets - byTcp} of them from within it (${limit})` : "";
  console.log(`\n${sockets.toLocaleString("en")} sockets of ${JOBS} jobs in one workerd${inside}`);
  return measureMany(folder, bundle, byTcp);
}

async function measureMany(folder: string, bundle: Bundle, byTcp: number): Promise<boolean> {
  const before = new Set(workerdProcesses());
  const stage = await openStage(folder, bundle, [{ name: "inside", file: "inside" }]);
  try {
    const pid = workerdProcesses().find((each) => !before.has(each));
    const room = await createMachineRoom(stage);
    const jobs = await startJobs(room);
    const nodes = jobs.flatMap((job) => job.nodes);
    const idle = pid === undefined ? null : rssBytes(pid);
    const told: Promise<number>[] = [];
    await eachOf(nodes.slice(0, byTcp), AT_ONCE, async (node) => {
      told.push(heardBy(await greet(stage, node), isStopped));
    });
    const inside = await openInside(stage, nodes.slice(byTcp));
    const held = pid === undefined ? null : rssBytes(pid);
    const begun = { at: performance.now(), epoch: Date.now() };
    const aborts = Promise.all(jobs.map(({ id }) => room.abort(id)));
    const times = [
      ...(await Promise.all(told)).map((at) => at - begun.at),
      ...(await inside.told).map((epoch) => epoch - begun.epoch),
    ];
    await aborts;
    const isFast = Math.max(...times) <= TOLD_MS;
    showTimes("told of an abort, ms", times, isFast ? "" : `  MISSED: at most ${TOLD_MS}`);
    const bytes = idle === null || held === null ? null : (held - idle) / nodes.length;
    console.log(
      bytes === null
        ? "memory of workerd: not known here"
        : `memory of workerd for each socket: ${(bytes / 1_024).toFixed(1)} KiB`,
    );
    return isFast;
  } finally {
    await stage.stop();
  }
}

async function startJobs(room: MachineRoom) {
  const jobs: { id: string; nodes: RoomNode[] }[] = [];
  await eachOf([...Array(JOBS).keys()], AT_ONCE, async () => {
    const job = await room.startJob({ nodes: NODES_OF_A_JOB, benchmarks: CLUSTER });
    // The first jobs' reports would be drawn by the same isolate while the last are told.
    await room.withoutReports(job.id);
    jobs.push(job);
  });
  return jobs;
}

/** Opens sockets from within workerd; answers when they are open. `told`: times of the epoch, ms. */
async function openInside(
  stage: Stage,
  nodes: readonly RoomNode[],
): Promise<{ told: Promise<number[]> }> {
  const url = new URL(`${API}/jobs/current/channel`, stage.url).href;
  const order: InsideOrder = { url, nodes };
  const response = await fetch(await stage.urlOf("inside"), {
    method: "POST",
    body: JSON.stringify(order),
  });
  const lines = readLines(response);
  const first = await lines.next();
  if (first.value !== OPEN) throw new Error(`sockets within workerd: ${first.value}`);
  const told = async (): Promise<number[]> => JSON.parse((await lines.next()).value ?? "[]");
  return { told: told() };
}

async function* readLines({ body }: Response): AsyncGenerator<string, undefined> {
  let text = "";
  for await (const part of body?.pipeThrough(new TextDecoderStream()) ?? []) {
    text += part;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      yield text.slice(0, end);
      text = text.slice(end + 1);
    }
  }
  return;
}

const isStopped = (text: string) => text.includes('"directive":"stop"');

/** Raises the limit of open files for this process and those that it starts, if it may; answers the limit. */
function allowFiles(wanted: number): number {
  const files = openFiles();
  if (files >= wanted) return files;
  const self = ["--pid", String(process.pid)];
  // Up to the hard limit anybody may; root raises that, too. Only Linux has the program.
  for (const limits of [`${wanted}:`, `${wanted}:${wanted}`]) {
    spawnSync("prlimit", [...self, `--nofile=${limits}`], { stdio: "ignore" });
  }
  return openFiles();
}

function openFiles(): number {
  const limit = execFileSync("sh", ["-c", "ulimit -n"], { encoding: "utf8" }).trim();
  return limit === "unlimited" ? Infinity : Number(limit);
}

function rssBytes(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  return Number(kib) * 1_024;
}

function percentile(times: readonly number[], share: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

function showTimes(name: string, times: readonly number[], verdict: string): void {
  const [median, p99, max] = [0.5, 0.99, 1].map((share) => percentile(times, share).toFixed(0));
  console.log(
    `${name.padEnd(22)} median ${median}, p99 ${p99}, last ${max} (${times.length} times)${verdict}`,
  );
}
