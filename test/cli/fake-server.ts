/** A server that answers as each test says. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Seen {
  method: string;
  path: string;
  headers: IncomingMessage["headers"];
  body: string;
}

export type Answer = (response: ServerResponse, request: Seen) => void;

export interface FakeServer {
  url: string;
  /** All requests, in order. */
  seen: Seen[];
  /** Answers of a path with its method, such as `GET /v0/specs`: one for each request, the last one for all further. */
  on(route: string, ...answers: Answer[]): void;
  close(): Promise<void>;
}

export const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Answer =>
  (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };

export const error = (status: number, code: string, message: string, headers = {}): Answer =>
  json(
    status,
    { error: { code, message }, message, request_id: "r-1" },
    { "x-request-id": "r-1", ...headers },
  );

/** Cuts the connection before the reply. */
export const cut: Answer = (response) => {
  response.socket?.destroy();
};

/** Cuts the connection within the body. */
export const cutBody: Answer = (response) => {
  response.writeHead(200, { "content-type": "application/json", "content-length": "1000" });
  response.write('{"uuid": "', () => response.socket?.destroy());
};

export async function startFakeServer(): Promise<FakeServer> {
  const answers = new Map<string, Answer[]>();
  const seen: Seen[] = [];
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => {
      body += text;
    });
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      const one = { method, path: url, headers, body };
      seen.push(one);
      const route = `${method} ${url.split("?")[0]}`;
      const list = answers.get(route) ?? [error(404, "RESOURCE_NOT_FOUND", `no ${route}`)];
      const answer = list.length > 1 ? list.shift() : list[0];
      answer?.(response, one);
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  // `as`: a TCP server that listens has an AddressInfo.
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    seen,
    on: (route, ...list) => void answers.set(route, list),
    close: () =>
      new Promise((done) => {
        server.closeAllConnections();
        server.close(() => done());
      }),
  };
}
