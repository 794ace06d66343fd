import { childController } from "./abort.ts";
import type { Clock } from "./clock.ts";
import type { Log } from "./log.ts";
import { isRecord } from "./protocol.ts";
import { backoffMs, parseRetryAfter } from "./retry.ts";
import { AGENT_VERSION } from "./version.ts";

const JOB_PATH = "/api/silicon-mark/v1/jobs/current";
/** A request without a whole answer by then counts as failed and is tried again. */
const REQUEST_TIMEOUT_MS = 30_000;

export interface ApiRequest {
  method: "GET" | "POST" | "PATCH" | "PUT";
  /** Below the path that the client was made for, with its query. */
  path: string;
  /** JSON text; every retry sends this same text. */
  body?: string;
  etag?: string | null;
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
/** The server understood and said no; trying again would not help. */
export type Refused = { kind: "refused"; status: number; code: string; message: string };
export type Unavailable = { kind: "unavailable"; message: string; retryAfterMs: number | null };

export interface ApiClient {
  /** One try. */
  attempt(
    request: ApiRequest,
    signal: AbortSignal,
  ): Promise<Accepted | Ended | Refused | Unavailable>;
  /** Tries until the server answers, or the next try would begin after `giveUpAt` (epoch ms). */
  request(
    request: ApiRequest,
    giveUpAt: number,
    signal: AbortSignal,
  ): Promise<Accepted | Ended | Refused | Unavailable>;
}

/** The only place that knows the token. Both calls reject only when `signal` aborts. */
export function createApiClient(options: {
  host: string;
  token: string;
  clock: Clock;
  log: Log;
  timeoutMs?: number;
  /** What all its requests are below; the node protocol unless given. */
  basePath?: string;
}): ApiClient {
  const { host, token, clock, log, timeoutMs = REQUEST_TIMEOUT_MS, basePath = JOB_PATH } = options;

  const attempt: ApiClient["attempt"] = async (request, signal) => {
    const { controller, release } = childController(signal);
    const timer = setTimeout(
      () => controller.abort(new Error(`no answer within ${timeoutMs / 1000} s`)),
      timeoutMs,
    );
    try {
      const response = await fetch(host + basePath + request.path, {
        method: request.method,
        headers: headersOf(request, token),
        // A followed redirect would lose the token or turn a PUT into a GET.
        redirect: "manual",
        signal: controller.signal,
        ...(request.body === undefined ? {} : { body: request.body }),
      });
      return classify(response, await response.text(), clock.now());
    } catch (error) {
      signal.throwIfAborted();
      return { kind: "unavailable", message: describeError(error), retryAfterMs: null };
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
      if (clock.now() + waitMs > giveUpAt) return reply;
      const seconds = (waitMs / 1000).toFixed(1);
      log(`${apiRequest.method} failed (${reply.message}); next try in ${seconds} s`);
      await clock.sleep(waitMs, signal);
    }
  };

  return { attempt, request };
}

function headersOf(request: ApiRequest, token: string): Record<string, string> {
  return {
    authorization: `Bearer ${token}`,
    accept: "application/json",
    "user-agent": `assay-agent/${AGENT_VERSION}`,
    ...(request.body === undefined ? {} : { "content-type": "application/json" }),
    ...(request.etag ? { "if-none-match": request.etag } : {}),
  };
}

function classify(
  response: Response,
  text: string,
  now: number,
): Accepted | Ended | Refused | Unavailable {
  const { status, headers } = response;
  const body = parseJson(text);
  const retryAfterMs = parseRetryAfter(headers.get("retry-after"), now);
  if (status === 304 || (response.ok && body !== undefined)) {
    const date = Date.parse(headers.get("date") ?? "");
    return {
      kind: "accepted",
      status,
      body: body ?? null,
      etag: headers.get("etag"),
      retryAfterMs,
      claimRepeated: headers.get("claim-repeated") === "true",
      serverNow: Number.isNaN(date) ? null : date,
    };
  }
  const { code, message } = errorOf(body, status);
  if (status === 401 || (status === 409 && code === "JOB_ENDED")) return { kind: "ended", message };
  if (status === 408 || status === 429 || status >= 500 || response.ok) {
    // A 2xx that is not JSON comes from something in between, such as a captive portal.
    return {
      kind: "unavailable",
      message: response.ok ? "reply is not JSON" : message,
      retryAfterMs,
    };
  }
  const location = headers.get("location");
  return {
    kind: "refused",
    status,
    code,
    message:
      location === null ? message : `${message}; redirected to ${location}, use that as --host`,
  };
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

/** fetch says only "fetch failed"; the reason (ECONNREFUSED, …) is its cause. */
function describeError(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? error.cause : error;
  return cause.message || ("code" in cause ? String(cause.code) : cause.name);
}
