import { connect, type Socket } from "node:net";

/**
 * Keep-alive connections that cost the measuring process as little as can be: requests are bytes made
 * beforehand, of a reply only its end is looked for. Throws on any other class of status than expected; 304 is fine.
 */
export class HttpPool {
  readonly #sockets: Socket[];
  readonly #statusClass: 2 | 4;

  private constructor(sockets: Socket[], statusClass: 2 | 4) {
    this.#sockets = sockets;
    this.#statusClass = statusClass;
  }

  static async open(url: URL, connections: number, statusClass: 2 | 4 = 2): Promise<HttpPool> {
    const sockets = Array.from({ length: connections }, () => {
      const socket = connect({ host: url.hostname, port: Number(url.port), noDelay: true });
      return new Promise<Socket>((resolve, reject) => {
        socket.once("connect", () => resolve(socket)).once("error", reject);
      });
    });
    return new HttpPool(await Promise.all(sockets), statusClass);
  }

  /** Sends every request once, each connection one at a time. */
  async run(requests: readonly Buffer[]): Promise<void> {
    let next = 0;
    await Promise.all(
      this.#sockets.map(async (socket) => {
        for (let request = requests[next++]; request !== undefined; request = requests[next++]) {
          await exchange(socket, request, this.#statusClass);
        }
      }),
    );
  }

  /** False once the server has closed a connection, as it does with idle ones. */
  get isOpen(): boolean {
    return this.#sockets.every(({ readyState }) => readyState === "open");
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}

const HEADERS_END = Buffer.from("\r\n\r\n");
const LAST_CHUNK = Buffer.from("0\r\n\r\n");

function exchange(socket: Socket, request: Buffer, statusClass: 2 | 4): Promise<void> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    if (socket.readyState !== "open") {
      reject(new Error("the connection had been closed"));
      return;
    }
    const done = (error?: Error) => {
      socket.off("data", onData).off("close", onClose);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onClose = () => done(new Error("the connection was closed"));
    const onData = (piece: Buffer) => {
      received = received.length === 0 ? piece : Buffer.concat([received, piece]);
      const end = received.indexOf(HEADERS_END);
      if (end < 0) return;
      const head = received.toString("latin1", 0, end);
      const isUnchanged = head.startsWith("HTTP/1.1 304");
      const length = isUnchanged ? "0" : /\r\ncontent-length: *(\d+)/i.exec(head)?.[1];
      const complete =
        length === undefined
          ? received.subarray(-LAST_CHUNK.length).equals(LAST_CHUNK)
          : received.length >= end + HEADERS_END.length + Number(length);
      if (!complete) return;
      const fine = isUnchanged || head.startsWith(`HTTP/1.1 ${statusClass}`);
      done(fine ? undefined : new Error(`a bench request got another answer:\n${received}`));
    };
    socket.on("data", onData).on("close", onClose);
    socket.write(request);
  });
}

/** A request as bytes. */
export function requestBytes(
  method: string,
  target: string,
  options: {
    token?: string;
    taskToken?: string;
    body?: string;
    type?: string;
    /** `If-None-Match`. */
    known?: string;
  } = {},
): Buffer {
  const { token, taskToken, body, known, type = "application/json" } = options;
  const lines = [`${method} ${target} HTTP/1.1`, "host: bench.test", "accept: application/json"];
  // Baselines are sent the same headers, and do not look at them.
  if (token !== undefined) lines.push(`authorization: Bearer ${token}`);
  if (taskToken !== undefined) lines.push(`assay-task-token: ${taskToken}`);
  if (known !== undefined) lines.push(`if-none-match: ${known}`);
  if (body !== undefined) {
    lines.push(`content-type: ${type}`, `content-length: ${Buffer.byteLength(body)}`);
  }
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n${body ?? ""}`);
}
