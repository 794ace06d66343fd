/**
 * The model's node: jobs of 4 nodes that last an hour. Three nodes join at once, run QuickMark and wait for the fourth,
 * which comes late; then all run the cluster step together. So 80 % of their time is waiting.
 */
import { randomUUID } from "node:crypto";
import { MINUTE_MS, SECOND_MS } from "../src/lib/clock.ts";
import { clusterFigures, quickMarkFigures, stepResult } from "../test/world/results.ts";
import { type CostStage, hours } from "./cost-stage.ts";
import { type NodeSocket, openSocket } from "./node-socket.ts";

const API = "/api/silicon-mark/v1";
const NODES = 4;
/** As long as the agent's takes at most. */
const QUICK_MARK_MS = MINUTE_MS;
/** The early nodes wait for all but what they run: with both steps 9.47 minutes long, 80 % of all nodes' time. */
const CLUSTER_MS = 8.47 * MINUTE_MS;
const PROGRESS_MS = 30 * SECOND_MS;
/** Agents ping this often. */
export const PING_MS = 45 * SECOND_MS;
/** Jobs begin one after the other. */
const APART_MS = 97 * SECOND_MS;

export type Transport = "polling" | "channel";

/** Hours that nodes have been there in a job. */
export const NODE_HOURS = ((NODES - 1) * hours(1) + QUICK_MARK_MS + CLUSTER_MS) / hours(1);

interface View {
  directive: string;
  step: { position: number; benchmark_id: string } | null;
  poll_after_seconds: number;
}

/** Runs jobs to their end, reports included. */
export async function runJobs(stage: CostStage, transport: Transport, jobs: number): Promise<void> {
  const start = stage.now;
  for (let job = 0; job < jobs; job++) {
    stage.at(start + job * APART_MS, "job", () => startJob(stage, transport));
  }
  await stage.run(start + hours(1) + jobs * APART_MS + 5 * MINUTE_MS, { cron: true });
}

async function startJob(stage: CostStage, transport: Transport): Promise<void> {
  const begun = stage.now;
  const owner = await stage.signIn();
  const body = { node_count: NODES, benchmarks: ["cluster_network"] };
  const { body: job } = await stage.call("POST", `${API}/jobs`, owner, { body });
  for (let rank = 0; rank < NODES; rank++) {
    const late = rank < NODES - 1 ? rank * SECOND_MS : hours(1) - QUICK_MARK_MS - CLUSTER_MS;
    stage.at(begun + late, "job", () => new CostNode(stage, transport, job.token, rank).join());
  }
}

class CostNode {
  readonly #stage: CostStage;
  readonly #transport: Transport;
  readonly #token: string;
  readonly #rank: number;
  #taskId = "";
  #taskToken = "";
  #etag = "";
  #socket: NodeSocket | undefined;
  /** Steps begun. */
  #begun = 0;
  #hasStopped = false;

  constructor(stage: CostStage, transport: Transport, token: string, rank: number) {
    this.#stage = stage;
    this.#transport = transport;
    this.#token = token;
    this.#rank = rank;
  }

  async join(): Promise<void> {
    const machine = { machine_uuid: randomUUID(), gpu_model: "NVIDIA H100 80GB HBM3" };
    const body = { ...machine, gpu_count: 8, join_secret: `${randomUUID()}-bench` };
    const joined = await this.#stage.call("POST", `${API}/jobs/current/tasks`, this.#token, {
      body,
    });
    this.#taskId = joined.body.id;
    this.#taskToken = joined.body.task_token;
    const begin = this.#transport === "polling" ? () => this.#poll() : () => this.#connect();
    this.#stage.at(this.#stage.now, "contact", begin);
  }

  #call(method: string, path: string, more: { body?: object; headers?: object } = {}) {
    const headers = { "assay-task-token": this.#taskToken, ...more.headers };
    const body = more.body === undefined ? {} : { body: more.body };
    return this.#stage.call(method, `${API}/jobs/current${path}`, this.#token, {
      ...body,
      headers,
    });
  }

  async #poll(): Promise<void> {
    const headers = this.#etag === "" ? {} : { "if-none-match": this.#etag };
    const reply = await this.#call("GET", `?task_id=${this.#taskId}`, { headers });
    this.#etag = reply.headers.get("etag") ?? "";
    const wait = Number(reply.headers.get("retry-after")) * SECOND_MS;
    const view: View | null = reply.body;
    if (view !== null) this.#follow(view);
    if (this.#hasStopped || (view !== null && view.directive === "run")) return;
    this.#stage.at(this.#stage.now + wait, "contact", () => this.#poll());
  }

  async #connect(): Promise<void> {
    const path = `${API}/jobs/current/channel`;
    const socket = await openSocket(this.#stage.url, path, this.#token);
    this.#socket = socket;
    const hello = { type: "hello", task_id: this.#taskId, task_token: this.#taskToken };
    socket.send(JSON.stringify({ ...hello, nonce: "n".repeat(22) }));
    this.#hear(await socket.next());
    void this.#listen(socket);
    this.#stage.at(this.#stage.now + PING_MS, "contact", () => this.#ping(socket));
  }

  async #listen(socket: NodeSocket): Promise<void> {
    for (let text = await socket.next(); text !== null; text = await socket.next())
      this.#hear(text);
  }

  #hear(text: string | null): void {
    if (text === null || text === "pong") return;
    const { view, type }: { type: string; view: View | null } = JSON.parse(text);
    if (type !== "view") throw new Error(`the server says ${text}`);
    if (view !== null) this.#follow(view);
  }

  async #ping(socket: NodeSocket): Promise<void> {
    if (!socket.isOpen) return;
    socket.send("ping");
    this.#stage.at(this.#stage.now + PING_MS, "contact", () => this.#ping(socket));
  }

  #follow({ directive, step }: View): void {
    this.#hasStopped ||= directive === "stop";
    if (directive !== "run" || step === null || step.position < this.#begun) return;
    this.#begun = step.position + 1;
    const isCluster = step.benchmark_id === "cluster_network";
    const [from, length] = [this.#stage.now, isCluster ? CLUSTER_MS : QUICK_MARK_MS];
    for (let late = PROGRESS_MS; late < length; late += PROGRESS_MS) {
      this.#stage.at(from + late, "contact", () => this.#report(late / length));
    }
    const figures = isCluster ? clusterFigures(this.#rank, NODES, 400) : quickMarkFigures(700);
    const end = () => this.#end(step.position, stepResult("completed", figures));
    // A few seconds apart, so that each is counted with what follows it.
    this.#stage.at(from + length + this.#rank * SECOND_MS, "job", end);
  }

  async #report(progress: number): Promise<void> {
    const body = { progress, message: `${Math.round(progress * 100)} %` };
    if (this.#socket?.isOpen) this.#socket.send(JSON.stringify({ type: "progress", ...body }));
    else await this.#call("PATCH", `/tasks/${this.#taskId}`, { body });
  }

  async #end(position: number, body: object): Promise<void> {
    await this.#call("PUT", `/tasks/${this.#taskId}/results/${position}`, { body });
    if (this.#transport === "polling") {
      this.#stage.at(this.#stage.now, "contact", () => this.#poll());
    }
  }
}
