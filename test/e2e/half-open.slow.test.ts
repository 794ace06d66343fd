/** A machine that vanishes without closing its socket: nobody is told, and the server finds out by its missing pings. */
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { WebSocket } from "ws";
import { type Relay, startRelay } from "../agent/network-stand-ins.ts";
import { patient } from "../patience.ts";
import { type Json, type OwnedWorker, startOwnedWorker } from "./owned-worker.ts";

const API = "/api/silicon-mark/v1";
/** The shortest time after which a node with a socket is looked for. */
const CHECK_MS = 150_000;
const PING_MS = 5_000;

let folder: string;
let worker: OwnedWorker["worker"];
let ask: OwnedWorker["ask"];
let relay: Relay;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "assay-half-open-"));
  const vars = { NODE_TIMEOUT_SECONDS: "10", SOCKET_CHECK_SECONDS: String(CHECK_MS / 1_000) };
  ({ worker, ask } = await startOwnedWorker(folder, vars));
  relay = await startRelay(Number(worker.url.port));
}, patient(120_000));

afterAll(async () => {
  await relay.close();
  await worker.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

interface Node {
  socket: WebSocket;
  heard: Json[];
  /** Time of the latest ping that was answered, ms. */
  answeredAt: number;
  /** The code of its end; null while it is open. */
  ended: number | null;
}

async function joinJob(token: string): Promise<{ id: string; task_token: string }> {
  const reply = await fetch(new URL(`${API}/jobs/current/tasks`, worker.url), {
    method: "POST",
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
    body: JSON.stringify({ machine_uuid: randomUUID(), join_secret: "s".repeat(43) }),
  });
  expect(reply.status).toBe(201);
  // The reply to joining.
  return (await reply.json()) as { id: string; task_token: string };
}

/** A node that says hello, and pings. */
async function hold(token: string, task: Json, port: number): Promise<Node> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${API}/jobs/current/channel`, {
    headers: { authorization: `Bearer ${token}` },
  });
  const node: Node = { socket, heard: [], answeredAt: 0, ended: null };
  socket.on("error", () => {});
  socket.on("close", (code) => {
    node.ended = code;
  });
  socket.on("message", (data) => {
    const text = data.toString();
    if (text === "pong") node.answeredAt = Date.now();
    else node.heard.push(JSON.parse(text));
  });
  await new Promise((resolve) => socket.once("open", resolve));
  const { id: task_id, task_token } = task;
  socket.send(JSON.stringify({ type: "hello", task_id, task_token }));
  const pinging = setInterval(() => socket.send("ping"), PING_MS);
  onTestFinished(() => {
    clearInterval(pinging);
    socket.terminate();
  });
  await expect.poll(() => node.heard.length, { timeout: patient(20_000) }).toBe(1);
  return node;
}

test(
  "a machine that vanished is lost once its pings are missing for long enough, and may come back",
  async () => {
    const job = await ask("POST", "/jobs", { benchmarks: ["cluster_network"], node_count: 2 });
    const token = String(job.token);
    const vanishing = await joinJob(token);
    const staying = await joinJob(token);
    const gone = await hold(token, vanishing, relay.port);
    const there = await hold(token, staying, Number(worker.url.port));
    await expect.poll(() => gone.answeredAt, { timeout: patient(30_000) }).toBeGreaterThan(0);
    relay.freeze();
    const lastPingAt = gone.answeredAt;

    const lost = () => ask("GET", `/jobs/${job.id}`).then(({ events }) => lostIn(events));
    await expect
      .poll(lost, { timeout: patient(CHECK_MS + 60_000), interval: 2_000 })
      .toMatchObject({ kind: "lost", rank: 0 });
    const { at } = await lost();
    // A ping more may have been answered whose pong never came through.
    expect(Date.parse(at) - lastPingAt).toBeGreaterThanOrEqual(CHECK_MS - 1_000);
    expect(gone.ended, "no word of it comes through").toBeNull();
    expect(there.ended, "nobody else notices").toBeNull();
    const { tasks } = await ask("GET", `/jobs/${job.id}`);
    expect(tasks.map(({ state }: Json) => state)).toEqual(["failed", "running"]);

    const back = await hold(token, vanishing, relay.port);
    expect(back.heard[0]).toMatchObject({ type: "view", view: { task: { id: vanishing.id } } });
    const again = await ask("GET", `/jobs/${job.id}`);
    expect(again.tasks.map(({ state }: Json) => state)).toEqual(["running", "running"]);
    expect(there.ended).toBeNull();
  },
  patient(CHECK_MS + 180_000),
);

const lostIn = (events: Json[]) => events.find(({ kind }) => kind === "lost");
