/**
 * Stands before workerd on one's own machine, where workerd's own door is not made for strangers: hides the paths of the
 * runtime, replaces the headers that the platform would set, and answers for a server that is down.
 */
import { randomUUID } from "node:crypto";
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
  STATUS_CODES,
} from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { ERRORS, type ErrorCode } from "../../src/api/errors.ts";
import {
  isRuntimePath,
  replyHeaders,
  requestHeaders,
  type Target,
  targetOf,
} from "./front-rules.ts";

const INNER_HOST = "127.0.0.1";
const MAX_HEADER_BYTES = 64 * 1_024;
const SECOND = 1_000;

/** Limits of what one client can hold up. */
const TIMEOUTS = {
  headersTimeout: 15 * SECOND,
  requestTimeout: 60 * SECOND,
  keepAliveTimeout: 65 * SECOND,
  connectionsCheckingInterval: 2 * SECOND,
};
/** A connection on which nothing moves for so long is closed. */
const IDLE_MS = 120 * SECOND;

/** A longer body is refused here. No operation takes more than 1 MiB, and the Worker reads a refused one to its end. */
const MAX_BODY_BYTES = 16 * 1_024 * 1_024;

/** What is still read of a body after its refusal, so that the reply arrives before the connection ends. */
const DRAINED_BYTES = 16 * 1_024 * 1_024;
const DRAIN_MS = 10 * SECOND;

export interface Front {
  port: number;
  close(): Promise<void>;
}

/**
 * Listens on `port` of `host`, and passes requests on to `innerPort` of this machine. Throws when the port is taken.
 *
 * @param limits shorter time-outs, for tests
 */
export async function startFront(
  { host, port, innerPort }: { host: string; port: number; innerPort: number },
  limits: Partial<typeof TIMEOUTS> = {},
): Promise<Front> {
  const server: Server = createServer(
    {
      ...TIMEOUTS,
      ...limits,
      maxHeaderSize: MAX_HEADER_BYTES,
      // Any other protocol is declined: the request is answered in HTTP/1.1.
      shouldUpgradeCallback: ({ headers }) => headers.upgrade?.toLowerCase() === "websocket",
    },
    (req, res) => {
      const target = readTarget(req);
      if ("code" in target) refuse(req, res, target);
      else exchange(req, res, target, innerPort);
    },
  );
  server.setTimeout(IDLE_MS);
  const upgraded = new Set<Duplex>();
  server.on("upgrade", (req: IncomingMessage, socket: Socket, head: Buffer) => {
    upgraded.add(socket);
    socket.once("close", () => upgraded.delete(socket)).on("error", () => socket.destroy());
    const target = readTarget(req);
    if ("code" in target) socket.end(writtenRefusal(target));
    else upgrade(req, { socket, head }, target, innerPort);
  });
  server.on("clientError", answerMalformed);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(port, host, resolve);
  });
  return {
    // A listener on a host and a port has such an address.
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise((done) => server.close(done));
      server.closeAllConnections();
      for (const socket of upgraded) socket.destroy();
      await closed;
    },
  };
}

interface Refusal {
  code: ErrorCode;
  message: string;
  retryAfterSeconds?: number;
}

function readTarget({ url = "", headers }: IncomingMessage): Target | Refusal {
  const target = targetOf(url, headers.host);
  if (target === null) {
    const message = "The request must name a path, and a valid Host";
    return { code: "PARAMETER_INCORRECT_VALUE", message };
  }
  if (!isRuntimePath(target.path)) return target;
  return { code: "RESOURCE_NOT_FOUND", message: "No such route" };
}

const UNREACHABLE: Refusal = {
  code: "SERVICE_UNAVAILABLE",
  message: "The service cannot answer right now; try again",
  retryAfterSeconds: 2,
};

/** Passes a request on to workerd, and its reply back. Both stream, at the pace of the slower side. */
function exchange(req: IncomingMessage, res: ServerResponse, target: Target, port: number): void {
  const upstream = openUpstream(req, target, port);
  let isAnswered = false;
  const refuseOnce = (refusal: Refusal) => {
    if (isAnswered) return;
    isAnswered = true;
    upstream.destroy();
    if (!res.closed) refuse(req, res, refusal);
  };
  upstream.on("response", (reply) => {
    if (isAnswered) return;
    // The Worker puts its id on every reply: this one is the runtime's, and tells of its insides.
    if (reply.statusCode === 500 && reply.headers["x-request-id"] === undefined) {
      refuseOnce(UNREACHABLE);
      return;
    }
    isAnswered = true;
    answer(req, res, reply);
  });
  upstream.on("error", () => refuseOnce(UNREACHABLE));
  upstream.on("drain", () => req.resume());
  res.on("close", () => upstream.destroy());
  let bytes = 0;
  req.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (isAnswered) return;
    if (bytes > MAX_BODY_BYTES) {
      const message = `The body must have at most ${MAX_BODY_BYTES} bytes`;
      refuseOnce({ code: "REQUEST_TOO_LARGE", message });
    } else if (!upstream.write(chunk)) req.pause();
  });
  req.on("end", () => {
    if (!isAnswered) upstream.end();
  });
  upstream.flushHeaders();
}

function answer(req: IncomingMessage, res: ServerResponse, reply: IncomingMessage): void {
  const { statusCode = 502, statusMessage, rawHeaders } = reply;
  const ending = req.complete ? [] : ["Connection", "close"];
  res.writeHead(statusCode, statusMessage, [...replyHeaders(rawHeaders), ...ending]);
  res.flushHeaders();
  reply.pipe(res, { end: false });
  reply.on("end", () => endOnceRead(req, res));
  // Cut off here too, so that the client does not take a part for the whole.
  reply.on("close", () => {
    if (!reply.complete) res.destroy();
  });
}

/** A connection of its own for each request: none that workerd may be closing is used again. */
function openUpstream(req: IncomingMessage, target: Target, port: number): ClientRequest {
  const { method = "GET", headers, rawHeaders, socket } = req;
  const framing =
    headers["transfer-encoding"] !== undefined
      ? ["Transfer-Encoding", "chunked"]
      : headers["content-length"] === undefined && /^(?:POST|PUT|PATCH)$/.test(method)
        ? ["Content-Length", "0"]
        : [];
  const upstream = request({
    host: INNER_HOST,
    port,
    method,
    path: target.path,
    headers: [...requestHeaders(rawHeaders, target, socket.remoteAddress), ...framing],
    setHost: false,
    agent: false,
    maxHeaderSize: MAX_HEADER_BYTES,
  });
  upstream.setTimeout(IDLE_MS, () => upstream.destroy(new Error("The server is silent")));
  return upstream;
}

/** Ends a reply once its request has been read, as far as that is worth it: earlier, a client that still sends would miss it. */
function endOnceRead(req: IncomingMessage, res: ServerResponse): void {
  if (req.complete || res.closed) {
    res.end();
    return;
  }
  let drained = 0;
  const end = () => {
    clearTimeout(timer);
    res.end();
  };
  const timer = setTimeout(end, DRAIN_MS);
  req.on("data", (chunk: Buffer) => {
    drained += chunk.length;
    if (drained > DRAINED_BYTES) end();
  });
  req.once("end", end);
  res.once("close", () => clearTimeout(timer));
  req.resume();
}

/** Headers and body of the API's errors. */
function errorReply({ code, message, retryAfterSeconds }: Refusal) {
  const id = randomUUID();
  const body = JSON.stringify({ error: { code, message }, message, request_id: id });
  const headers = {
    "Content-Type": "application/json",
    "Content-Length": String(Buffer.byteLength(body)),
    "Cache-Control": "no-store",
    "Access-Control-Allow-Origin": "*",
    "X-Content-Type-Options": "nosniff",
    "X-Request-Id": id,
    ...(retryAfterSeconds === undefined ? {} : { "Retry-After": String(retryAfterSeconds) }),
  };
  return { status: ERRORS[code].status, headers, body };
}

function refuse(req: IncomingMessage, res: ServerResponse, refusal: Refusal): void {
  const { status, headers, body } = errorReply(refusal);
  res.writeHead(status, { ...headers, ...(req.complete ? {} : { Connection: "close" }) });
  if (req.method !== "HEAD") res.write(body);
  else res.flushHeaders();
  endOnceRead(req, res);
}

/** The same for a connection that is no longer, or never was, one of requests and replies. */
function writtenRefusal(refusal: Refusal): string {
  const { status, headers, body } = errorReply(refusal);
  const lines = Object.entries({ ...headers, Connection: "close" }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  return [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`, ...lines, "", body].join("\r\n");
}

function answerMalformed(error: NodeJS.ErrnoException, socket: Duplex): void {
  // Bytes of a reply may be out already; then nothing can be added.
  const isAnswering = "_httpMessage" in socket && socket._httpMessage !== null;
  if (!socket.writable || error.code === "ECONNRESET" || isAnswering) {
    socket.destroy();
    return;
  }
  socket.end(writtenRefusal(malformed(error.code)), () => socket.destroy());
}

function malformed(code: string | undefined): Refusal {
  if (code === "HPE_HEADER_OVERFLOW") {
    const message = `The headers must have at most ${MAX_HEADER_BYTES} bytes`;
    return { code: "REQUEST_TOO_LARGE", message };
  }
  const message =
    code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? "The request did not arrive in time"
      : "The request is not valid HTTP";
  return { code: "PARAMETER_INCORRECT_VALUE", message };
}

/** Passes a WebSocket on: once workerd has agreed, bytes flow both ways until one side ends. */
function upgrade(
  req: IncomingMessage,
  { socket, head }: { socket: Socket; head: Buffer },
  target: Target,
  port: number,
): void {
  const headers = [
    ...requestHeaders(req.rawHeaders, target, socket.remoteAddress),
    ...["Connection", "Upgrade", "Upgrade", "websocket"],
  ];
  const { method = "GET" } = req;
  const upstream = request({
    host: INNER_HOST,
    port,
    method,
    path: target.path,
    headers,
    setHost: false,
    agent: false,
    maxHeaderSize: MAX_HEADER_BYTES,
  });
  upstream.setTimeout(IDLE_MS, () => upstream.destroy());
  socket.once("close", () => upstream.destroy());
  upstream.on("error", () => {
    if (socket.bytesWritten === 0 && socket.writable) socket.end(writtenRefusal(UNREACHABLE));
    else socket.destroy();
  });
  upstream.on("upgrade", (reply, inner: Socket, innerHead) => {
    // A channel may be silent for long; a peer that is gone shows by TCP's own probes.
    for (const side of [socket, inner]) side.setTimeout(0).setKeepAlive(true, 60 * SECOND);
    const agreed = ["Connection", "Upgrade", "Upgrade", "websocket"];
    socket.write(statusAndHeaders(reply, [...replyHeaders(reply.rawHeaders), ...agreed]));
    socket.write(innerHead);
    inner.write(head);
    inner.on("error", () => socket.destroy()).once("close", () => socket.end());
    socket.once("close", () => inner.destroy());
    socket.pipe(inner).pipe(socket);
  });
  upstream.on("response", (reply) => {
    socket.write(
      statusAndHeaders(reply, [...replyHeaders(reply.rawHeaders), "Connection", "close"]),
    );
    reply.pipe(socket);
  });
  upstream.end();
}

function statusAndHeaders(reply: IncomingMessage, flat: readonly string[]): string {
  const { statusCode = 502, statusMessage = "" } = reply;
  const lines = [`HTTP/1.1 ${statusCode} ${statusMessage}`];
  for (let at = 0; at < flat.length; at += 2) lines.push(`${flat[at]}: ${flat[at + 1]}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}
