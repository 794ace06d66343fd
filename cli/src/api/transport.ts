/** Sending requests: each wait is bounded, and what is safe to repeat is repeated a few times. */
import { randomInt } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Failure, unreachable } from "../failure.ts";
import { showDuration } from "../values/time.ts";

const ATTEMPTS = 5;
/** Time for the reply to begin. */
const REPLY_MS = 30_000;
/** Time for a body that is read whole to arrive, from the beginning of the request on. */
const BODY_MS = 120_000;
/** A larger body is no reply of the API. */
const MAX_BYTES = 256 * 2 ** 20;
/** Replies without a body. */
const EMPTY = new Set([204, 205, 304]);
/** All attempts and the pauses between them. */
const TOTAL_MS = 90_000;
/** A server that asks for a longer pause is not waited for. */
const LONGEST_PAUSE_MS = 20_000;
const PASSING = new Set([429, 502, 503, 504]);
const IDEMPOTENT = new Set(["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]);
/** Creations that do no more the second time: the end of a job, and its report. */
const HARMLESS_POST = /\/jobs\/\d+\/(?:abort|report)$/;

export interface Sending {
  /** Ends the request and the pauses; the program is stopping. */
  signal?: AbortSignal | undefined;
  /** Time for the reply to begin. */
  replyMs?: number;
  /** Overrides the rule for requests that may be repeated. */
  repeatable?: boolean;
  /** Answers once the reply has begun, for bodies that are read piece by piece. */
  isStream?: boolean;
}

/** Where a request has failed: before anything was sent, or later, so that the server may have acted. */
export class LostReply extends Failure {
  readonly wasSent: boolean;

  constructor(message: string, wasSent: boolean) {
    super(message, 69);
    this.wasSent = wasSent;
  }
}

/**
 * Sends a request, again where its reply was lost or says that the failure passes and a repeat does no harm. Redirects
 * are not followed, since they would carry the token elsewhere.
 *
 * @throws LostReply when no reply came
 */
export async function send(request: Request, sending: Sending = {}): Promise<Response> {
  const isRepeatable = sending.repeatable ?? mayRepeat(request);
  const attempts = isRepeatable ? ATTEMPTS : 1;
  const until = Date.now() + TOTAL_MS;
  for (let attempt = 1; ; attempt++) {
    const isLast = attempt >= attempts || Date.now() >= until;
    let pauseMs = Math.min(500 * 2 ** attempt, 8_000);
    try {
      const reply = await attemptOnce(request.clone(), sending);
      if (isLast || !PASSING.has(reply.status)) return afterRepeat(request, reply, attempt);
      pauseMs = Math.max(pauseMs, retryAfterMs(reply) ?? 0);
      if (pauseMs > LONGEST_PAUSE_MS || Date.now() + pauseMs > until) return reply;
      await reply.body?.cancel();
    } catch (error) {
      if (isLast || !(error instanceof LostReply)) throw error;
    }
    await sleep(pauseMs / 2 + randomInt(pauseMs / 2), undefined, { signal: sending.signal });
  }
}

function mayRepeat({ method, headers, url }: Request): boolean {
  return IDEMPOTENT.has(method) || headers.has("idempotency-key") || HARMLESS_POST.test(url);
}

async function attemptOnce(request: Request, sending: Sending): Promise<Response> {
  const { signal, replyMs = REPLY_MS, isStream = false } = sending;
  const timeout = new AbortController();
  let timer = setTimeout(() => timeout.abort(), replyMs);
  const signals = [timeout.signal, request.signal, ...(signal === undefined ? [] : [signal])];
  try {
    const reply = await fetch(request, { redirect: "manual", signal: AbortSignal.any(signals) });
    if (reply.status >= 300 && reply.status < 400 && reply.status !== 304) {
      const to = reply.headers.get("location") ?? "another address";
      throw unreachable(
        `${new URL(request.url).origin} redirects to ${to}: give the server's own address with --host`,
      );
    }
    if (isStream) return reply;
    clearTimeout(timer);
    timer = setTimeout(() => timeout.abort(), BODY_MS);
    return await readWhole(reply);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof Failure) throw error;
    throw lostReply(new URL(request.url).origin, error, timeout.signal.aborted, replyMs);
  } finally {
    clearTimeout(timer);
  }
}

/** The same reply with its body in memory, so that a body that is cut off counts as a lost reply. */
async function readWhole(reply: Response): Promise<Response> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of reply.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_BYTES) throw unreachable("the server's reply is too large for an Assay server");
    chunks.push(chunk);
  }
  const { status, statusText, headers } = reply;
  const body = EMPTY.has(status) ? null : Buffer.concat(chunks);
  return new Response(body, { status, statusText, headers });
}

/** The first attempt of a deletion may have done it. */
function afterRepeat(request: Request, reply: Response, attempt: number): Response {
  const isDone = attempt > 1 && request.method === "DELETE" && reply.status === 404;
  return isDone ? new Response(null, { status: 204, headers: reply.headers }) : reply;
}

/** The pause that a reply asks for, ms. */
export function retryAfterMs(reply: Response): number | null {
  const value = reply.headers.get("retry-after");
  return value !== null && /^\d{1,9}$/.test(value) ? Number(value) * 1_000 : null;
}

const NEVER_SENT = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "UND_ERR_CONNECT_TIMEOUT",
  "CERT_HAS_EXPIRED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "ERR_TLS_CERT_ALTNAME_INVALID",
]);
const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens on this port",
  ENOTFOUND: "there is no such host",
  EAI_AGAIN: "its name cannot be resolved now",
  ECONNRESET: "the connection was cut",
  UND_ERR_SOCKET: "the connection was cut",
  UND_ERR_CONNECT_TIMEOUT: "the connection timed out",
};

function lostReply(origin: string, error: unknown, isLate: boolean, replyMs: number): LostReply {
  if (isLate) {
    return new LostReply(
      `${origin} did not answer within ${showDuration(replyMs / 1_000)}: try again`,
      true,
    );
  }
  const code = causeCode(error);
  const message = causeMessage(error);
  if (message === "bad port")
    throw unreachable(
      `requests to ${origin} are blocked: the port is reserved for another protocol`,
    );
  const reason = REASONS[code] ?? (code || message);
  return new LostReply(
    `${origin} cannot be reached: ${reason}. Check the address and the network`,
    !NEVER_SENT.has(code),
  );
}

function causeCode(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    if (at instanceof AggregateError && at.errors.length > 0) return causeCode(at.errors[0]);
    if ("code" in at && typeof at.code === "string") return at.code;
  }
  return "";
}

/** That of the innermost error, such as "bad port": "fetch failed" around it says nothing. */
function causeMessage(error: unknown): string {
  let at = error;
  while (at instanceof Error && at.cause instanceof Error) at = at.cause;
  return at instanceof Error ? at.message : String(at);
}
