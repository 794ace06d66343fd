/** Calls that go on until they are answered, however often the server dies meanwhile. */
import { pause } from "./random.ts";

// biome-ignore lint/suspicious/noExplicitAny: replies of every shape
type Json = any;

export interface Reply {
  status: number;
  body: Json;
  text: string;
}

/** A server that is killed now and then. */
export interface Target {
  url(): URL;
  /** Counts calls that were not answered and were made again. */
  repeated: number;
  /** Why nothing more should be tried; null while all is well. */
  stopped: Error | null;
}

const CALL_TIMEOUT_MS = 20_000;
const RETRY_MS = 25;

/** The first answer that is no 503: the server says itself when it cannot. */
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
      // The connection broke: nobody knows whether the call took effect.
    }
    target.repeated++;
    await pause(RETRY_MS);
  }
}
