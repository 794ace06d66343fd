/** Calls of the public API. Whatever goes wrong becomes a `Fault`, which pages show in words. */
import createClient, { type Middleware } from "openapi-fetch";
import type { paths } from "../../public/client.d.ts";
import { words } from "../words.ts";
import { session } from "./session.ts";

export type { Schemas } from "./schemas.ts";

/** Longer than any reply of the API takes but the streams. */
const TIMEOUT_MS = 30_000;

export type FaultKind =
  | "unreachable"
  | "timeout"
  | "signed_out"
  | "forbidden"
  | "missing"
  | "limited"
  | "refused"
  | "server";

export interface Fault {
  kind: FaultKind;
  message: string;
  /** Of a field of the request. */
  details: readonly { field: string; message: string }[];
  /** Names the request in the server's log. */
  requestId: string | null;
}

export type Outcome<Data> =
  | { ok: true; data: Data; response: Response }
  | { ok: false; fault: Fault };

/** Sends the session's token; without one the request stays as it is. */
const authorize: Middleware = {
  async onRequest({ request }) {
    const token = await session.credential();
    if (token !== null) request.headers.set("Authorization", `Bearer ${token}`);
    return request;
  },
};

export const api = createClient<paths>({
  baseUrl: location.origin,
  // Looked up at each call, so that the browser's own replacement counts.
  fetch: (request) => fetch(request),
});
api.use(authorize);

/** For links to one job that need no session: no token travels. */
export const openApi = createClient<paths>({ baseUrl: location.origin });

interface Reply<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/**
 * Waits for a call of the API.
 *
 * @param send receives the signal that ends the call: that of the caller, or a time-out
 */
export async function call<Data>(
  send: (signal: AbortSignal) => Promise<Reply<Data>>,
  signal?: AbortSignal,
): Promise<Outcome<Data>> {
  const timeout = AbortSignal.timeout(TIMEOUT_MS);
  const both = signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
  try {
    const first = await send(both);
    // A token may have been revoked before its time; a session gets another one, once.
    const isStale = first.response.status === 401 && session.isOpen;
    if (isStale) await session.renew();
    const reply = isStale && session.isOpen ? await send(both) : first;
    return toOutcome(reply);
  } catch (error) {
    if (signal?.aborted === true) throw error;
    const kind = timeout.aborted ? "timeout" : "unreachable";
    return { ok: false, fault: faultOf(kind, words.faults[kind]) };
  }
}

function toOutcome<Data>({ data, error, response }: Reply<Data>): Outcome<Data> {
  if (response.ok) return { ok: true, data: data as Data, response }; // the contract's reply to a success
  const { message, error: inner } = (error ?? {}) as {
    message?: string;
    error?: { details?: Fault["details"] };
  }; // the one error body of the API, or that of a proxy
  const kind = kindOf(response.status);
  if (kind === "signed_out") session.end("ended_elsewhere");
  const fault: Fault = {
    kind,
    message: kind === "server" ? words.faults.server : (message ?? words.faults[kind]),
    details: inner?.details ?? [],
    requestId: response.headers.get("x-request-id"),
  };
  return { ok: false, fault };
}

function kindOf(status: number): FaultKind {
  if (status === 401) return "signed_out";
  if (status === 403) return "forbidden";
  if (status === 404) return "missing";
  if (status === 429) return "limited";
  return status >= 500 ? "server" : "refused";
}

function faultOf(kind: FaultKind, message: string): Fault {
  return { kind, message, details: [], requestId: null };
}
