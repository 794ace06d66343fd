/** A real gateway on loopback between an agent and its server: it passes on, answers itself, or repeats old replies. */
import { createServer, type IncomingHttpHeaders, request } from "node:http";
import type { AddressInfo } from "node:net";

export interface Passed {
  method: string;
  /** Whole, with its query. */
  url: string;
  headers: IncomingHttpHeaders;
}

export interface Page {
  status: number;
  headers?: Record<string, string>;
  text?: string | Buffer;
}

export interface Gateway {
  url: string;
  /** All that was asked of it, oldest first. */
  seen: Passed[];
  /** Its own answer in place of the server's; undefined to pass the request on. */
  answer: (request: Passed) => Page | undefined;
  /** Changes a reply of the server on its way back. */
  change: (reply: Page, request: Passed) => Page;
  close(): Promise<void>;
}

export async function startGateway(target: number): Promise<Gateway> {
  const server = createServer((incoming, outgoing) => {
    const { method = "", url = "", headers } = incoming;
    const passed = { method, url, headers };
    gateway.seen.push(passed);
    const send = ({ status, headers: own, text }: Page): void => {
      outgoing.writeHead(status, own);
      outgoing.end(text);
    };
    const page = gateway.answer(passed);
    if (page !== undefined) return void incoming.resume().on("end", () => send(page));
    const onward = request({ port: target, host: "127.0.0.1", path: url, method, headers });
    onward.on("error", () => outgoing.destroy());
    onward.on("response", (reply) => {
      const chunks: Buffer[] = [];
      reply.on("data", (chunk: Buffer) => chunks.push(chunk));
      reply.on("end", () => {
        const entries = Object.entries(reply.headers)
          .filter(([name]) => !/^(connection|keep-alive|transfer-encoding)$/.test(name))
          .map(([name, value]) => [name, String(value)]);
        const text = Buffer.concat(chunks);
        const status = reply.statusCode ?? 0;
        send(gateway.change({ status, headers: Object.fromEntries(entries), text }, passed));
      });
    });
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const gateway: Gateway = {
    // `as`: a TCP server that listens has an AddressInfo.
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: [],
    answer: () => undefined,
    change: (reply) => reply,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => void server.close(() => resolve()));
    },
  };
  return gateway;
}
