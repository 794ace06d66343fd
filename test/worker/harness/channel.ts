/** Sockets of the channels, as clients hold them. */
import { exports } from "cloudflare:workers";
import { onTestFinished } from "vitest";
import { API, type JobToken, type Json, randomAddress } from "./client.ts";
import { eventually } from "./time.ts";

export interface TestSocket {
  /** What the server has sent, oldest first; JSON is parsed. */
  heard: Json[];
  /** Code and reason of the end; null while it is open. */
  ended: { code: number; reason: string } | null;
  send(message: unknown): void;
  close(code?: number, reason?: string): void;
  /** Waits for so many messages in all, and answers them. */
  hear(count: number): Promise<Json[]>;
  /** Waits for the end. */
  end(): Promise<{ code: number; reason: string }>;
}

/** Asks for a socket, and answers the reply. */
export function askFor(
  url: string,
  { token, protocols }: { token?: string; protocols?: string },
): Promise<Response> {
  const headers = new Headers({ upgrade: "websocket", "cf-connecting-ip": randomAddress() });
  if (token !== undefined) headers.set("authorization", `Bearer ${token}`);
  if (protocols !== undefined) headers.set("sec-websocket-protocol", protocols);
  return exports.default.fetch(new Request(url, { headers }));
}

export function holdOpen({ status, webSocket }: Response): TestSocket {
  if (webSocket === null) throw new Error(`no socket, but ${status}`);
  const held: TestSocket = {
    heard: [],
    ended: null,
    send: (message) => webSocket.send(asMessage(message)),
    close: (code = 1000, reason = "") => webSocket.close(code, reason),
    hear: (count) =>
      eventually(() => {
        if (held.heard.length < count) {
          throw new Error(
            `heard ${JSON.stringify(held.heard)}, ended ${JSON.stringify(held.ended)}`,
          );
        }
        return held.heard;
      }),
    end: () =>
      eventually(() => {
        if (held.ended === null) throw new Error(`still open; heard ${JSON.stringify(held.heard)}`);
        return held.ended;
      }),
  };
  webSocket.addEventListener("message", ({ data }) => {
    held.heard.push(typeof data === "string" && data.startsWith("{") ? JSON.parse(data) : data);
  });
  webSocket.addEventListener("close", ({ code, reason }) => {
    held.ended = { code, reason };
  });
  webSocket.accept();
  onTestFinished(() => {
    if (held.ended === null) webSocket.close();
  });
  return held;
}

function asMessage(message: unknown): string | ArrayBuffer {
  return typeof message === "string" || message instanceof ArrayBuffer
    ? message
    : JSON.stringify(message);
}

export const CHANNEL = `${API}/jobs/current/channel`;

export async function openChannel(job: JobToken): Promise<TestSocket> {
  return holdOpen(await askFor(CHANNEL, { token: job.token }));
}

/** A socket of a node that has joined, with the first view. */
export async function joinChannel(
  job: JobToken,
  taskId: string,
  more: Record<string, unknown> = {},
): Promise<TestSocket> {
  const socket = await openChannel(job);
  const nonce = "n".repeat(22);
  socket.send({ type: "hello", task_id: taskId, task_token: job.taskToken, nonce, ...more });
  await socket.hear(1);
  return socket;
}
