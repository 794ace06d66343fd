/** How much of a reply is read, by whether it is the server's; what was changed or cut on its way. */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { createApiClient } from "../../agent/src/api-client.ts";
import { systemClock } from "../../agent/src/clock.ts";
import { patient } from "../patience.ts";
import { JOB_TOKEN } from "./fake-server.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describe("a server's reply", () => {
  async function ask(answer: Parameters<typeof createServer>[1], timeoutMs = patient(5_000)) {
    const http = createServer(answer);
    await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => {
      http.closeAllConnections();
      return new Promise((resolve) => http.close(resolve));
    });
    const host = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
    const client = createApiClient({
      host,
      token: JOB_TOKEN,
      clock: systemClock,
      log: () => {},
      timeoutMs,
    });
    return client.attempt({ method: "GET", path: "" }, new AbortController().signal);
  }

  /** The headers of a reply of the server to this request, and more. */
  const own = ({ headers }: IncomingMessage, more = {}) => ({
    "assay-nonce": headers["assay-nonce"] ?? "",
    ...more,
  });
  const endless = (response: ServerResponse, text: string): void => {
    const more = (): void => {
      if (!response.destroyed) response.write(text.repeat(1_000), () => setImmediate(more));
    };
    more();
  };

  test("larger than 4 MiB is not read to its end", async () => {
    const reply = await ask((request, response) => {
      response.writeHead(200, own(request));
      endless(response, " ");
    });
    expect(reply).toMatchObject({
      kind: "unavailable",
      message: expect.stringMatching(/larger than 4 MiB/),
    });
  });

  test("that trickles on for ever is given up in time", async () => {
    const reply = await ask((request, response) => {
      response.writeHead(200, own(request));
      const timer = setInterval(() => response.write(" "), 20);
      response.on("close", () => clearInterval(timer));
    }, 300);
    expect(reply).toMatchObject({ message: expect.stringMatching(/no answer within 0\.3 s/) });
  });

  test.each([200, 404])("%i that breaks off is an outage", async (status) => {
    const reply = await ask((request, response) => {
      response.writeHead(status, own(request, { "content-length": "100" }));
      response.write('{"id":');
      setTimeout(() => response.destroy(), 20);
    });
    expect(reply).toMatchObject({ kind: "unavailable" });
  });

  const job = Buffer.from('{"id":"512"}');
  const no = Buffer.from('{"error":{"code":"RESOURCE_NOT_FOUND","message":"gone"}}');
  test.each<[string, number, Buffer, Record<string, string>, object]>([
    [
      "200, compressed",
      200,
      gzipSync(job),
      { "content-encoding": "gzip" },
      { body: { id: "512" } },
    ],
    ["compressed without saying so", 200, gzipSync(job), {}, { body: { id: "512" } }],
    ["404, compressed", 404, gzipSync(no), {}, { kind: "refused", code: "RESOURCE_NOT_FOUND" }],
    ["said to be compressed", 200, job, { "content-encoding": "gzip" }, { body: { id: "512" } }],
    [
      "404, cut in its compressed form",
      404,
      gzipSync(no).subarray(0, 30),
      {},
      { kind: "unavailable", message: expect.stringMatching(/compressed and damaged/) },
    ],
    [
      "a bomb",
      200,
      gzipSync(Buffer.alloc(64 * 2 ** 20)),
      { "content-encoding": "gzip" },
      { kind: "unavailable", message: expect.stringMatching(/larger than 4 MiB/) },
    ],
    [
      "401, in a form nobody asked for",
      200,
      brotliCompressSync(job),
      { "content-encoding": "br" },
      { kind: "unavailable", message: expect.stringMatching(/200, but not the JSON/) },
    ],
  ])("%s", async (_name, status, body, headers, expected) => {
    const reply = await ask((request, response) => {
      expect(request.headers["accept-encoding"]).toBe("identity");
      response.writeHead(status, own(request, headers)).end(body);
    });
    expect(reply).toMatchObject(expected);
  });

  describe("that is a gateway's", () => {
    const told = (words: RegExp) => ({
      kind: "unavailable",
      message: expect.stringMatching(words),
    });

    test("is read no further than its first words, and the connection closed", async () => {
      let sent = 0;
      const closed = Promise.withResolvers<void>();
      const reply = await ask((_request, response) => {
        response.on("close", () => closed.resolve());
        response.writeHead(413, { "content-type": "text/html" });
        const more = (): void => {
          if (response.destroyed) return;
          sent += 65_536;
          const part = Buffer.alloc(65_536, "<b>Entity too large</b> ");
          response.write(part, () => setImmediate(more));
        };
        more();
      });
      expect(reply).toMatchObject(told(/413, .*: Entity too large Entity/));
      await closed.promise;
      expect(sent).toBeLessThan(16 * 2 ** 20);
    });

    test.each([
      ["says something and never ends", "Please wait", /403, .*: Please wait/],
      ["never says anything", "", /403, .*: no text/],
    ])("and %s is left after a second", async (_name, text, words) => {
      const startedAt = performance.now();
      const reply = await ask((_request, response) => {
        response.writeHead(403).flushHeaders();
        if (text !== "") response.write(text);
      }, 60_000);
      expect(reply).toMatchObject(told(words));
      expect(performance.now() - startedAt).toBeLessThan(30_000);
    });

    test("and breaks off is told as far as it came", async () => {
      const reply = await ask((_request, response) => {
        response.writeHead(401, { "content-length": "1000" });
        response.write("Sign in");
        setTimeout(() => response.destroy(), 20);
      });
      expect(reply).toMatchObject(told(/401, .*: Sign in/));
    });

    test("and compressed is told by its status", async () => {
      const reply = await ask((_request, response) => {
        response.writeHead(404, { "content-encoding": "gzip" }).end(gzipSync("<h1>Lost</h1>"));
      });
      expect(reply).toMatchObject(told(/404, .*: no text/));
    });

    test.each([
      ["another protocol", "HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"],
      ["no HTTP at all", "220 mail ESMTP\r\n"],
      ["headers without end", `HTTP/1.1 200 OK\r\nx: ${"a".repeat(100_000)}`],
      ["two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 9\r\n\r\n{}"],
    ])("and is %s is an outage", async (_name, raw) => {
      const server = createTcpServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", () => socket.write(raw));
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      cleanups.push(() => server.close());
      const client = createApiClient({
        host: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
        token: JOB_TOKEN,
        clock: systemClock,
        log: () => {},
        timeoutMs: 2_000,
      });
      const asked = client.attempt({ method: "GET", path: "" }, new AbortController().signal);
      expect(await asked).toMatchObject({ kind: "unavailable" });
    });
  });
});
