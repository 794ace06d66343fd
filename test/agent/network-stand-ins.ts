/** A proxy and servers over TLS, real ones on loopback, for what stands between an agent and its server. */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, request } from "node:http";
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Server,
  type Socket,
} from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { fileURLToPath } from "node:url";

/** Of a file beside the certificates that make.sh makes. */
export function certificateFile(name: string): string {
  return fileURLToPath(new URL(`./certificates/${name}.pem`, import.meta.url));
}

export interface StandIn {
  port: number;
  close(): Promise<void>;
}

export interface ProxyStandIn extends StandIn {
  /** Request lines and `Proxy-Authorization` of all that was asked of it, oldest first. */
  asked: { line: string; authorization: string | undefined; host: string | undefined }[];
  /** Connections that agents have opened. */
  connections(): number;
}

/** Ends TLS with a certificate of `make.sh`, and passes everything on to a port of this machine. */
export async function startTls(certificate: string, target: number): Promise<StandIn> {
  const server = createTlsServer(
    {
      cert: readFileSync(certificateFile(certificate)),
      key: readFileSync(certificateFile("key")),
    },
    (near) => {
      const far = connect(target, "127.0.0.1").on("error", () => near.destroy());
      near.on("error", () => far.destroy());
      near.pipe(far).pipe(near);
    },
  );
  return standIn(server);
}

export interface Relay extends StandIn {
  /** From now on nothing passes by the connections that are open, and nobody is told: their ends have vanished. */
  freeze(): void;
}

/** Passes bytes on to a port of this machine, until it is frozen; later connections are whole again. */
export async function startRelay(target: number): Promise<Relay> {
  const pairs = new Set<readonly [Socket, Socket]>();
  const server = createTcpServer((near) => {
    const far = connect(target, "127.0.0.1");
    const pair = [near, far] as const;
    pairs.add(pair);
    for (const [one, other] of [pair, [far, near] as const]) {
      one.on("error", () => {});
      one.on("close", () => other.destroy());
      one.pipe(other);
    }
  });
  return {
    ...(await standIn(server)),
    freeze() {
      for (const [near, far] of pairs) {
        for (const socket of [near, far]) {
          socket.unpipe();
          socket.removeAllListeners("close");
          socket.pause();
        }
      }
      pairs.clear();
    },
  };
}

/** An HTTP proxy that takes every name for this machine: CONNECT and forwarding, both to `target`. */
export async function startProxy(options: {
  target: number;
  /** `user:password` that it wants. */
  login?: string;
  /** The status of its answer in place of a connection. */
  refuse?: number;
  /** The answer to CONNECT as it is, instead of one by the rules. */
  raw?: string;
}): Promise<ProxyStandIn> {
  const asked: ProxyStandIn["asked"] = [];
  const wanted = options.login && `Basic ${Buffer.from(options.login).toString("base64")}`;
  const refusal = (message: IncomingMessage): number | null => {
    const { method, url, headers } = message;
    const authorization = headers["proxy-authorization"];
    asked.push({ line: `${method} ${url}`, authorization, host: headers.host });
    return wanted !== undefined && authorization !== wanted ? 407 : (options.refuse ?? null);
  };
  let connections = 0;
  const server = createServer((incoming, outgoing) => {
    const status = refusal(incoming);
    if (status !== null) return void outgoing.writeHead(status).end();
    const { pathname, search } = new URL(incoming.url ?? "");
    const { method, headers } = incoming;
    const onward = { port: options.target, host: "127.0.0.1", path: pathname + search };
    const forwarded = request({ ...onward, method, headers }, (reply) => {
      outgoing.writeHead(reply.statusCode ?? 0, reply.headers);
      reply.pipe(outgoing);
    });
    incoming.pipe(forwarded.on("error", () => outgoing.destroy()));
  });
  server.on("connection", () => {
    connections += 1;
  });
  server.on("connect", (message: IncomingMessage, near: Socket) => {
    near.on("error", () => {});
    const status = refusal(message);
    if (options.raw !== undefined) return void near.write(options.raw);
    if (status !== null) return void near.end(`HTTP/1.1 ${status} No\r\n\r\n`);
    const far = connect(options.target, "127.0.0.1", () => {
      near.write("HTTP/1.1 200 Connection established\r\n\r\n");
      near.pipe(far).pipe(near);
    }).on("error", () => near.destroy());
    near.on("close", () => far.destroy());
  });
  return { ...(await standIn(server)), asked, connections: () => connections };
}

async function standIn(server: Server): Promise<StandIn> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => void sockets.add(socket.on("error", () => {})));
  server.on("error", () => {});
  // A client that does not trust the certificate ends the handshake.
  server.on("clientError", (_error: Error, socket: Socket) => void socket.destroy());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  // `as`: a TCP server that listens has an AddressInfo.
  const { port } = server.address() as AddressInfo;
  const close = (): Promise<void> => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => void server.close(() => resolve()));
  };
  return { port, close };
}
