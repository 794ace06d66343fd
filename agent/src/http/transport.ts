import { randomBytes } from "node:crypto";
import { Agent, type IncomingMessage, type RequestOptions, request } from "node:http";
import { openConnection, type Route } from "./connection.ts";
import { type HttpProxy, hostOf, portOf } from "./proxy.ts";
import { readAll, readBeginning } from "./reply-body.ts";
import { openWebSocket, type SocketListener, type TextSocket } from "./web-socket.ts";

export interface HttpRequest {
  url: URL;
  method: string;
  headers: Record<string, string>;
  body?: string | undefined;
}

export interface HttpReply {
  status: number;
  /**
   * The reply carries this request's nonce, which the server alone repeats. Any other reply comes from a gateway, a
   * captive portal or a cache in front of it, whatever its status and body say.
   */
  isServers: boolean;
  /** The value of a header, by its name in lower case; null if the reply lacks it. */
  header(name: string): string | null;
  /** Of a reply that is not the server's only the beginning. */
  text: string;
}

/** Requests to one server over kept connections. Redirects are replies as any other. */
export interface Transport {
  /** Name or address of the server; null behind a proxy. */
  readonly directHost: string | null;
  /** One exchange. Rejects when `signal` aborts, and with a message for people when there is no reply. */
  send(request: HttpRequest, signal: AbortSignal): Promise<HttpReply>;
  /** Asks for a WebSocket. Rejects as `send` does; `within` and "silence" are those of `openWebSocket`. */
  dial(
    request: Pick<HttpRequest, "url" | "headers">,
    listener: SocketListener,
    within: number,
    signal: AbortSignal,
  ): Promise<{ socket: TextSocket } | { reply: HttpReply } | "silence">;
  /** Whether the server itself has ever answered. */
  hasMetServer(): boolean;
}

/** A heartbeat, whatever else is under way, and one more. */
const MAX_SOCKETS = 4;

/** The transport to `server`, through a proxy if there is one. */
export function createTransport(
  server: URL,
  way: { proxy: HttpProxy | null; roots: string[] | null } = { proxy: null, roots: null },
): Transport {
  const isSecure = server.protocol === "https:";
  const { proxy } = way;
  const route: Route = { host: hostOf(server), port: portOf(server), isSecure, ...way };
  const agent = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS, maxFreeSockets: 2 });
  agent.createConnection = (options, callback) => {
    const asked = "asked" in options && options.asked;
    openConnection(route, asked instanceof AbortSignal ? asked : undefined).then(
      (socket) => callback?.(null, socket),
      // `as`: with an error there is no connection; the type knows only both.
      (error) => callback?.(error, undefined as never),
    );
    return undefined;
  };
  // A proxy that only forwards needs the whole address and the login in each request.
  const isForwarded = proxy !== null && !isSecure;
  const login = isForwarded ? proxy.authorization : null;
  let hasMet = false;

  return {
    directHost: proxy === null ? route.host : null,
    send: async ({ url, method, headers, body }, signal) => {
      const nonce = freshNonce();
      const options = {
        agent,
        host: route.host,
        port: route.port,
        method,
        signal,
        // Node passes its own `signal` on to no connection: one that hangs would outlast its request.
        asked: signal,
        path: isForwarded ? url.href : url.pathname + url.search,
        headers: {
          host: url.host,
          ...headers,
          "assay-nonce": nonce,
          ...(login === null ? {} : { "proxy-authorization": login }),
        },
      };
      const reply = await exchange(options, body, nonce);
      hasMet ||= reply.isServers;
      return reply;
    },
    dial: async ({ url, headers }, listener, within, signal) => {
      const nonce = freshNonce();
      const asked = { url, headers: { ...headers, "assay-nonce": nonce } };
      const answer = await openWebSocket(route, asked, listener, within, signal);
      if (answer === "silence") return answer;
      if ("send" in answer) return { socket: answer };
      const reply = await read(answer, nonce).finally(() => answer.destroy());
      hasMet ||= reply.isServers;
      return { reply };
    },
    hasMetServer: () => hasMet,
  };
}

/** The text that a server repeats to show that a reply is its own: 22 base64url characters. */
export function freshNonce(): string {
  return randomBytes(16).toString("base64url");
}

function exchange(
  options: RequestOptions,
  body: string | undefined,
  nonce: string,
): Promise<HttpReply> {
  return new Promise((resolve, reject) => {
    const sent = request(options);
    let isAnswered = false;
    sent.on("error", (error) => {
      // A failure after the reply has begun rejects the reading of it.
      if (!isAnswered) reject(error);
    });
    // A change of protocol that nobody asked for closes the connection without a `response` event.
    sent.on("close", () => {
      if (!isAnswered) reject(new Error("the connection was closed without a reply"));
    });
    sent.on("response", (response) => {
      isAnswered = true;
      read(response, nonce).then(resolve, reject);
    });
    sent.end(body);
  });
}

async function read(response: IncomingMessage, nonce: string): Promise<HttpReply> {
  const isServers = response.headers["assay-nonce"] === nonce;
  return {
    status: response.statusCode ?? 0,
    isServers,
    header: (name) => {
      const value = response.headers[name];
      return value === undefined ? null : String(value);
    },
    text: await (isServers ? readAll(response) : readBeginning(response)),
  };
}
