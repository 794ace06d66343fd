/** Calls that are retried until the server answers, even if it dies meanwhile. */
import { setTimeout as pause } from "node:timers/promises";
import { patient } from "../patience.ts";

// biome-ignore lint/suspicious/noExplicitAny: replies of every shape
type Json = any;

export interface Reply {
  status: number;
  body: Json;
  text: string;
}

/** A server that is killed repeatedly. */
export interface Target {
  url(): URL;
  /** Number of unanswered calls that were retried. */
  repeated: number;
  /** Channels that nodes have opened, and views that have come by them. */
  sockets: number;
  pushed: number;
  /** The reason to stop all calls; null while the run goes on. */
  stopped: Error | null;
}

const CALL_TIMEOUT_MS = patient(20_000);
const RETRY_MS = 25;

/** Retries until an answer is not 503, the server's own status for a temporary failure. */
export async function call(
  target: Target,
  method: string,
  path: string,
  token: string | null,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Reply> {
  for (;;) {
    if (target.stopped !== null) throw target.stopped;
    try {
      const response = await fetch(new URL(path, target.url()), {
        method,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
      });
      const text = await response.text();
      if (response.status !== 503) {
        return { status: response.status, text, body: text === "" ? null : JSON.parse(text) };
      }
    } catch {
      // The connection broke, and the call may have taken effect: it is repeated.
    }
    target.repeated++;
    await pause(RETRY_MS);
  }
}
