import { connect, createServer, type Server, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import type { Bounds } from "../../agent/src/cluster-network/bounds.ts";
import { type Channel, createChannel } from "../../agent/src/cluster-network/channel.ts";
import type { Identity } from "../../agent/src/cluster-network/handshake.ts";
import type { PeerRules } from "../../agent/src/cluster-network/peer-address.ts";
import { measureLinks } from "../../agent/src/cluster-network/step.ts";
import type { StepOutcome } from "../../agent/src/protocol.ts";
import { rulesOf, shortBounds, until } from "./helpers.ts";

export const KEY = "5a".repeat(32);
const JOB = "7554621440";

export function identity(rank: number, overrides: Partial<Identity> = {}): Identity {
  return { jobId: JOB, position: 1, key: Buffer.from(KEY, "hex"), rank, ...overrides };
}

export interface Link {
  source_rank: number;
  target_rank: number;
  bandwidth_gbps?: number;
  latency_ms?: number;
  error?: string;
}

export interface ClusterNodeRun {
  outcome: Promise<StepOutcome>;
  messages: string[];
  progress: number[];
  logs: string[];
  abort: () => void;
}

/** Starts the cluster step of node `rank`; `ports[r]` is where node r is said to listen. */
export function startNode(
  rank: number,
  ports: number[],
  overrides: {
    bounds?: Partial<Bounds>;
    durationMs?: number;
    /** Of each node one, several or none. */
    addresses?: (string | string[] | null)[];
    rules?: Partial<PeerRules>;
  } = {},
): ClusterNodeRun {
  const { durationMs = 30, addresses = ports.map((port) => `127.0.0.1:${port}`) } = overrides;
  const interrupt = new AbortController();
  const [messages, progress, logs]: [string[], number[], string[]] = [[], [], []];
  const outcome = measureLinks(
    { position: 1, peerKey: KEY },
    {
      jobId: JOB,
      taskId: `task-${rank}`,
      nodes: addresses.map((given, r) => ({
        rank: r,
        taskId: `task-${r}`,
        clusterAddresses: [given ?? []].flat(),
      })),
      report: (value, message) => {
        progress.push(value);
        messages.push(message);
      },
      signal: interrupt.signal,
    },
    {
      rules: { ...rulesOf({ host: "127.0.0.1", port: ports[rank] ?? 0 }), ...overrides.rules },
      bounds: { ...shortBounds, ...overrides.bounds },
      log: (line) => logs.push(line),
      durationMs,
    },
  );
  return { outcome, messages, progress, logs, abort: () => interrupt.abort() };
}

/** The measurements of an outcome or of a result's body, whichever way it ended. */
export function linksOf(outcome: { results?: unknown }): Link[] {
  // `as`: the shape is what the tests go on to assert.
  const results = (outcome.results ?? {}) as { measurements?: Link[] };
  return results.measurements ?? [];
}

/** A loopback connection as two framed channels, and the raw sockets below. */
export async function channelPair(): Promise<{
  connector: Channel;
  acceptor: Channel;
  sockets: [Socket, Socket];
  close: () => void;
}> {
  let accepted: Socket | null = null;
  const server = createServer((socket) => {
    accepted = socket;
  });
  const port = await listenOn(server, 0);
  const dialled = connect(port, "127.0.0.1");
  await until(() => accepted !== null && !dialled.connecting, "a loopback connection");
  server.close();
  // `as`: assigned in a callback, which the compiler does not follow.
  const socket = accepted as unknown as Socket;
  const pair = { connector: createChannel(dialled), acceptor: createChannel(socket) };
  const close = (): void => {
    pair.connector.close("test over");
    pair.acceptor.close("test over");
  };
  return { ...pair, sockets: [dialled, socket], close };
}

/** Closes the server and its connections at the end of the test. */
export function keep(server: Server): Server {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket.on("error", () => {})));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise<void>((resolve) => void server.close(() => resolve()));
  });
  return server;
}

export function listenOn(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : 0);
    });
  });
}

/** Answers true if a TCP connection to the port is accepted. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
