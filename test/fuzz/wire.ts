/** Requests as they go over the wire, byte by byte: `fetch` would mend half of what is tried here. */
import { type Agent, type IncomingHttpHeaders, request } from "node:http";

export interface WireRequest {
  method: string;
  /** Path and query, encoded as they are sent. */
  target: string;
  headers: Record<string, string>;
  body: Uint8Array | null;
  /** Sent in pieces and without a length. */
  chunked: boolean;
}

export interface Reply {
  method: string;
  status: number;
  headers: IncomingHttpHeaders;
  body: Buffer;
}

const CHUNK_BYTES = 16 * 1_024;
/** A longer body may be refused before all of it was read, and the connection closed. */
const SHARED_CONNECTION_BYTES = 64 * 1_024;
/** Nothing here takes a second; what takes this long hangs. */
const TIMEOUT_MS = 60_000;

/**
 * Sends and answers the reply. A server that refuses a long body may close while we still write, and
 * Node then throws away what had arrived: such a request is made again.
 */
export async function send(origin: URL, agent: Agent, wire: WireRequest): Promise<Reply> {
  const long = (wire.body?.length ?? 0) > SHARED_CONNECTION_BYTES;
  for (let left = long ? 20 : 3; ; left--) {
    try {
      return await exchange(origin, long ? false : agent, wire);
    } catch (error) {
      // A kept connection may have been closed as we began to write: nobody has read the request then.
      const mayRepeat = long || error instanceof ClosedConnectionError;
      if (left <= 1 || !mayRepeat) throw error;
    }
  }
}

class ClosedConnectionError extends Error {}

function exchange(origin: URL, agent: Agent | false, wire: WireRequest): Promise<Reply> {
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
        incoming.on("data", (piece: Buffer) => pieces.push(piece));
        incoming.on("end", () => {
          const { statusCode: status = 0, headers } = incoming;
          resolve({ method, status, headers, body: Buffer.concat(pieces) });
          if (!outgoing.writableFinished) outgoing.destroy();
        });
        incoming.on("error", reject);
      },
    );
    outgoing.setTimeout(TIMEOUT_MS, () => outgoing.destroy(new Error("no answer in time")));
    outgoing.on("error", (error) => {
      if (answered) return;
      const message = `no answer: ${error.message}`;
      reject(outgoing.reusedSocket ? new ClosedConnectionError(message) : new Error(message));
    });
    /** Looks for an answer before each piece: after it there is no point in sending more. */
    const write = (at: number): void => {
      if (answered) return;
      if (body === null || at >= body.length) outgoing.end();
      else {
        const piece = body.subarray(at, at + CHUNK_BYTES);
        outgoing.write(piece, () => setImmediate(write, at + CHUNK_BYTES));
      }
    };
    write(0);
  });
}

/** The request as a command for bash; what is too long to paste is shortened, and says so. */
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

const SHOWN = 2_000;

function quote(text: string): string {
  const shown = text.length > SHOWN ? `${text.slice(0, SHOWN)}[… ${text.length} characters]` : text;
  return `'${shown.replaceAll("'", "'\\''")}'`;
}

function quoteBytes(bytes: Uint8Array): string {
  const shown = [...bytes.subarray(0, SHOWN)].map((byte) =>
    byte >= 0x20 && byte < 0x7f && byte !== 0x27 && byte !== 0x5c
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, "0")}`,
  );
  const rest = bytes.length > SHOWN ? `[… ${bytes.length} bytes]` : "";
  return `$'${shown.join("")}${rest}'`;
}
