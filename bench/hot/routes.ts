/** The hot routes, each with its request and the floors that it has to reach. */
import { quickMarkResult } from "../../test/fuzz/world.ts";
import { requestBytes } from "../http-pool.ts";
import type { Scene } from "./scene.ts";

const API = "/api/silicon-mark/v1";

export const CONTENDERS = ["product", "plain", "limit"] as const;
export type ContenderName = (typeof CONTENDERS)[number];

/** A floor that is not reached, and why; below 0.95 of it, the bench fails. */
export interface Reached {
  ratio: number;
  /** Where the time goes. */
  because: string;
}

export interface HotRoute {
  /** Name of its reply. */
  name: string;
  title: string;
  /** Requests of one round. */
  requests: number;
  /** Of rates, product to baseline. */
  floors: Record<"plain" | "limit", number>;
  reached?: Partial<Record<"plain" | "limit", Reached>>;
  /** The request to a contender; the same for all of them, unless `isRepeated` is false. */
  request(scene: Scene, contender: Contender): Promise<Buffer>;
  /** False for a request that can be sent once. */
  isRepeated: boolean;
}

/** A contender as requests see it. */
export interface Contender {
  name: ContenderName;
  /** Of its own reply to the node's poll. */
  pollEtag: string;
}

const result = JSON.stringify(quickMarkResult("completed"));
const PLAIN = 0.9;

const poll = ({ node }: Scene, known?: string) =>
  requestBytes("GET", `${API}/jobs/current?task_id=${node.taskId}`, {
    token: node.job.token,
    taskToken: node.taskToken,
    ...(known === undefined ? {} : { known }),
  });

export const HOT_ROUTES: readonly HotRoute[] = [
  {
    name: "catalogue",
    title: "GET /benchmarks",
    requests: 400,
    floors: { plain: PLAIN, limit: 0.75 },
    reached: {
      limit: {
        ratio: 0.4,
        because: "the framework, a token that is looked up, 12 headers and a log line beside 46 µs",
      },
    },
    request: async ({ person: token }) => requestBytes("GET", `${API}/benchmarks`, { token }),
    isRepeated: true,
  },
  {
    name: "poll",
    title: "poll, changed",
    requests: 300,
    floors: { plain: PLAIN, limit: 0.6 },
    reached: {
      plain: { ratio: 0.89, because: "a validator that news of other nodes does not move" },
      limit: {
        ratio: 0.6,
        because: "two tokens, the framework and headers beside a hop of 103 µs",
      },
    },
    request: async (scene) => poll(scene),
    isRepeated: true,
  },
  {
    name: "poll_unchanged",
    title: "poll, unchanged (304)",
    requests: 300,
    floors: { plain: PLAIN, limit: 0.8 },
    reached: {
      plain: { ratio: 0.88, because: "a validator that news of other nodes does not move" },
      limit: {
        ratio: 0.58,
        because: "two tokens, the framework and headers beside a hop of 96 µs",
      },
    },
    request: async (scene, { pollEtag }) => poll(scene, pollEtag),
    isRepeated: true,
  },
  {
    name: "list",
    title: "list of 20 jobs",
    requests: 100,
    floors: { plain: PLAIN, limit: 0.55 },
    reached: {
      limit: {
        ratio: 0.42,
        because: "18 columns and a token for each of 20 rows, decoded, checked, written anew",
      },
    },
    request: async ({ person: token }) => requestBytes("GET", `${API}/jobs`, { token }),
    isRepeated: true,
  },
  {
    name: "detail",
    title: "detail of a settled job",
    requests: 100,
    floors: { plain: PLAIN, limit: 0.55 },
    request: async ({ person: token, settled }) =>
      requestBytes("GET", `${API}/jobs/${settled.id}`, { token }),
    isRepeated: true,
  },
  {
    name: "create",
    title: "creation of a job",
    requests: 40,
    floors: { plain: PLAIN, limit: 0.6 },
    reached: {
      limit: {
        ratio: 0.4,
        because: "the triggers of a job's row, a statement that tells its refusal, and its token",
      },
    },
    request: async ({ person: token }) =>
      requestBytes("POST", `${API}/jobs`, { token, body: '{"benchmarks":[],"tags":["bench"]}' }),
    isRepeated: true,
  },
  {
    name: "result",
    title: "result of a step",
    requests: 32,
    floors: { plain: PLAIN, limit: 0.75 },
    reached: {
      plain: {
        ratio: 0.9,
        because: "the goal, within the noise: a flush to D1 and the digest of a rating are more",
      },
      limit: {
        ratio: 0.43,
        because: "both tokens, and the result's form, bounds and plausibility",
      },
    },
    async request({ freshNode }) {
      const { job, taskId, taskToken } = await freshNode();
      const path = `${API}/jobs/current/tasks/${taskId}/results/0`;
      return requestBytes("PUT", path, { token: job.token, taskToken, body: result });
    },
    isRepeated: false,
  },
  {
    name: "claim",
    title: "claim of an idle runner",
    requests: 300,
    floors: { plain: PLAIN, limit: 0.8 },
    reached: {
      limit: { ratio: 0.45, because: "a key's hash, the machine's form and headers beside 51 µs" },
    },
    request: async ({ runner }) =>
      requestBytes("POST", `/v0/runners/${runner.uuid}/jobs`, { token: runner.key, body: MACHINE }),
    isRepeated: true,
  },
];

const MACHINE = JSON.stringify({ gpu_model: "NVIDIA H100 NVL", gpu_count: 1 });
