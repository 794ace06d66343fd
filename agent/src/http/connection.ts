import { once } from "node:events";
import { request } from "node:http";
import { connect, isIP, type Socket } from "node:net";
import { childController } from "../abort.ts";
import { formatHostPort } from "../host-port.ts";
import type { HttpProxy } from "./proxy.ts";
import { distrustOf } from "./trust.ts";

export interface Route {
  /** Of the server. */
  host: string;
  port: number;
  isSecure: boolean;
  proxy: HttpProxy | null;
  /** PEM certificates to trust instead of Node's own; null for those. */
  roots: string[] | null;
  /** The proxy is asked for a connection without TLS, too, for what it cannot forward. */
  isTunnelled?: boolean;
}

/** TCP, the proxy's answer and both TLS handshakes together. */
const WITHIN_MS = 20_000;
/** For one of a name's addresses before the next is tried, too: longer than round trips to anywhere. */
const ATTEMPT_MS = 1_500;

/**
 * A connection on which the server's requests can be written, through the proxy if there is one. Over TLS
 * only after the server has proved its name.
 *
 * @param asked aborts when nobody wants the connection any more
 * @throws with a message for people
 */
export async function openConnection(
  route: Route,
  asked: AbortSignal | undefined,
): Promise<Socket> {
  const { host, port, isSecure, proxy, roots, isTunnelled = isSecure } = route;
  const { controller, release } = childController(asked ?? new AbortController().signal);
  const { signal } = controller;
  const late = new Error(`no connection within ${WITHIN_MS / 1000} s`);
  const timer = setTimeout(() => controller.abort(late), WITHIN_MS);
  let socket: Socket | null = null;
  try {
    socket = await dial(proxy ?? route, signal);
    if (proxy?.isSecure) socket = await secure(socket, proxy.host, roots, signal);
    if (proxy !== null && isTunnelled) socket = await tunnel(socket, { host, port }, proxy, signal);
    return isSecure ? await secure(socket, host, roots, signal) : socket;
  } catch (error) {
    socket?.destroy();
    const why = signal.aborted ? signal.reason : error;
    if (proxy === null) throw why;
    throw new Error(`through the proxy ${formatHostPort(proxy)}: ${explainError(why)}`);
  } finally {
    clearTimeout(timer);
    release();
  }
}

/** Whatever went wrong on the network, in plain words. */
export function explainError(error: unknown): string {
  if (error instanceof AggregateError) {
    return [...new Set(error.errors.map(explainError))].join(", ");
  }
  if (!(error instanceof Error)) return String(error);
  // `as`: errors of the system and of the resolver bring these.
  const { code, hostname } = error as NodeJS.ErrnoException & { hostname?: string };
  if (code === "ENOTFOUND") return `no such host: ${hostname}`;
  if (code === "EAI_AGAIN") return `the name ${hostname} cannot be resolved now (${code})`;
  return error.message || code || error.name;
}

async function dial({ host, port }: { host: string; port: number }, signal: AbortSignal) {
  const socket = connect({ host, port, autoSelectFamilyAttemptTimeout: ATTEMPT_MS });
  // Stays: no error may be without a listener before the request has its own.
  socket.on("error", () => {});
  try {
    await once(socket, "connect", { signal });
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return socket;
}

/** Asks a proxy for a connection to the server (RFC 9110 §9.3.6). */
function tunnel(
  socket: Socket,
  server: { host: string; port: number },
  { authorization }: HttpProxy,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const path = formatHostPort(server);
    const headers = {
      host: path,
      ...(authorization === null ? {} : { "proxy-authorization": authorization }),
    };
    const asked = request({
      method: "CONNECT",
      path,
      headers,
      signal,
      createConnection: () => socket,
    });
    asked.on("error", reject);
    asked.on("connect", ({ statusCode = 0 }, tunnelled: Socket) => {
      if (statusCode >= 200 && statusCode < 300) return resolve(tunnelled);
      tunnelled.destroy();
      reject(new Error(`it refused ${path} with ${statusCode}${hintFor(statusCode)}`));
    });
    asked.end();
  });
}

function hintFor(status: number): string {
  return status === 407 ? ", it requires a user and password: http://user:password@host:port" : "";
}

async function secure(
  socket: Socket,
  host: string,
  roots: string[] | null,
  signal: AbortSignal,
): Promise<Socket> {
  const { connect: connectTls } = await import("node:tls");
  const tls = connectTls({
    socket,
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(roots === null ? {} : { ca: roots }),
    // Verified all the same, below: by itself Node would close before anyone can read the certificate.
    rejectUnauthorized: false,
  });
  tls.on("error", () => {});
  try {
    await once(tls, "secureConnect", { signal });
    if (!tls.authorized) throw new Error(distrustOf(tls, host, Date.now()));
    return tls;
  } catch (error) {
    tls.destroy();
    throw error;
  }
}
