import { childController } from "./abort.ts";
import type { Clock } from "./clock.ts";
import { explainError } from "./http/connection.ts";
import { firstWords } from "./http/reply-body.ts";
import { createTransport, type HttpReply, type Transport } from "./http/transport.ts";
import type { SocketListener, TextSocket } from "./http/web-socket.ts";
import { clip, type Log } from "./log.ts";
import { isRecord } from "./protocol.ts";
import { backoffMs, CAP_MS, parseRetryAfter } from "./retry.ts";
import { createServerTime, type ServerTime } from "./server-time.ts";
import { explainRefusal } from "./token-kind.ts";
import { AGENT_VERSION } from "./version.ts";

const JOB_PATH = "/api/silicon-mark/v1/jobs/current";
/** A request without a whole answer by then counts as failed and is tried again. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Of a `Location` that a stranger sends. */
const MAX_LOCATION = 300;

export interface ApiRequest {
  method: "GET" | "POST" | "PATCH" | "PUT";
  /** Below the path that the client was made for, with its query. */
  path: string;
  /** JSON text; every retry sends this same text. */
  body?: string;
  etag?: string | null;
  /** The token of the task that the call is about. */
  taskToken?: string | null;
  /** Whether a 2xx body is what was asked for; anything is by default. */
  isWanted?: (body: unknown) => boolean;
}

export type Accepted = {
  kind: "accepted";
  /** 2xx, or 304 with a null body. */
  status: number;
  body: unknown;
  etag: string | null;
  retryAfterMs: number | null;
  /** Of a claim: the runner had this task already. */
  claimRepeated: boolean;
  /** The server's clock (`Date` header), in milliseconds since the epoch. */
  serverNow: number | null;
};
/** The job is over for this token: 401, or 409 JOB_ENDED. */
export type Ended = { kind: "ended"; message: string };
/** The server understood and said no; trying again would not help. Or: it is elsewhere, and has never answered. */
export type Refused = {
  kind: "refused";
  status: number;
  code: string;
  message: string;
  /** For what passes, such as another agent's lease; uncut. */
  retryAfterMs: number | null;
};
/** No answer of the server's own; the message names the server, and says what came in its place. */
export type Unavailable = { kind: "unavailable"; message: string; retryAfterMs: number | null };

export interface ApiClient {
  /** From the replies of all clients that share it. */
  serverTime: ServerTime;
  /** One try. */
  attempt(
    request: ApiRequest,
    signal: AbortSignal,
  ): Promise<Accepted | Ended | Refused | Unavailable>;
  /** Tries until the server answers, or the next try would begin after `giveUpAt` (of `clock.elapsed`). */
  request(
    request: ApiRequest,
    giveUpAt: number,
    signal: AbortSignal,
  ): Promise<Accepted | Ended | Refused | Unavailable>;
  /** Asks for the WebSocket at a path, once; "silence" where the connection stands and nobody answers in time. */
  dial(
    path: string,
    listener: SocketListener,
    within: number,
    signal: AbortSignal,
  ): Promise<TextSocket | Ended | Refused | Unavailable | "silence">;
}

/** The only place that knows the token. All calls reject only when `signal` aborts. */
export function createApiClient(options: {
  host: string;
  token: string;
  clock: Clock;
  log: Log;
  timeoutMs?: number;
  /** Base path of all its requests; that of the node protocol by default. */
  basePath?: string;
  /** To the server; clients of one server share it. */
  transport?: Transport;
  /** Clients of one server share it. */
  serverTime?: ServerTime;
}): ApiClient {
  const { host, token, clock, log, timeoutMs = REQUEST_TIMEOUT_MS, basePath = JOB_PATH } = options;
  const transport = options.transport ?? createTransport(new URL(host));
  const serverTime = options.serverTime ?? createServerTime();

  const attempt: ApiClient["attempt"] = async (request, signal) => {
    const { controller, release } = childController(signal);
    const timer = setTimeout(
      () => controller.abort(new Error(`no answer within ${timeoutMs / 1000} s`)),
      timeoutMs,
    );
    const url = new URL(host + basePath + request.path);
    const { method, body } = request;
    try {
      const headers = headersOf(request, token);
      const sentAt = clock.elapsed();
      const reply = await transport.send({ url, method, headers, body }, controller.signal);
      signal.throwIfAborted();
      // Anybody's clock may stand in the reply of a gateway or a cache.
      if (reply.isServers) {
        serverTime.learn({ sentAt, receivedAt: clock.elapsed(), date: dateOf(reply) });
      }
      const moved = transport.hasMetServer() ? null : redirectOf(reply, url);
      if (moved !== null) return moved;
      // By the clock of whoever has answered: dates in the reply are meant by it, and this machine's own may be hours off.
      const now = dateOf(reply) ?? clock.now();
      const outcome = reply.isServers
        ? classify(reply, request, now)
        : outage(reply, transport.hasMetServer(), now);
      if (outcome.kind === "ended" && reply.status === 401 && basePath === JOB_PATH) {
        return { ...outcome, message: `${outcome.message}; ${explainRefusal(token, now)}` };
      }
      if (outcome.kind !== "unavailable") return outcome;
      return { ...outcome, message: `${host}: ${outcome.message}` };
    } catch (error) {
      signal.throwIfAborted();
      // Whatever an aborted exchange says, the reason is the one it was aborted for.
      const why = explainError(controller.signal.aborted ? controller.signal.reason : error);
      return { kind: "unavailable", message: `${host}: ${why}`, retryAfterMs: null };
    } finally {
      clearTimeout(timer);
      release();
    }
  };

  const request: ApiClient["request"] = async (apiRequest, giveUpAt, signal) => {
    for (let failures = 1; ; failures++) {
      const reply = await attempt(apiRequest, signal);
      if (reply.kind !== "unavailable") return reply;
      const waitMs = backoffMs(failures, clock.random(), reply.retryAfterMs);
      if (clock.elapsed() + waitMs > giveUpAt) return reply;
      const seconds = (waitMs / 1000).toFixed(1);
      log(`${apiRequest.method} failed (${reply.message}); next try in ${seconds} s`);
      await clock.sleep(waitMs, signal);
    }
  };

  const dial: ApiClient["dial"] = async (path, listener, within, signal) => {
    const url = new URL(host + basePath + path);
    const { authorization, "user-agent": agent } = headersOf({ method: "GET", path }, token);
    const headers = { authorization, "user-agent": agent };
    try {
      const answer = await transport.dial({ url, headers }, listener, within, signal);
      if (answer === "silence") return answer;
      if ("socket" in answer) return answer.socket;
      const { reply } = answer;
      const outcome = classify(reply, { method: "GET", path }, clock.now());
      // Nothing but a socket is an answer to this, and not every gateway lets one pass.
      const { status, isServers, text } = reply;
      if (outcome.kind === "ended" && isServers) return outcome;
      if (outcome.kind === "unavailable" && (isServers || status >= 500)) return outcome;
      const isOwn = isServers && outcome.kind === "refused";
      const words = isOwn ? outcome.message : `${status} ${firstWords(text) || "no text"}`;
      const message = `refused by ${isServers ? "the server" : "something in front of the server"}: ${words}`;
      return { kind: "refused", status, code: "", retryAfterMs: null, message };
    } catch (error) {
      signal.throwIfAborted();
      return { kind: "unavailable", message: explainError(error), retryAfterMs: null };
    }
  };

  return { attempt, request, dial, serverTime };
}

function headersOf(request: ApiRequest, token: string) {
  return {
    authorization: `Bearer ${token}`,
    accept: "application/json",
    "accept-encoding": "identity",
    "user-agent": `assay-agent/${AGENT_VERSION}`,
    ...(request.body === undefined ? {} : { "content-type": "application/json" }),
    ...(request.etag ? { "if-none-match": request.etag } : {}),
    ...(request.taskToken ? { "assay-task-token": request.taskToken } : {}),
  };
}

/** The server's clock in a reply, milliseconds since the epoch; null without one. */
function dateOf({ header }: HttpReply): number | null {
  const date = Date.parse(header("date") ?? "");
  return Number.isNaN(date) ? null : date;
}

function classify(
  reply: HttpReply,
  { etag, isWanted = () => true }: ApiRequest,
  now: number,
): Accepted | Ended | Refused | Unavailable {
  const { status, header } = reply;
  const body = parseJson(reply.text);
  const isOk = status >= 200 && status < 300;
  const retryAfterMs = parseRetryAfter(header("retry-after"), now);
  const isWhole = isOk && body !== undefined && isWanted(body);
  if (isWhole || (status === 304 && etag)) {
    return {
      kind: "accepted",
      status,
      body: body ?? null,
      etag: header("etag"),
      retryAfterMs,
      claimRepeated: header("claim-repeated") === "true",
      serverNow: dateOf(reply),
    };
  }
  const { code, message } = errorOf(body, status);
  if (status === 401 || (status === 409 && code === "JOB_ENDED")) {
    return { kind: "ended", message };
  }
  // The server answers in its own form: a body that lacks it was changed or cut on the way.
  const isChanged = isOk || code === "";
  if (status === 408 || status === 429 || status >= 500 || isChanged) {
    const words = firstWords(reply.text);
    const why = isChanged
      ? `${status}, but not the JSON of the server: ${words || "no text"}`
      : message;
    return { kind: "unavailable", message: why, retryAfterMs };
  }
  const uncut = parseRetryAfter(header("retry-after"), now, Number.POSITIVE_INFINITY);
  return { kind: "refused", status, code, retryAfterMs: uncut, message };
}

/** What to make of a reply that is not the server's: whatever it says, the server may be back at the next try. */
function outage({ status, header, text }: HttpReply, hasMet: boolean, now: number): Unavailable {
  const retryAfterMs = parseRetryAfter(header("retry-after"), now, CAP_MS);
  if (status === 407) {
    const hint = "407, the proxy requires a user and password: http://user:password@host:port";
    return { kind: "unavailable", message: hint, retryAfterMs };
  }
  const words = firstWords(text) || "no text";
  const hint = hasMet ? "" : "; is --host the control plane?";
  const message = `${status}, not from the server but from something in front of it: ${words}${hint}`;
  return { kind: "unavailable", message, retryAfterMs };
}

/** Of a server that has never answered, the place to which everything there is sent on; null for any other reply. */
function redirectOf({ status, header, isServers }: HttpReply, asked: URL): Refused | null {
  const location = header("location");
  if (isServers || status < 300 || status >= 400 || location === null) return null;
  if (!URL.canParse(location, asked.href)) return null;
  const { protocol, origin, pathname } = new URL(location, asked);
  if (!/^https?:$/.test(protocol)) return null;
  // What is sent on with its path is below the new --host; anything else is named as it is.
  const host = pathname.endsWith(asked.pathname)
    ? pathname.slice(0, -asked.pathname.length)
    : pathname;
  const place = clip(`${origin}${host}`.replace(/\/+$/, ""), MAX_LOCATION);
  const message = `${status}, ${asked.origin} redirects to another place; if that is the control plane, give it as --host ${place}`;
  return { kind: "refused", status, code: "", retryAfterMs: null, message };
}

function errorOf(body: unknown, status: number): { code: string; message: string } {
  const error = isRecord(body) && isRecord(body.error) ? body.error : {};
  const text = typeof error.message === "string" ? error.message : "no message";
  return { code: typeof error.code === "string" ? error.code : "", message: `${status} ${text}` };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
