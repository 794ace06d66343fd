/** Exact counts of each hot request, with everything that follows: flushes, and the work that a last result sets off. */
import { createWorld, quickMarkResult, type World } from "../../test/fuzz/world.ts";
import { type Counted, untilQuiet } from "./meters.ts";
import { openTwinStage } from "./twin-stage.ts";

const API = "/api/silicon-mark/v1";
const LISTED_JOBS = 30;
const PROGRESS = { progress: 0.5, message: "half" };

export interface RequestCost {
  name: string;
  d1Calls: number;
  d1Reads: number;
  d1Rows: number;
  objectRequests: number;
  objectRows: number;
  r2: number;
  replyBytes: number;
}

interface Hot {
  method: string;
  path: string;
  token?: string;
  headers?: Record<string, string>;
  body?: object | URLSearchParams;
}

export async function countRequests(
  folder: string,
  bundle: Parameters<typeof openTwinStage>[1],
): Promise<RequestCost[]> {
  const stage = await openTwinStage(folder, bundle);
  try {
    const url = stage.countedUrl;
    const world = await createWorld({ url, db: stage.db });
    for (let job = 0; job < LISTED_JOBS; job++) await world.createJob({ tags: ["production"] });
    const costs: RequestCost[] = [];
    for (const [name, make] of Object.entries(HOT)) {
      const hot = await make(world, (request) => ask(url, request));
      const before = await untilQuiet(url);
      const { bytes } = await ask(url, hot);
      costs.push(costOf(name, (await untilQuiet(url)).since(before), bytes));
    }
    world.close();
    return costs;
  } finally {
    await stage.stop();
  }
}

function costOf(name: string, counted: Counted, replyBytes: number): RequestCost {
  const { d1Calls, d1Reads, d1Rows, objectRequests, objectRows, r2Reads, r2Writes } = counted;
  const r2 = r2Reads + r2Writes;
  return { name, d1Calls, d1Reads, d1Rows, objectRequests, objectRows, r2, replyBytes };
}

type Ask = (request: Hot) => Promise<{ bytes: number; etag: string }>;

async function ask(url: URL, { method, path, token, headers, body }: Hot) {
  const isForm = body instanceof URLSearchParams;
  const response = await fetch(new URL(path, url), {
    method,
    headers: {
      ...headers,
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && !isForm && { "content-type": "application/json" }),
    },
    ...(body !== undefined && { body: isForm ? body : JSON.stringify(body) }),
  });
  const bytes = (await response.arrayBuffer()).byteLength;
  if (!response.ok && response.status !== 304) throw new Error(`${path}: ${response.status}`);
  return { bytes, etag: response.headers.get("etag") ?? "" };
}

/** Each makes its scene, and the request, which is asked once before where an isolate remembers its caller. */
const HOT: Readonly<Record<string, (world: World, ask: Ask) => Promise<Hot>>> = {
  "GET /benchmarks": (world, first) => read(world, first, "/benchmarks"),
  "poll, changed": async (world) => poll(world),
  "poll, unchanged (304)": async (world, first) => {
    const request = await poll(world);
    const { etag } = await first(request);
    return { ...request, headers: { ...request.headers, "if-none-match": etag } };
  },
  "progress of a node": async (world, first) => {
    const request = await onTask(world, "PATCH", "", PROGRESS);
    await first(request);
    return request;
  },
  join: async (world) => {
    const { token } = await world.createJob({ node_count: 2 });
    const machine = { machine_uuid: crypto.randomUUID(), gpu_model: "NVIDIA H100 NVL" };
    const body = { ...machine, gpu_count: 1, join_secret: `${crypto.randomUUID()}-bench` };
    return { method: "POST", path: `${API}/jobs/current/tasks`, token, body };
  },
  "result, of many nodes": (world) =>
    onTask(world, "PUT", "/results/0", quickMarkResult("completed")),
  "result, the job's last": async (world) => {
    const { job, taskId, taskToken } = await world.join(await world.createJob({}));
    return {
      method: "PUT",
      path: `${API}/jobs/current/tasks/${taskId}/results/0`,
      token: job.token,
      headers: { "assay-task-token": taskToken },
      body: quickMarkResult("completed"),
    };
  },
  "create a job": async (world) => ({
    method: "POST",
    path: `${API}/jobs`,
    token: world.ownerToken(),
    body: { benchmarks: [] },
  }),
  "list of 20 jobs": (world, first) => read(world, first, "/jobs"),
  "detail of an ended job": (world, first) =>
    read(world, first, `/jobs/${world.jobs.completed.id}`),
  "stats of jobs": (world, first) => read(world, first, "/jobs/stats"),
  "tags of jobs": (world, first) => read(world, first, "/jobs/tags"),
  "claim without a job": async (world, first) => {
    const { uuid, key } = world.runners.idle;
    const request = { method: "POST", path: `/v0/runners/${uuid}/jobs`, token: key };
    await first(request);
    return request;
  },
  "list of specs": async (world, first) => {
    const request = { method: "GET", path: "/v0/specs", token: world.ownerToken() };
    await first(request);
    return request;
  },
  "sign in": async ({ credentials }) => ({
    method: "POST",
    path: "/token",
    body: new URLSearchParams({ grant_type: "password", ...credentials }),
  }),
};

async function read(world: World, first: Ask, path: string): Promise<Hot> {
  const request = { method: "GET", path: `${API}${path}`, token: world.ownerToken() };
  await first(request);
  return request;
}

async function poll(world: World): Promise<Hot> {
  const { job, taskId, taskToken } = await world.freshNode();
  return {
    method: "GET",
    path: `${API}/jobs/current?task_id=${taskId}`,
    token: job.token,
    headers: { "assay-task-token": taskToken },
  };
}

async function onTask(world: World, method: string, path: string, body: object): Promise<Hot> {
  const { job, taskId, taskToken } = await world.freshNode();
  return {
    method,
    path: `${API}/jobs/current/tasks/${taskId}${path}`,
    token: job.token,
    headers: { "assay-task-token": taskToken },
    body,
  };
}
