/** Raw HTTP requests, because `fetch` would correct many of the faults under test. */
import { type Agent, type IncomingHttpHeaders, request } from "node:http";

export interface WireRequest {
  method: string;
  /** Encoded path and query. */
  target: string;
  headers: Record<string, string>;
  body: Uint8Array | null;
  /** True to send the body in chunks without a length. */
  chunked: boolean;
}

export interface Reply {
  method: string;
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

const CHUNK_BYTES = 16 * 1_024;
/** A longer body gets its own connection: the server may refuse it early and close the connection. */
const SHARED_CONNECTION_BYTES = 64 * 1_024;
/** A request takes less than a second, so one that takes this long hangs. */
const TIMEOUT_MS = 60_000;
/** Pauses before each piece of a long body, in ms: one for each attempt. */
const PAUSES_MS = [0, 1, 5, 20, 50, 100, 200, 400];
/** Pieces with a pause before them; a server that answers early does it within them. */
const PACED_PIECES = 80;

/**
 * Sends a request and returns the reply. A server that answers before it has read a long body closes the connection,
 * and Node then discards what it has not read of the reply. Such a request is repeated more slowly, with a pause before
 * the first piece too: a connection on which nothing was left unread is closed in order.
 */
export async function send(origin: URL, agent: Agent, wire: WireRequest): Promise<Reply> {
  const long = (wire.body?.length ?? 0) > SHARED_CONNECTION_BYTES;
  const pauses = long ? PAUSES_MS : [0, 0, 0];
  for (const [attempt, pauseMs] of pauses.entries()) {
    try {
      return await exchange(origin, long ? false : agent, wire, pauseMs);
    } catch (error) {
      // The server may close a reused connection just before the write, and then has not read the request.
      const mayRepeat = long || error instanceof ClosedConnectionError;
      if (attempt + 1 === pauses.length || !mayRepeat) throw error;
    }
  }
  throw new Error("Every attempt either returns or throws");
}

class ClosedConnectionError extends Error {}

function exchange(
  origin: URL,
  agent: Agent | false,
  wire: WireRequest,
  pauseMs: number,
): Promise<Reply> {
  const { method, target, body, chunked } = wire;
  const length = body !== null && !chunked ? { "content-length": String(body.length) } : {};
  return new Promise((resolve, reject) => {
    let answered = false;
    const outgoing = request(
      {
        agent,
        method,
        host: origin.hostname,
        port: origin.port,
        path: target,
        headers: { ...wire.headers, ...length },
      },
      (incoming) => {
        answered = true;
        const pieces: Buffer[] = [];
        const finish = () => {
          const { statusCode: status = 0, headers } = incoming;
          resolve({ method, status, headers, body: Buffer.concat(pieces) });
          if (!outgoing.writableFinished) outgoing.destroy();
        };
        incoming.on("data", (piece: Buffer) => {
          pieces.push(piece);
          // Such a stream goes on for as long as its job does.
          if (incoming.headers["content-type"] !== "text/event-stream") return;
          finish();
          outgoing.destroy();
        });
        incoming.on("end", finish);
        incoming.on("error", reject);
      },
    );
    outgoing.on("upgrade", ({ statusCode: status = 0, headers }, socket) => {
      answered = true;
      socket.destroy();
      resolve({ method, status, headers, body: Buffer.alloc(0) });
    });
    outgoing.setTimeout(TIMEOUT_MS, () => outgoing.destroy(new Error("no answer in time")));
    outgoing.on("error", (error) => {
      if (answered) return;
      const message = `no answer: ${error.message}`;
      reject(outgoing.reusedSocket ? new ClosedConnectionError(message) : new Error(message));
    });
    /** Writes piece by piece, and stops as soon as the server has answered. */
    const write = (at: number): void => {
      if (answered) return;
      if (body === null || at >= body.length) outgoing.end();
      else outgoing.write(body.subarray(at, at + CHUNK_BYTES), () => writeLater(at + CHUNK_BYTES));
    };
    const writeLater = (at: number): void => {
      setTimeout(write, at < PACED_PIECES * CHUNK_BYTES ? pauseMs : 0, at);
    };
    if (pauseMs === 0) write(0);
    else {
      outgoing.flushHeaders();
      writeLater(0);
    }
  });
}

/** The request as a curl command for bash; long parts are shortened and marked. */
export function toCurl(
  origin: URL,
  { method, target, headers, body, chunked }: WireRequest,
): string {
  const parts = ["curl", "-sS", "--path-as-is", "-X", method];
  for (const [name, value] of Object.entries(headers)) parts.push("-H", quote(`${name}: ${value}`));
  if (chunked) parts.push("-H", quote("transfer-encoding: chunked"));
  if (body !== null) parts.push("--data-binary", quoteBytes(body));
  parts.push(quote(`${origin.origin}${target}`));
  return parts.join(" ");
}

const EXCERPT_LENGTH = 2_000;

function quote(text: string): string {
  const excerpt =
    text.length > EXCERPT_LENGTH
      ? `${text.slice(0, EXCERPT_LENGTH)}[… ${text.length} characters]`
      : text;
  return `'${excerpt.replaceAll("'", "'\\''")}'`;
}

function quoteBytes(bytes: Uint8Array): string {
  const excerpt = [...bytes.subarray(0, EXCERPT_LENGTH)].map((byte) =>
    byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, "0")}`,
  );
  const rest = bytes.length > EXCERPT_LENGTH ? `[… ${bytes.length} bytes]` : "";
  return `$'${excerpt.join("")}${rest}'`;
}
