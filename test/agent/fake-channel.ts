/** The node channel of the fake server, over real sockets: hello, views, pongs, and whatever a test does instead. */
import type { IncomingMessage, Server } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";

type Message = Record<string, unknown>;

interface Seen {
  etag: string;
  view: Message;
}

export interface FakeChannel {
  /** All requests for a socket, oldest first. */
  asked: IncomingMessage[];
  /** All that clients have sent but pings, oldest first; JSON is parsed. */
  heard: Message[];
  pings: number;
  /** Sockets whose hello was answered and that are open, oldest first. */
  open: { taskId: string; etag: string; socket: WebSocket }[];
  /** Answers a request for a socket itself when it returns true. */
  onUpgrade: (request: IncomingMessage, connection: Duplex) => boolean;
  /** Holds a socket itself, from before the hello, when it returns true. */
  onSocket: (socket: WebSocket) => boolean;
  /** Answers a ping in place of a pong when it returns true. */
  onPing: (socket: WebSocket) => boolean;
  /** Sends each node its view if that has changed. */
  push(): void;
  /** Closes all sockets with a code. */
  close(code: number, reason?: string): void;
  /** Cuts all connections. */
  cut(): void;
}

export function openFakeChannel(
  http: Server,
  rules: {
    path: string;
    token: string;
    /** Null for a stranger. */
    viewOf: (taskId: string, taskToken: unknown) => Seen | null;
    hearProgress: (taskId: string, message: Message) => void;
  },
): FakeChannel {
  const sockets = new WebSocketServer({ noServer: true });
  const connections = new Set<Duplex>();
  const tokens = new WeakMap<WebSocket, unknown>();

  const greet = (socket: WebSocket, hello: Message): void => {
    const taskId = String(hello.task_id);
    const seen = rules.viewOf(taskId, hello.task_token);
    if (seen === null) {
      socket.close(4003, "the task token is dead");
      return;
    }
    const { nonce } = hello;
    const view = hello.known_etag === seen.etag ? null : seen.view;
    for (const older of channel.open.filter((each) => each.taskId === taskId)) {
      older.socket.close(4001, "the task has opened another socket");
    }
    channel.open.push({ taskId, etag: seen.etag, socket });
    tokens.set(socket, hello.task_token);
    socket.send(JSON.stringify({ type: "view", etag: seen.etag, view, nonce }));
  };

  const hold = (socket: WebSocket): void => {
    socket.on("error", () => {});
    socket.on("close", () => {
      channel.open = channel.open.filter((each) => each.socket !== socket);
    });
    if (channel.onSocket(socket)) return;
    socket.on("message", (data) => {
      const text = data.toString();
      if (text === "ping") {
        channel.pings += 1;
        if (!channel.onPing(socket)) socket.send("pong");
        return;
      }
      const message: Message = JSON.parse(text);
      channel.heard.push(message);
      const own = channel.open.find((each) => each.socket === socket);
      if (message.type === "hello") greet(socket, message);
      else if (own !== undefined) rules.hearProgress(own.taskId, message);
    });
  };

  http.on("upgrade", (request: IncomingMessage, connection: Duplex, head: Buffer) => {
    connections.add(connection);
    connection.on("error", () => {});
    connection.on("close", () => connections.delete(connection));
    channel.asked.push(request);
    if (channel.onUpgrade(request, connection)) return;
    if (request.url !== rules.path || request.headers.authorization !== `Bearer ${rules.token}`) {
      return void connection.end("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n");
    }
    sockets.handleUpgrade(request, connection, head, hold);
  });

  const channel: FakeChannel = {
    asked: [],
    heard: [],
    pings: 0,
    open: [],
    onUpgrade: () => false,
    onSocket: () => false,
    onPing: () => false,
    push() {
      for (const each of channel.open) {
        const seen = rules.viewOf(each.taskId, tokens.get(each.socket));
        if (seen === null || seen.etag === each.etag) continue;
        each.etag = seen.etag;
        each.socket.send(JSON.stringify({ type: "view", ...seen }));
        if (seen.view.directive === "stop") each.socket.close(1000, "the job has ended");
      }
    },
    close(code, reason) {
      for (const { socket } of channel.open) socket.close(code, reason);
    },
    cut() {
      for (const connection of connections) connection.destroy();
    },
  };
  return channel;
}
