/**
 * What one local server carries: that of `npm start` and of the image, with its front and wrangler's development server. It is
 * one process of workerd, whatever the number of cores.
 */
import { writeFileSync } from "node:fs";
import { availableParallelism, loadavg } from "node:os";
import { join } from "node:path";
import { createApiClient } from "../scripts/lib/api.ts";
import { findFreePort, type RunningServer, startServer } from "../scripts/lib/server.ts";
import { HttpPool, requestBytes } from "./http-pool.ts";

const API = "/api/silicon-mark/v1";
const CONNECTIONS = 32;
const NODES = 32;
/** Each kind is sent for about as long. */
const SECONDS = 10;
const never = new AbortController().signal;

export interface LocalRates {
  cores: number;
  /** Of the last minute, before and after. */
  load: [before: number, after: number];
  /** Requests a second, by what they ask for. */
  rates: Record<string, number>;
}

/** @param folder for its state */
export async function measureLocalServer(folder: string): Promise<LocalRates> {
  const secretsFile = join(folder, "secrets.env");
  // Limits of callers are no part of this: all requests come from one address.
  writeFileSync(secretsFile, 'RATE_LIMIT_SCALE="1000000"\n', { mode: 0o600 });
  const options = { port: await findFreePort(), ip: "127.0.0.1", state: join(folder, "state") };
  const server = await startServer({ ...options, secretsFile, onOutput: () => {} }, never);
  const before = loadavg()[0] ?? 0;
  try {
    const rates: Record<string, number> = {};
    for (const [name, requests] of Object.entries(await requestsOf(server))) {
      rates[name] = await rateOf(server, requests);
    }
    return { cores: availableParallelism(), load: [before, loadavg()[0] ?? 0], rates };
  } finally {
    await server.stop();
  }
}

/** Requests of each kind, as bytes; one after the other is sent, round and round. */
async function requestsOf({ url, secrets }: RunningServer): Promise<Record<string, Buffer[]>> {
  const api = createApiClient(url, never);
  await api.signIn(secrets.adminEmail, secrets.adminPassword);
  const key = (await api.createUserKey({ name: "bench" })).key;
  const job = await api.createJob({ benchmarks: ["quick_mark"], node_count: NODES });
  const nodes = await Promise.all(
    Array.from({ length: NODES }, (_, rank) => joinAs(url, job.token, rank)),
  );
  const body = JSON.stringify({ benchmarks: ["quick_mark"] });
  const progress = JSON.stringify({ progress: 0.5 });
  return {
    "polls of nodes": nodes.map(({ id, task_token: taskToken }) =>
      requestBytes("GET", `${API}/jobs/current?task_id=${id}`, { token: job.token, taskToken }),
    ),
    "heartbeats of nodes": nodes.map(({ id, task_token: taskToken }) =>
      requestBytes("PATCH", `${API}/jobs/current/tasks/${id}`, {
        ...{ token: job.token, taskToken, body: progress },
      }),
    ),
    "a page of jobs": [requestBytes("GET", `${API}/jobs`, { token: key })],
    "creations of jobs": [requestBytes("POST", `${API}/jobs`, { token: key, body })],
  };
}

async function joinAs(url: string, token: string, rank: number) {
  const reply = await fetch(`${url}${API}/jobs/current/tasks`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({
      machine_uuid: crypto.randomUUID(),
      join_secret: `${rank}`.padStart(32, "0"),
      gpu_model: "NVIDIA H100 NVL",
      gpu_count: 1,
    }),
  });
  if (!reply.ok) throw new Error(`a node could not join: ${await reply.text()}`);
  return (await reply.json()) as { id: string; task_token: string };
}

async function rateOf(server: RunningServer, requests: readonly Buffer[]): Promise<number> {
  const pool = await HttpPool.open(new URL(server.url), CONNECTIONS);
  const batch = Array.from({ length: CONNECTIONS * 4 }, (_, at) => requests[at % requests.length]);
  const sent = batch.flatMap((request) => (request === undefined ? [] : [request]));
  try {
    // The first requests compile code.
    await pool.run(sent);
    const from = performance.now();
    const end = from + SECONDS * 1_000;
    let count = 0;
    while (performance.now() < end) {
      await pool.run(sent);
      count += sent.length;
    }
    return count / ((performance.now() - from) / 1_000);
  } finally {
    pool.close();
  }
}
