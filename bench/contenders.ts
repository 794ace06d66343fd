/** The measured pairs: each route of the product against the least code that could answer the same. */
import { randomUUID } from "node:crypto";
import { createWorld, type Node, quickMarkResult, type World } from "../test/fuzz/world.ts";
import { HttpPool, requestBytes } from "./http-pool.ts";
import type { Contender } from "./rounds.ts";
import type { Baseline, Stage } from "./stage.ts";

const API = "/api/silicon-mark/v1";
const CONNECTIONS = 8;
const LISTED_JOBS = 30;
const NODES_OF_A_JOB = 128;

export interface Match {
  name: string;
  floor: number;
  /** Requests of one round. */
  requests: number;
  baseline: Omit<Baseline, "payload">;
  /** The product's request; its reply is the baseline's payload. */
  target(scene: Scene): Promise<Buffer>;
  /** The baseline's. */
  same: Buffer;
}

export interface Scene {
  world: World;
  /** A node whose step runs. */
  node: Node;
  /** Another one each time. */
  freshNode(): Promise<Node>;
  /** Jobs of the fresh nodes, the latest last. */
  jobs: readonly Node["job"][];
}

const result = JSON.stringify(quickMarkResult("completed"));

export const MATCHES: readonly Match[] = [
  {
    // No route is trivial: this one asks nothing of D1 or of an object, and answers what never changes.
    name: "GET /benchmarks ÷ bare Hono route",
    floor: 0.75,
    requests: 400,
    baseline: { name: "hono", file: "hono-route" },
    target: async ({ world }) =>
      requestBytes("GET", `${API}/benchmarks`, { token: world.ownerToken() }),
    same: requestBytes("GET", "/"),
  },
  {
    // The baseline has the duties of every reply of this API, headers and a log line: the rest is our own code.
    name: "GET /benchmarks ÷ Hono with headers, log",
    floor: 0.75,
    requests: 400,
    baseline: { name: "hono-dressed", file: "hono-dressed" },
    target: async ({ world }) =>
      requestBytes("GET", `${API}/benchmarks`, { token: world.ownerToken() }),
    same: requestBytes("GET", "/"),
  },
  {
    name: "poll ÷ bare object-RPC route",
    floor: 0.62,
    requests: 300,
    baseline: { name: "object-read", file: "object-route" },
    target: async ({ node }) =>
      requestBytes("GET", `${API}/jobs/current?task_id=${node.taskId}`, {
        token: node.job.token,
        taskToken: node.taskToken,
      }),
    same: requestBytes("GET", "/"),
  },
  {
    name: "list ÷ bare SELECT 1 route",
    floor: 0.58,
    requests: 100,
    baseline: { name: "select-one", file: "select-one" },
    target: async ({ world }) => requestBytes("GET", `${API}/jobs`, { token: world.ownerToken() }),
    same: requestBytes("GET", "/"),
  },
  {
    name: "result ÷ bare one-row object write",
    floor: 0.75,
    requests: 32,
    baseline: { name: "object-write", file: "object-route" },
    async target({ freshNode }) {
      const { job, taskId, taskToken } = await freshNode();
      const path = `${API}/jobs/current/tasks/${taskId}/results/0`;
      return requestBytes("PUT", path, { token: job.token, taskToken, body: result });
    },
    same: requestBytes("PUT", "/", { body: result }),
  },
];

/** People, jobs to list, and nodes to poll and report. */
export async function createScene(stage: Stage): Promise<Scene> {
  const world = await createWorld({ url: stage.url, db: stage.db });
  for (let job = 0; job < LISTED_JOBS; job++) {
    await world.createJob({ name: `Bench ${randomUUID()}`, tags: ["bench", "production"] });
  }
  const node = await world.join(await world.createJob({}));
  const jobs: Node["job"][] = [];
  let left = 0;
  return {
    world,
    node,
    jobs,
    async freshNode() {
      if (left === 0) {
        jobs.splice(0, Math.max(0, jobs.length - 1));
        jobs.push(await world.createJob({ node_count: NODES_OF_A_JOB }));
        left = NODES_OF_A_JOB;
      }
      left--;
      const job = jobs.at(-1);
      if (job === undefined) throw new Error("There is no job to join");
      return await world.join(job);
    },
  };
}

/** A match's two sides on a stage. */
export async function contendersOf(
  match: Match,
  stage: Stage,
  scene: Scene,
): Promise<{ product: Contender; baseline: Contender; close(): void }> {
  const [pool, barePool] = await Promise.all([
    HttpPool.open(stage.url, CONNECTIONS),
    HttpPool.open(await stage.urlOf(match.baseline.name), CONNECTIONS),
  ]);
  const repeated = match.same.toString().startsWith("GET");
  const side = (http: HttpPool, request: () => Promise<Buffer>): Contender => ({
    async prepare() {
      if (repeated) return Array<Buffer>(match.requests).fill(await request());
      const requests: Buffer[] = [];
      for (let n = 0; n < match.requests; n++) requests.push(await request());
      // Work that joining has left to do is not part of the result.
      await scene.world.settle();
      return requests;
    },
    run: (requests) => http.run(requests),
    async settle() {
      if (repeated) return;
      for (const job of scene.jobs) scene.world.changed(job);
      await scene.world.settle();
    },
  });
  return {
    product: side(pool, () => match.target(scene)),
    baseline: side(barePool, async () => match.same),
    close() {
      pool.close();
      barePool.close();
    },
  };
}
