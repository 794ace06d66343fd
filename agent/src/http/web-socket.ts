import type { IncomingMessage } from "node:http";
import { openConnection, type Route } from "./connection.ts";

/** As of replies; the server's messages are far smaller. */
const MAX_MESSAGE_BYTES = 4 * 2 ** 20;
/** A message in pieces is somebody else's: the server sends each in one. */
const MAX_FRAGMENTS = 64;
/** For the other side to close, too, before the connection is cut. */
const GOODBYE_MS = 1_000;

/** An open WebSocket that carries text. */
export interface TextSocket {
  send(text: string): void;
  /** Says goodbye; the connection ends soon, whatever the other side does. */
  close(): void;
}

/** What happens to a socket once it is open. */
export interface SocketListener {
  text(text: string): void;
  /** By a close frame; 1006 for a connection that ended without one. Once, as `broken`. */
  closed(code: number, reason: string): void;
  /** @param breaksProtocol what came is no WebSocket, is not text or is too long */
  broken(why: string, breaksProtocol: boolean): void;
}

/**
 * Asks a server for a WebSocket, through its proxy by CONNECT, also without TLS.
 *
 * @param within time for an answer once the connection stands, ms
 * @returns the reply of whoever refuses; "silence" where nobody answers in time
 * @throws with a message for people when there is no connection, or it breaks
 */
export async function openWebSocket(
  route: Route,
  asked: { url: URL; headers: Record<string, string> },
  listener: SocketListener,
  within: number,
  signal: AbortSignal,
): Promise<TextSocket | IncomingMessage | "silence"> {
  // Whoever polls needs none of it.
  const { WebSocket } = await import("ws");
  const connection = await openConnection({ ...route, isTunnelled: true }, signal);
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(asked.url, {
      headers: asked.headers,
      createConnection: () => connection,
      maxPayload: MAX_MESSAGE_BYTES,
      maxFragments: MAX_FRAGMENTS,
      // Memory for decompression would be the other side's to choose.
      perMessageDeflate: false,
    });
    /** Before it is open there is nobody to tell but the caller. */
    let isTold = true;
    const abort = (): void => {
      connection.destroy();
      reject(signal.reason);
    };
    const settled = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
    };
    const timer = setTimeout(() => {
      settled();
      connection.destroy();
      resolve("silence");
    }, within);
    signal.addEventListener("abort", abort, { once: true });
    const end = (tell: () => void): void => {
      if (!isTold) tell();
      isTold = true;
    };
    socket.on("unexpected-response", (_request, response) => {
      settled();
      resolve(response);
    });
    socket.on("error", (error: Error & { code?: string }) => {
      settled();
      reject(error);
      end(() => listener.broken(error.message, error.code?.startsWith("WS_ERR_") === true));
      connection.destroy();
    });
    socket.on("open", () => {
      settled();
      isTold = false;
      resolve({
        send: (text) => socket.send(text, () => {}),
        close() {
          isTold = true;
          socket.close(1000);
          setTimeout(() => connection.destroy(), GOODBYE_MS).unref();
        },
      });
    });
    socket.on("message", (data, isBinary) => {
      if (isTold) return;
      if (isBinary) end(() => listener.broken("it sends binary messages", true));
      else listener.text(data.toString());
    });
    socket.on("close", (code, reason) => end(() => listener.closed(code, reason.toString())));
  });
}
