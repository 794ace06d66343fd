/** What the pages of the console show in tests: people, and jobs whose machines speak the node protocol. */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../../scripts/lib/project.ts";

const API = "/api/silicon-mark/v1";
/** Calls at the same time: as many as a server on two cores answers without a queue. */
const AT_ONCE = 16;

// biome-ignore lint/suspicious/noExplicitAny: replies of every shape
export type Json = any;

export interface Api {
  token: string;
  /** Sends a request as the person; answers the reply's JSON. Throws on every other status than 2xx. */
  ask(method: string, path: string, body?: object): Promise<Json>;
}

/** Signs a person in. */
export async function signInAs(url: string, email: string, password: string): Promise<Api> {
  const form = new URLSearchParams({ grant_type: "password", username: email, password });
  const reply = await fetch(`${url}/token`, { method: "POST", body: form });
  const { access_token: token }: Json = await reply.json();
  return { token, ask: (method, path, body) => send(url, token, { method, path, body }) };
}

async function send(
  url: string,
  token: string,
  { method, path, body }: { method: string; path: string; body?: object | undefined },
): Promise<Json> {
  const full = path.startsWith("/v0") ? path : API + path;
  const reply = await fetch(url + full, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await reply.text();
  if (!reply.ok) throw new Error(`${method} ${full} answered ${reply.status}: ${text}`);
  return text === "" ? null : JSON.parse(text);
}

export interface MachineOptions {
  uuid?: string;
  hostName?: string;
  gpuModel?: string;
  gpuCount?: number;
  /** Of the recording's figures. */
  speed?: number;
}

export interface Machine {
  rank: number;
  taskId: string;
  /** The step's results, of a real recording. */
  results(speed: number): Json;
  put(position: number, results: Json): Promise<void>;
  say(progress: number, message: string): Promise<void>;
  fail(message: string): Promise<void>;
}

const recording: Json = JSON.parse(
  readFileSync(join(ROOT, "agent/replays/a100-sxm4-80gb-x2.json"), "utf8"),
);

/** A machine joins a job, as the agent would. */
export async function joinJob(
  url: string,
  jobToken: string,
  options: MachineOptions = {},
): Promise<Machine> {
  const { uuid = randomUUID(), hostName = `node-${uuid.slice(0, 4)}` } = options;
  const { gpuModel = recording.gpu_model, gpuCount = recording.gpu_count } = options;
  const secret = randomUUID().replaceAll("-", "");
  const inventory = { ...recording.inventory, host_name: hostName };
  const body = { machine_uuid: uuid, join_secret: secret, gpu_model: gpuModel };
  const task = await send(url, jobToken, {
    method: "POST",
    path: "/jobs/current/tasks",
    body: { ...body, gpu_count: gpuCount, cluster_address: "10.0.0.4:7117", inventory },
  });
  const speak = async (method: string, path: string, sent: object) => {
    const reply = await fetch(`${url}${API}/jobs/current/tasks/${task.id}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${jobToken}`,
        "assay-task-token": task.task_token,
        "content-type": "application/json",
      },
      body: JSON.stringify(sent),
    });
    if (!reply.ok) throw new Error(`${method} ${path}: ${reply.status} ${await reply.text()}`);
    await reply.arrayBuffer();
  };
  return {
    rank: task.rank,
    taskId: task.id,
    results: scaledResults,
    async put(position, results) {
      const endedAt = new Date();
      const startedAt = new Date(endedAt.getTime() - 300_000).toISOString();
      const times = { started_at: startedAt, ended_at: endedAt.toISOString() };
      await speak("PUT", `/results/${position}`, { state: "completed", ...times, results });
    },
    say: (progress, message) => speak("PATCH", "", { progress, message }),
    fail: (message) => speak("PATCH", "", { state: "failed", failed_message: message }),
  };
}

/** The recording's results, all rates times `speed`. */
export function scaledResults(speed: number): Json {
  const scale = (value: Json): Json => {
    if (Array.isArray(value)) return value.map(scale);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, part]) => [
        key,
        typeof part === "number" && /tflops|_gbs$/.test(key)
          ? Math.round(part * speed * 100) / 100
          : scale(part),
      ]),
    );
  };
  return scale(recording.results);
}

/** The links of one node, slower across the middle of the cluster: two switches. */
export function linksOf(rank: number, nodeCount: number): Json {
  const side = (node: number) => (node < nodeCount / 2 ? 0 : 1);
  const measurements = Array.from({ length: nodeCount }, (_, target) => target)
    .filter((target) => target !== rank)
    .map((target) => {
      const isNear = side(target) === side(rank);
      const ends = { source_rank: rank, target_rank: target };
      if (rank === 1 && target === nodeCount - 1)
        return { ...ends, error: "10.0.0.4:7117: connection refused" };
      const wave = ((rank * 7 + target * 13) % 10) / 10;
      return {
        ...ends,
        bandwidth_gbps: (isNear ? 92 : 61) + wave * 4 - (target === 3 ? 20 : 0),
        latency_ms: (isNear ? 0.08 : 0.21) + wave / 50,
      };
    });
  return { measurements };
}

export interface JobOptions {
  name: string;
  nodes: number;
  tags?: string[];
  description?: string;
  /** With the links between the nodes. */
  cluster?: boolean;
  /** Of the node with this rank; 1 by default. */
  speedOf?: (rank: number) => number;
  /** Of the node with this rank, in place of those of its speed. */
  resultsOf?: (rank: number) => Json;
  machineOf?: (rank: number) => MachineOptions;
  /** Figures say that they are of a recording. */
  replayed?: boolean;
  more?: object;
}

/** A job from its creation to its end, by machines that all answer. */
export async function completeJob(url: string, api: Api, options: JobOptions): Promise<Json> {
  const { name, nodes, tags = [], cluster = false, speedOf = () => 1 } = options;
  const { resultsOf = (rank) => scaledResults(speedOf(rank)) } = options;
  const job = await api.ask("POST", "/jobs", {
    name,
    node_count: nodes,
    tags,
    description: options.description ?? null,
    benchmarks: cluster ? ["quick_mark", "cluster_network"] : ["quick_mark"],
    ...options.more,
  });
  const ranks = Array.from({ length: nodes }, (_, rank) => rank);
  const machines: Machine[] = [];
  await inTurns(ranks, async (rank) => {
    machines.push(await joinJob(url, job.token, options.machineOf?.(rank)));
  });
  const mark = options.replayed ? { replayed: true } : {};
  await inTurns(machines, (machine) => machine.put(0, { ...resultsOf(machine.rank), ...mark }));
  if (cluster) await inTurns(machines, (machine) => machine.put(1, linksOf(machine.rank, nodes)));
  return job;
}

async function inTurns<Item>(items: readonly Item[], act: (item: Item) => Promise<void>) {
  const left = [...items];
  const work = async () => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await act(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
}

/** Waits until a job has its verdict. */
export async function ratedJob(api: Api, id: string): Promise<Json> {
  for (;;) {
    const job = await api.ask("GET", `/jobs/${id}`);
    if (job.ended_at !== null && (job.scoreboard_summary !== null || job.state !== "completed"))
      return job;
    await new Promise((done) => setTimeout(done, 200));
  }
}
