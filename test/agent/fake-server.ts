import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type FakeChannel, openFakeChannel } from "./fake-channel.ts";

/** A small server of the node protocol for one job: enough rules to carry agents from join to stop. */

const BASE = "/api/silicon-mark/v1/jobs/current";
export const JOB_ID = "7554621440";
export const JOB_TOKEN = "eyJhbGciOi.test-token.c2lnbmF0dXJl";

export interface Recorded {
  method: string;
  /** Whole, with its query. */
  url: string;
  /** Below /jobs/current, with its query. */
  path: string;
  headers: IncomingMessage["headers"];
  /** The exact text received. */
  text: string;
  /** Empty where none was sent. */
  body: Record<string, unknown>;
}

/**
 * `drop`: the connection is cut without an answer; `hang`: it stays open without one. Replies carry the request's
 * nonce, unless they name another themselves.
 */
export type Canned =
  | { status: number; body?: unknown; headers?: Record<string, string> }
  | "drop"
  | "hang";

interface FakeTask {
  id: string;
  rank: number;
  machineUuid: string;
  clusterAddresses: unknown;
  /** The one by which it has joined; its calls then need its token. */
  secret: string | null;
  joined: Record<string, unknown>;
  progress: number;
  message: string | null;
  /** Result texts by position. */
  results: Map<number, string>;
}

export const taskTokenOf = (taskId: string): string => `eyJhbGciOi.task-${taskId}.c2lnbmF0dXJl`;

export interface FakeServer {
  url: string;
  port: number;
  requests: Recorded[];
  channel: FakeChannel;
  tasks: FakeTask[];
  /** Answers claims, of any runner and with any key; null unless replaced. */
  onClaim: (request: Recorded) => Canned;
  /** The answer to a claim that brings the runner into the job. */
  admit(machineUuid: string): Canned;
  /** Answers in place of the protocol's rules when it returns something. */
  intercept: (request: Recorded) => Canned | undefined;
  /** Holds replies back: what they say has happened, and their nodes have not heard of it. */
  beforeReply: (request: Recorded) => Promise<void>;
  /** Every node is told to stop from now on. */
  abort(): void;
  /** A body of the API's error form. */
  error(status: number, code: string, headers?: Record<string, string>): Canned;
  of(method: string): Recorded[];
  /** Progress that nodes have reported, by requests and then by sockets. */
  beats(): Record<string, unknown>[];
  /** Stops listening; `comeBack` listens again on the same port with the same state. */
  close(): Promise<void>;
  comeBack(): Promise<void>;
}

export async function startFakeServer(
  options: {
    sequence?: { benchmark_id: string; config?: Record<string, unknown> | null }[];
    nodeCount?: number;
    pollAfterSeconds?: number;
    /** The job's expiry, from each reply on. */
    expiresInMs?: number;
    /** Where it listens. */
    address?: string;
  } = {},
): Promise<FakeServer> {
  const { sequence = [{ benchmark_id: "quick_mark" }], nodeCount = 1 } = options;
  const { pollAfterSeconds = 0.2, expiresInMs = 86_400_000, address = "127.0.0.1" } = options;
  let aborted = false;
  const tasks: FakeTask[] = [];

  const isCluster = (position: number): boolean =>
    sequence[position]?.benchmark_id === "cluster_network";
  const nextPosition = (task: FakeTask): number =>
    sequence.findIndex((_, position) => !task.results.has(position));
  const stateOf = (task: FakeTask): string => {
    if (aborted) return "aborted";
    if (nextPosition(task) !== -1) return "running";
    const failed = [...task.results.values()].some((text) => JSON.parse(text).state === "failed");
    return failed ? "failed" : "completed";
  };
  const taskBody = (task: FakeTask) => ({
    id: task.id,
    job_id: JOB_ID,
    rank: task.rank,
    machine_uuid: task.machineUuid,
    state: stateOf(task),
    failed_message: null,
    progress: task.progress,
    message: task.message,
  });

  const view = (task: FakeTask | null): Record<string, unknown> => {
    const position = task === null ? -1 : nextPosition(task);
    const gathered =
      tasks.length === nodeCount && tasks.every((other) => nextPosition(other) >= position);
    const allMayRun =
      !isCluster(position) || gathered || tasks.some((t) => t.results.has(position));
    const directive =
      aborted || (task !== null && position === -1)
        ? "stop"
        : task === null
          ? "join"
          : allMayRun
            ? "run"
            : "wait";
    const runs = directive === "run";
    const cluster = runs && isCluster(position);
    return {
      id: JOB_ID,
      name: "fake",
      state: aborted ? "aborted" : "running",
      version: 1,
      node_count: nodeCount,
      current_nodes: tasks.length,
      benchmark_sequence: sequence.map((item) => ({ config: null, ...item })),
      expires_at: new Date(Date.now() + expiresInMs).toISOString(),
      directive,
      step: runs
        ? {
            position,
            benchmark_id: sequence[position]?.benchmark_id,
            config: sequence[position]?.config ?? null,
            peer_key: cluster ? "ab".repeat(32) : null,
          }
        : null,
      nodes: cluster
        ? tasks.map((t) => ({ rank: t.rank, task_id: t.id, cluster_addresses: t.clusterAddresses }))
        : null,
      task: task === null ? null : taskBody(task),
      poll_after_seconds: pollAfterSeconds,
    };
  };

  const joined = (body: Record<string, unknown>): FakeTask => {
    const rank = tasks.length;
    const task: FakeTask = {
      id: String(Number(JOB_ID) + 1 + rank),
      rank,
      machineUuid: String(body.machine_uuid),
      clusterAddresses: body.cluster_addresses ?? [],
      secret: body.join_secret === undefined ? null : String(body.join_secret),
      joined: body,
      progress: 0,
      message: null,
      results: new Map(),
    };
    tasks.push(task);
    return task;
  };

  const joinedBody = (task: FakeTask) => ({
    ...taskBody(task),
    task_token: task.secret === null ? null : taskTokenOf(task.id),
  });
  const isStranger = (task: FakeTask, { headers }: Recorded): boolean =>
    task.secret !== null && headers["assay-task-token"] !== taskTokenOf(task.id);

  const answer = (request: Recorded): Canned => {
    const { method, path, body } = request;
    if (request.headers.authorization !== `Bearer ${JOB_TOKEN}`) {
      return server.error(401, "CLIENT_TOKEN_INVALID");
    }
    const query = /^(?:\?task_id=(\d+))?$/.exec(path);
    if (method === "GET" && query !== null) {
      const task = tasks.find((t) => t.id === query[1]) ?? null;
      if (task !== null && isStranger(task, request)) return server.error(403, "PERMISSION_DENIED");
      const reply = view(task);
      const etag = etagOf(reply);
      const headers = { etag, "retry-after": String(Math.ceil(pollAfterSeconds)) };
      return request.headers["if-none-match"] === etag
        ? { status: 304, headers }
        : { status: 200, body: reply, headers };
    }
    if (aborted) return server.error(409, "JOB_ENDED");
    if (method === "POST" && path === "/tasks") {
      const known = tasks.find((t) => t.machineUuid === body.machine_uuid);
      if (known !== undefined && known.secret !== (body.join_secret ?? null)) {
        return server.error(409, "MACHINE_IN_USE", { "retry-after": "100" });
      }
      if (known !== undefined) return { status: 200, body: joinedBody(known) };
      if (tasks.length === nodeCount) return server.error(409, "NODE_LIMIT_REACHED");
      return { status: 201, body: joinedBody(joined(body)) };
    }
    const [, id, position] = /^\/tasks\/(\d+)(?:\/results\/(\d+))?$/.exec(path) ?? [];
    const task = tasks.find((t) => t.id === id);
    if (task === undefined) return server.error(404, "RESOURCE_NOT_FOUND");
    if (isStranger(task, request)) return server.error(403, "PERMISSION_DENIED");
    if (method === "PATCH") {
      task.progress = Number(body.progress);
      task.message = String(body.message);
      return { status: 200, body: taskBody(task) };
    }
    const stored = task.results.get(Number(position));
    if (stored !== undefined && stored !== request.text) {
      return server.error(422, "IDEMPOTENCY_KEY_REUSED");
    }
    task.results.set(Number(position), request.text);
    return { status: 200, body: taskBody(task) };
  };

  const http = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on("data", (chunk: Buffer) => chunks.push(chunk));
    req.on("end", () => {
      const text = Buffer.concat(chunks).toString("utf8");
      const request: Recorded = {
        method: req.method ?? "",
        url: req.url ?? "",
        path: (req.url ?? "").slice(BASE.length),
        headers: req.headers,
        text,
        body: text === "" ? {} : JSON.parse(text),
      };
      server.requests.push(request);
      const rules = request.url.startsWith("/v0/runners/") ? server.onClaim : answer;
      const reply = server.intercept(request) ?? rules(request);
      void server.beforeReply(request).then(() => {
        send(res, reply, request);
        channel.push();
      });
    });
  });
  const channel = openFakeChannel(http, {
    path: `${BASE}/channel`,
    token: JOB_TOKEN,
    viewOf(taskId, taskToken) {
      const task = tasks.find(({ id }) => id === taskId);
      if (task === undefined || (task.secret !== null && taskToken !== taskTokenOf(task.id)))
        return null;
      const seen = view(task);
      return { etag: etagOf(seen), view: seen };
    },
    hearProgress(taskId, { progress, message }) {
      const task = tasks.find(({ id }) => id === taskId);
      if (task === undefined) return;
      task.progress = Number(progress);
      task.message = String(message);
    },
  });
  const port = await listen(http, 0, address);

  const server: FakeServer = {
    url: `http://${address.includes(":") ? `[${address}]` : address}:${port}`,
    port,
    requests: [],
    channel,
    tasks,
    intercept: () => undefined,
    beforeReply: async () => {},
    onClaim: () => ({ status: 200, body: null, headers: { "retry-after": "5" } }),
    admit: (machineUuid) => {
      const task = joined({ machine_uuid: machineUuid, join_secret: "of the runner's key" });
      const body = { job_id: JOB_ID, token: JOB_TOKEN, task: joinedBody(task) };
      return { status: 200, body };
    },
    abort: () => {
      aborted = true;
      channel.push();
    },
    error: (status, code, headers = {}) => ({
      status,
      headers,
      body: {
        error: { code, message: `fake ${code}` },
        message: `fake ${code}`,
        request_id: "fake",
        ...(code === "JOB_ENDED" ? { directive: "stop" } : {}),
      },
    }),
    of: (method) => server.requests.filter((request) => request.method === method),
    beats: () => [
      ...server.of("PATCH").map(({ body }) => body),
      ...channel.heard.filter(({ type }) => type === "progress"),
    ],
    close: () =>
      new Promise((resolve) => {
        http.closeAllConnections();
        channel.cut();
        http.close(() => resolve());
      }),
    comeBack: async () => {
      await listen(http, port, address);
    },
  };
  return server;
}

function etagOf(view: Record<string, unknown>): string {
  const text = JSON.stringify({ ...view, expires_at: 0 });
  return `"${createHash("sha256").update(text).digest("hex")}"`;
}

function listen(http: Server, port: number, address: string): Promise<number> {
  return new Promise((resolve, reject) => {
    http.once("error", reject);
    // `as`: a TCP server that listens has an AddressInfo.
    http.listen(port, address, () => resolve((http.address() as AddressInfo).port));
  });
}

function send(res: ServerResponse, canned: Canned, { headers }: Recorded): void {
  if (canned === "hang") return;
  if (canned === "drop") {
    res.destroy();
    return;
  }
  res.writeHead(canned.status, {
    "content-type": "application/json",
    "assay-nonce": headers["assay-nonce"] ?? "",
    ...canned.headers,
  });
  res.end(canned.body === undefined ? undefined : JSON.stringify(canned.body));
}
