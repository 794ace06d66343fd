/** A runner with an open channel asks for a job when the server says so; without a channel it polls. */
import type { IncomingMessage } from "node:http";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type WebSocket, WebSocketServer } from "ws";
import { createTransport } from "../../agent/src/http/transport.ts";
import { readCertificates, rootsWith } from "../../agent/src/http/trust.ts";
import { type FakeServer, startFakeServer } from "./fake-server.ts";
import { fastClock, RUNNER_KEY, startRunner, until } from "./helpers.ts";
import { certificateFile, startProxy, startTls } from "./network-stand-ins.ts";

const UUID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
const PATH = "/v0/runners/rack-7/channel";
/** Longer than a test: whoever asks before was told to. */
const IDLE = { status: 200, body: null, headers: { "retry-after": "86400" } };
const WORK = JSON.stringify({ type: "work" });

let server: FakeServer;
let sockets: WebSocketServer;
let open: WebSocket[];
let asked: IncomingMessage[];
let answersPings: boolean;
const running: ReturnType<typeof startRunner>[] = [];

beforeEach(async () => {
  server = await startFakeServer();
  server.onClaim = () => IDLE;
  sockets = new WebSocketServer({ noServer: true });
  [open, asked, answersPings] = [[], [], true];
  server.channel.onUpgrade = (request, connection) => {
    if (request.url !== PATH) return false;
    asked.push(request);
    sockets.handleUpgrade(request, connection, Buffer.alloc(0), (socket) => {
      open.push(socket);
      socket.on("message", (data) => {
        if (data.toString() === "ping" && answersPings) socket.send("pong");
      });
      socket.on("close", () => {
        open = open.filter((each) => each !== socket);
      });
    });
    return true;
  };
});

afterEach(async () => {
  for (const { leave } of running) leave();
  await Promise.all(running.splice(0).map(({ done }) => done));
  await server.close();
});

function start({
  host = server.url,
  ...options
}: Parameters<typeof startRunner>[1] & { host?: string } = {}) {
  // An hour passes in more than a test may take.
  const run = startRunner(host, { transport: "auto", clock: fastClock(1), ...options });
  running.push(run);
  return run;
}

const claims = () => server.requests.filter(({ url }) => url.startsWith("/v0/runners/"));
const channelOpen = (run: ReturnType<typeof startRunner>) =>
  until(
    () =>
      run.logs.some((line) => line.includes("on an open channel")) &&
      claims().length === 2 &&
      run.clock.slept.length > 0,
    "an open channel, and the rest after the claim that follows",
  );

describe("with a channel", () => {
  test("the runner asks once before and once after it opens, then when it is told to", async () => {
    const run = start();
    await channelOpen(run);
    expect(asked[0]?.headers.authorization).toBe(`Bearer ${RUNNER_KEY}`);
    open[0]?.send(WORK);
    await until(() => claims().length >= 3, "the claim of that word");
    open[0]?.send(JSON.stringify({ type: "of a newer server" }));
    open[0]?.send(WORK);
    await until(() => claims().length >= 4, "the next claim");
    expect(asked).toHaveLength(1);
  });

  test("a job is claimed, and the socket closed while it runs; afterwards there is a new one", async () => {
    const run = start();
    await channelOpen(run);
    const answers = [server.admit(UUID)];
    server.onClaim = () => answers.shift() ?? IDLE;
    open[0]?.send(WORK);
    await until(() => run.ends.length >= 1, "the end of the job");
    await until(() => asked.length >= 2, "the next socket");
    await until(() => open.length >= 1, "the first one to be closed");
  });

  test("a claim after a word that brings nothing is repeated once, since the server may not have seen the job yet", async () => {
    server.onClaim = () => ({ ...IDLE, headers: { "retry-after": "4" } });
    const run = start({ clock: fastClock(50) });
    const hours = () => run.clock.slept.filter((ms) => ms === 3_600_000).length;
    await until(() => hours() === 1, "the long wait");
    expect(claims()).toHaveLength(3);
    open[0]?.send(WORK);
    await until(() => hours() === 2, "the next long wait");
    expect(claims()).toHaveLength(5);
    expect(run.clock.slept.filter((ms) => ms === 4_000)).toHaveLength(2);
  });

  test("a word that comes while it asks is not lost", async () => {
    const run = start();
    await channelOpen(run);
    let isTold = false;
    server.onClaim = () => {
      if (!isTold) open[0]?.send(WORK);
      isTold = true;
      return IDLE;
    };
    open[0]?.send(WORK);
    await until(() => claims().length >= 4, "a claim for each word");
  });

  test("while its gang meets, the runner asks as it is told, without a socket", async () => {
    const meeting = { ...IDLE, headers: { "retry-after": "1" } };
    const answers = [meeting, meeting];
    server.onClaim = () => answers.shift() ?? IDLE;
    const run = start();
    await until(() => claims().length >= 3, "the third claim");
    expect(run.clock.slept.slice(0, 2)).toEqual([1_000, 1_000]);
    await until(() => asked.length >= 1, "the socket");
  });

  test("leaving closes it at once", async () => {
    const run = start();
    await channelOpen(run);
    run.leave();
    expect(await run.done).toMatchObject({ kind: "stopped" });
    await until(() => open.length === 0, "the end of the socket");
  });
});

describe("a proxy and a company's certificate", () => {
  test("carry the socket and the claims: by CONNECT, over TLS", async () => {
    const tls = await startTls("server", server.port);
    const proxy = await startProxy({ target: tls.port, login: "user:secret" });
    const read = readCertificates(certificateFile("ca"));
    const roots = await rootsWith(read.ok ? read.certificates : [], {});
    const authorization = `Basic ${Buffer.from("user:secret").toString("base64")}`;
    const by = { isSecure: false, host: "127.0.0.1", port: proxy.port, authorization };
    const way = createTransport(new URL("https://assay.test"), { proxy: by, roots });
    const run = start({ host: "https://assay.test", way });
    await channelOpen(run);
    open[0]?.send(WORK);
    await until(() => claims().length === 3, "the claim after a word");
    run.leave();
    expect(await run.done).toMatchObject({ kind: "stopped" });
    expect(new Set(proxy.asked.map(({ line }) => line))).toEqual(
      new Set(["CONNECT assay.test:443"]),
    );
    await proxy.close();
    await tls.close();
  });
});

describe("a channel that ends", () => {
  test("is opened again", async () => {
    const run = start();
    await channelOpen(run);
    server.onClaim = () => ({ ...IDLE, headers: { "retry-after": "4" } });
    open[0]?.close(1012, "a deployment");
    await until(() => asked.length >= 2, "the next socket");
    expect(run.logs.join("\n")).toContain("the connection was closed (1012, a deployment)");
  });

  test("with 4003: the claim tells whether the key is right", async () => {
    const run = start();
    await channelOpen(run);
    server.onClaim = () => server.error(401, "CLIENT_TOKEN_INVALID");
    open[0]?.close(4003, "the runner's key or offers have changed");
    expect(await run.done).toMatchObject({ kind: "error" });
  });

  test.for([
    [4001, "another agent with this key has opened one"],
    [1008, "refused this agent's messages"],
  ] as const)("with %i: the runner asks every few seconds", async ([code, words]) => {
    const run = start();
    await channelOpen(run);
    server.onClaim = () => ({ ...IDLE, headers: { "retry-after": "4" } });
    open[0]?.close(code);
    await until(() => run.clock.slept.includes(4_000), "an ordinary pause");
    expect(run.logs.join("\n")).toContain(words);
    expect(asked).toHaveLength(1);
  });
});

describe("without a channel", () => {
  test.for([
    [
      "an older server",
      (connection: { end: (text: string) => void }) =>
        connection.end("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
    ],
    [
      "a busy one",
      (connection: { end: (text: string) => void }) =>
        connection.end("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
    ],
  ] as const)("%s: the runner asks every few seconds", async ([, answer]) => {
    server.channel.onUpgrade = (_request, connection) => {
      answer(connection);
      return true;
    };
    server.onClaim = () => ({ ...IDLE, headers: { "retry-after": "4" } });
    const run = start();
    await until(() => run.clock.slept.includes(4_000), "an ordinary pause");
    expect(run.logs.join("\n")).toContain("this runner polls every few seconds");
  });

  test("a proxy that swallows messages: no pong, no trust", async () => {
    answersPings = false;
    server.onClaim = () => ({ ...IDLE, headers: { "retry-after": "4" } });
    const run = start();
    await until(() => run.clock.slept.includes(4_000), "an ordinary pause");
    expect(run.logs.join("\n")).toContain("no answer to a ping");
  });

  test("with --transport poll nobody asks for one", async () => {
    server.onClaim = () => ({ ...IDLE, headers: { "retry-after": "4" } });
    const run = start({ transport: "poll" });
    await until(() => run.clock.slept.includes(4_000), "an ordinary pause");
    expect(asked).toHaveLength(0);
  });
});
