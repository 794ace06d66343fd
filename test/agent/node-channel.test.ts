/** The agent's side of the node channel: what it holds, what it says of it, and what nobody can do to it. */
import type { Duplex } from "node:stream";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { WebSocket } from "ws";
import { createTransport } from "../../agent/src/http/transport.ts";
import { readCertificates, rootsWith } from "../../agent/src/http/trust.ts";
import type { RunStep } from "../../agent/src/step-context.ts";
import { patient } from "../patience.ts";
import { type FakeServer, startFakeServer } from "./fake-server.ts";
import { fastClock, shortChannel, startAgent, until } from "./helpers.ts";
import { certificateFile, startProxy, startRelay, startTls } from "./network-stand-ins.ts";

let server: FakeServer;
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await server.close();
});
function keep<T extends { close(): unknown }>(started: T): T {
  cleanups.push(() => started.close());
  return started;
}

const UUIDS = ["550e8400-e29b-41d4-a716-446655440000", "550e8400-e29b-41d4-a716-446655440001"];

/** A job of two nodes that wait for each other after their first step: there is time to do something to a socket. */
const twoNodes = () =>
  startFakeServer({
    nodeCount: 2,
    sequence: [{ benchmark_id: "quick_mark" }, { benchmark_id: "cluster_network" }],
    pollAfterSeconds: 60,
  });
const completed: RunStep = async () => ({ state: "completed", results: {} });

/** The first of two nodes; its polls are a minute apart, by the machine's own clock. */
function waiting(more: Parameters<typeof startAgent>[1] = {}) {
  const clock = fastClock(1);
  const options = { transport: "auto", clock, runStep: completed, ...more } as const;
  const agent = startAgent(server.url, options);
  cleanups.push(() => {
    agent.abort();
    return agent.end.catch(() => {});
  });
  return agent;
}

const other = () => startAgent(server.url, { machineUuid: UUIDS[1] ?? "", runStep: completed });
const said = (agent: { logs: string[] }) => agent.logs.filter((line) => /channel|poll/.test(line));

describe("a channel", () => {
  beforeEach(async () => {
    server = await twoNodes();
  });

  test("carries a node through a job: polls only until it is open, joins and results by HTTP", async () => {
    const agent = waiting();
    await until(() => server.channel.open.length >= 1, "a channel");
    await until(() => server.of("PUT").length >= 1, "the first result");
    const polls = server.of("GET").length;
    await other().end;
    const end = await agent.end;
    expect(end).toMatchObject({ transport: "channel", task: { state: "completed" } });
    const own = server.of("GET").filter(({ path }) => path.endsWith("1"));
    expect(own.length, "no poll since").toBeLessThanOrEqual(polls);
    expect(server.of("POST")).toHaveLength(2);
    expect(server.of("PUT")).toHaveLength(4);
    expect(said(agent)).toEqual(["waiting for changes on an open channel"]);
    const [hello] = server.channel.heard;
    expect(hello).toMatchObject({
      type: "hello",
      task_id: "7554621441",
      known_etag: expect.stringMatching(/^"/),
    });
    expect(server.channel.asked[0]?.headers).toMatchObject({
      authorization: expect.stringMatching(/^Bearer /),
      "assay-nonce": expect.stringMatching(/^[\w-]{22}$/),
    });
  });

  test("is asked once for all its time, and pings keep it", async () => {
    waiting();
    await until(() => server.channel.pings >= 5, "pings");
    expect(server.channel.asked).toHaveLength(1);
  });

  test("sends progress, at most one in its time, and no heartbeat besides", async () => {
    const runStep: RunStep = async (_step, { report }) => {
      await until(() => server.channel.open.length >= 1, "a channel");
      const patches = server.of("PATCH").length;
      for (let n = 1; n <= 50; n++) {
        report(n / 50, `part ${n}`);
        await new Promise((resolve) => setTimeout(resolve, 4));
      }
      await until(() => server.channel.heard.length > 1, "progress");
      expect(server.of("PATCH").length - patches).toBe(0);
      return { state: "completed", results: {} };
    };
    const channelBounds = { ...shortChannel, progressMs: 60_000 };
    waiting({ clock: fastClock(1_000), runStep, channelBounds });
    await until(() => server.of("PUT").length >= 1, "the result");
    expect(server.of("PUT")[0]?.body.state).toBe("completed");
    const progress = server.channel.heard.filter(({ type }) => type === "progress");
    expect(progress).toHaveLength(1);
    expect(progress[0]).toMatchObject({
      progress: expect.any(Number),
      message: expect.stringMatching(/part|starts/),
    });
  });

  test("stops a running step when the job is aborted, at once", async () => {
    let reason: unknown = null;
    const runStep: RunStep = async (_step, { signal }) => {
      await until(() => server.channel.open.length >= 1, "a channel");
      server.abort();
      return new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          reason = signal.reason;
          reject(signal.reason);
        });
      });
    };
    const end = await waiting({ runStep }).end;
    expect(reason).toMatchObject({ message: "the job has ended" });
    expect(end).toMatchObject({ kind: "stopped", task: { state: "aborted" } });
    expect(server.of("PUT")).toEqual([]);
  });

  test("is gone with its agent, at once", async () => {
    const agent = waiting();
    await until(() => server.channel.open.length >= 1, "a channel");
    agent.abort();
    await expect(agent.end).rejects.toThrow();
    await until(() => server.channel.open.length === 0, "its end");
  });

  test("by --transport poll there is none", async () => {
    const agent = waiting({ transport: "poll" });
    await until(() => server.of("PUT").length >= 1, "the first result");
    await other().end;
    expect(server.channel.asked).toEqual([]);
    agent.abort();
  });
});

describe("a channel that ends", () => {
  beforeEach(async () => {
    server = await twoNodes();
  });

  test.each([
    [
      "a deployment",
      () => server.channel.close(1012, "service restart"),
      /connection was closed \(1012, service restart\)/,
    ],
    ["a cut connection", () => server.channel.cut(), /connection (was closed|broke)/],
    ["a busy server", () => server.channel.close(1013), /the server is busy \(1013\)/],
    [
      "a server that heard nothing",
      () => server.channel.close(4008),
      /has not heard from this node \(4008\)/,
    ],
  ])("by %s comes back, and what happened meanwhile is told", async (_name, end, words) => {
    const agent = waiting();
    await until(() => server.channel.open.length >= 1, "a channel");
    await until(() => server.of("PUT").length >= 1, "the first result");
    end();
    await until(
      () => server.channel.open.length === 1 && server.channel.asked.length === 2,
      "the next",
    );
    await other().end;
    expect(await agent.end).toMatchObject({ transport: "channel", task: { state: "completed" } });
    expect(said(agent)[1]).toMatch(words);
    expect(said(agent)[2]).toMatch(/^waiting for changes/);
  });

  test("is polled for at once: the end of a socket may be the end of the job", async () => {
    const agent = waiting({ channelBounds: { ...shortChannel, spreadMs: 600_000 } });
    await until(() => server.of("PUT").length >= 1, "the first result");
    await until(() => server.channel.open.length >= 1, "a channel");
    const polls = server.of("GET").length;
    server.channel.close(1000, "the job has ended");
    await until(() => server.of("GET").length > polls, "a poll");
    expect(said(agent)[1], "nothing is to come back").toBe(
      "the server has closed the channel: the job has ended (1000, the job has ended)",
    );
  });

  test("takes along the view that it brought last: the server is asked for what came after", async () => {
    const agent = waiting({ channelBounds: { ...shortChannel, spreadMs: 600_000 } });
    let polls = Number.POSITIVE_INFINITY;
    server.beforeReply = async ({ method }) => {
      if (method !== "PUT") return;
      await until(() => server.channel.open.length >= 1, "a channel");
      server.channel.push();
      server.channel.close(1000, "the job has ended");
      await until(() => said(agent).some((line) => /has closed/.test(line)), "its end");
      polls = server.of("GET").length;
    };
    await until(() => server.of("GET").length > polls, "a poll");
  });

  test("by 1000 from something in between, while the job lives, comes back", async () => {
    const agent = waiting();
    await until(() => server.of("PUT").length >= 1, "the first result");
    await until(() => server.channel.open.length >= 1, "a channel");
    server.channel.close(1000, "idle timeout");
    await until(
      () => server.channel.open.length === 1 && server.channel.asked.length === 2,
      "the next",
    );
    await other().end;
    expect(await agent.end).toMatchObject({ transport: "channel", task: { state: "completed" } });
  });

  test("three times in a minute is enough", async () => {
    const agent = waiting();
    for (let n = 1; n <= 3; n++) {
      await until(
        () => server.channel.open.length === 1 && server.channel.asked.length === n,
        `no. ${n}`,
      );
      server.channel.close(1012);
    }
    await until(() => said(agent).some((line) => /rarely/.test(line)), "polling");
    expect(server.channel.asked).toHaveLength(3);
  });

  test("is tried again and again by --transport channel", async () => {
    waiting({ transport: "channel" });
    for (let n = 1; n <= 6; n++) {
      await until(
        () => server.channel.open.length === 1 && server.channel.asked.length === n,
        `no. ${n}`,
      );
      server.channel.close(1012);
    }
  });

  test.each([
    [1003, "", /refused this agent's messages \(1003\)/],
    [
      1008,
      "progress comes at most once in 5 s",
      /messages \(1008, progress comes at most once in 5 s\)/,
    ],
    [1009, "", /a message of this length \(1009\)/],
    [
      4001,
      "the task has opened another socket",
      /another agent has opened one .*was this one started twice\?/,
    ],
    [4003, "", /the task's token is no longer valid \(4003\)/],
  ])("by %i is not tried again, and the words say why", async (code, reason, words) => {
    const agent = waiting();
    await until(() => server.channel.open.length >= 1, "a channel");
    await until(() => server.of("PUT").length >= 1, "the first result");
    server.channel.close(code, reason);
    await until(() => said(agent).length >= 2, "words");
    expect(said(agent)[1]).toMatch(words);
    expect(said(agent)[1]).toMatch(/^polling the server; a channel is not possible/);
    await other().end;
    agent.abort();
    expect(server.channel.asked).toHaveLength(1);
  });
});

describe("where no channel is possible, the node polls and says so", () => {
  beforeEach(async () => {
    server = await startFakeServer();
  });

  const answers = (text: string) => (_request: unknown, connection: Duplex) => {
    connection.end(text);
    return true;
  };
  const http = (status: string, body: string, more = "") =>
    `HTTP/1.1 ${status}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n${more}\r\n${body}`;
  const hello = (
    socket: { on: (event: "message", listener: () => void) => unknown },
    act: () => void,
  ) => {
    let isFirst = true;
    socket.on("message", () => {
      if (isFirst) act();
      isFirst = false;
    });
    return true;
  };

  /** Runs until the words come, however often the channel is tried. */
  async function polling(words: RegExp): Promise<void> {
    let isSaid = false;
    const runStep: RunStep = async () => {
      await until(() => isSaid, `words: ${words}; said ${JSON.stringify(agent.logs)}`);
      return { state: "completed", results: {} };
    };
    const agent = startAgent(server.url, {
      transport: "auto",
      runStep,
      clock: fastClock(100),
      channelBounds: { ...shortChannel, messages: 50, spreadMs: 5 },
    });
    const watch = until(() => said(agent).some((line) => words.test(line)), String(words));
    void watch.then(() => {
      isSaid = true;
    });
    expect(await agent.end).toMatchObject({ transport: "polling", task: { state: "completed" } });
    await watch;
    expect(server.of("PUT")).toHaveLength(1);
  }

  test.each<[string, string, RegExp]>([
    [
      "a gateway's 404",
      http("404 Not Found", "<title>No such page</title>"),
      /refused by something in front of the server: 404 No such page/,
    ],
    ["a gateway's 200", http("200 OK", "welcome"), /something in front of the server: 200 welcome/],
    ["a gateway's 401", http("401 No", "{}"), /something in front of the server: 401/],
    [
      "a 101 of something else",
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
      /Invalid Upgrade header|rarely/,
    ],
    ["a 502, again and again", http("502 Bad Gateway", ""), /rarely trying the channel/],
    ["junk", "\u0000\u0001\u0002 junk\r\n\r\n", /rarely trying the channel/],
    ["an end without a word", "", /rarely trying the channel/],
  ])("%s", async (_name, text, words) => {
    server.channel.onUpgrade = answers(text);
    await polling(words);
  });

  test("an older server's 404", async () => {
    server.channel.onUpgrade = (request, connection) => {
      const nonce = `assay-nonce: ${request.headers["assay-nonce"]}\r\n`;
      const body = JSON.stringify({ error: { code: "RESOURCE_NOT_FOUND", message: "No route" } });
      return answers(http("404 Not Found", body, nonce))(request, connection);
    };
    await polling(/refused by the server: 404 No route/);
  });

  test("a page without end", async () => {
    server.channel.onUpgrade = (_request, connection) => {
      connection.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 99999999\r\n\r\n");
      const drip = setInterval(() => connection.write("x".repeat(1_000)), 1);
      connection.on("close", () => clearInterval(drip));
      return true;
    };
    await polling(/something in front of the server: 403/);
  });

  test("silence", async () => {
    server.channel.onUpgrade = () => true;
    await polling(/rarely trying the channel: no answer within .* s: does a proxy block it\?/);
  });

  test("a hello without an answer", async () => {
    server.channel.onSocket = () => true;
    await polling(/no answer to its first message within .* s/);
  });

  test("a ping without an answer", async () => {
    server.channel.onPing = () => true;
    await polling(/no answer to a ping within .* s: does a proxy block it\?/);
  });

  test("pings that are answered no more: the connection is lost, and there is another", async () => {
    server.channel.onPing = () => server.channel.pings > 2 && server.channel.asked.length === 1;
    let isBack = false;
    const runStep: RunStep = async () => {
      await until(() => server.channel.asked.length >= 2 && server.channel.pings > 4, "another");
      isBack = true;
      return { state: "completed", results: {} };
    };
    await startAgent(server.url, { transport: "auto", runStep, clock: fastClock(1) }).end;
    expect(isBack).toBe(true);
  });

  const NONCE = "AAAAAAAAAAAAAAAAAAAAAA";
  const view = (more: object) =>
    JSON.stringify({ type: "view", etag: '"e"', view: { id: "1", directive: "stop" }, ...more });
  test.each<[string, (socket: WebSocket) => void, RegExp]>([
    [
      "a view without the nonce",
      (socket) => socket.send(view({})),
      /something in front of the server answers it/,
    ],
    [
      "a view with another nonce",
      (socket) => socket.send(view({ nonce: NONCE })),
      /something in front/,
    ],
    ["binary", (socket) => socket.send(Buffer.alloc(8)), /binary/],
    [
      "a message of 8 MiB",
      (socket) => socket.send("x".repeat(2 ** 23)),
      /Max payload size exceeded/,
    ],
    ["no JSON", (socket) => socket.send("hello yourself"), /not from the server/],
    ["JSON without a type", (socket) => socket.send("[1]"), /not from the server/],
    ["a pong before all else", (socket) => socket.send("pong"), /not from the server/],
    ["a view that is none", (socket) => socket.send(view({ view: 7 })), /not from the server/],
    [
      "messages without end",
      (socket) => {
        for (let n = 0; n < 100; n++) socket.send('{"type":"weather"}');
      },
      /sends too much/,
    ],
    [
      "a message in pieces without end",
      (socket) => {
        for (let n = 0; n < 200; n++) socket.send("x", { fin: false });
      },
      /Too many message fragments/,
    ],
  ])("%s", async (_name, act, words) => {
    server.channel.onSocket = (socket) => hello(socket, () => act(socket));
    await polling(words);
  });

  test("a frame that never ends", async () => {
    server.channel.onSocket = (socket) =>
      hello(socket, () => {
        // `as`: the type hides the connection. A text frame of 100,000 bytes begins, and drips.
        const { _socket: raw } = socket as unknown as { _socket: Duplex };
        raw.write(Buffer.from([0x81, 127, 0, 0, 0, 0, 0, 1, 0x86, 0xa0]));
        const drip = setInterval(() => raw.write("x"), 1);
        raw.on("close", () => clearInterval(drip));
      });
    await polling(/no answer to its first message within/);
  });
});

describe("a server that has vanished without a word", () => {
  test("is found out by a ping, and there is another channel", async () => {
    server = await twoNodes();
    const relay = keep(await startRelay(server.port));
    const clock = fastClock(1);
    const agent = startAgent(`http://127.0.0.1:${relay.port}`, {
      transport: "auto",
      clock,
      runStep: completed,
    });
    await until(() => server.of("PUT").length >= 1, "the first result");
    await until(() => server.channel.pings > 2, "pings that are answered");
    relay.freeze();
    await until(() => server.channel.asked.length >= 2, "another channel");
    expect(server.channel.open.length, "the server knows of no end").toBeLessThanOrEqual(2);
    await other().end;
    expect(await agent.end).toMatchObject({ transport: "channel", task: { state: "completed" } });
    expect(said(agent)[1]).toMatch(/^no channel: no answer to a ping within .* until it is back$/);
  });
});

describe("what stands in between", () => {
  beforeEach(async () => {
    server = await startFakeServer();
  });

  /** A step that ends once the channel is open. */
  const untilOpen: RunStep = async () => {
    await until(() => server.channel.open.length >= 1, "a channel");
    return { state: "completed", results: {} };
  };

  test("a proxy and a company's certificate: by CONNECT, over TLS", async () => {
    const tls = keep(await startTls("server", server.port));
    const proxy = keep(await startProxy({ target: tls.port, login: "user:secret" }));
    const read = readCertificates(certificateFile("ca"));
    const roots = await rootsWith(read.ok ? read.certificates : [], {});
    const login = `Basic ${Buffer.from("user:secret").toString("base64")}`;
    const by = { isSecure: false, host: "127.0.0.1", port: proxy.port, authorization: login };
    const way = createTransport(new URL("https://assay.test"), { proxy: by, roots });
    const agent = startAgent("https://assay.test", {
      transport: "auto",
      way,
      runStep: untilOpen,
      clock: fastClock(1),
    });
    expect(await agent.end).toMatchObject({ transport: "channel", task: { state: "completed" } });
    expect(new Set(proxy.asked.map(({ line }) => line))).toEqual(
      new Set(["CONNECT assay.test:443"]),
    );
  });

  test("a proxy before a server without TLS: the socket by CONNECT, the rest forwarded", async () => {
    const proxy = keep(await startProxy({ target: server.port }));
    const by = { isSecure: false, host: "127.0.0.1", port: proxy.port, authorization: null };
    const way = createTransport(new URL("http://assay.test"), { proxy: by, roots: null });
    const agent = startAgent("http://assay.test", {
      transport: "auto",
      way,
      runStep: untilOpen,
      clock: fastClock(1),
    });
    expect(await agent.end).toMatchObject({ transport: "channel", task: { state: "completed" } });
    const lines = proxy.asked.map(({ line }) => line);
    expect(lines.filter((line) => line.startsWith("CONNECT"))).toEqual(["CONNECT assay.test:80"]);
    expect(lines[0]).toMatch(/^GET http:\/\/assay\.test\//);
  });

  test("without the certificate nothing is sent, and no channel either", async () => {
    const tls = keep(await startTls("server", server.port));
    const proxy = keep(await startProxy({ target: tls.port }));
    const by = { isSecure: false, host: "127.0.0.1", port: proxy.port, authorization: null };
    const way = createTransport(new URL("https://assay.test"), { proxy: by, roots: null });
    const { signal } = new AbortController();
    const listener = { text() {}, closed() {}, broken() {} };
    const asked = {
      url: new URL("https://assay.test/x"),
      headers: { authorization: "Bearer secret" },
    };
    await expect(way.dial(asked, listener, patient(5_000), signal)).rejects.toThrow(
      /is not trusted .* --ca FILE/,
    );
    expect(server.channel.asked).toEqual([]);
  });
});
