/** What stands before workerd: which paths and headers pass, and what a bad, slow or silent client and server get. */
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { startFront } from "../../scripts/lib/front.ts";
import { isRuntimePath, requestHeaders, targetOf } from "../../scripts/lib/front-rules.ts";
import { errorSchema } from "../../src/api/schemas.ts";

describe("paths of the runtime", () => {
  test.for([
    "/cdn-cgi/explorer/api/d1/x/raw",
    "/cdn-cgi",
    "/cdn-cgi?x",
    "/CDN-cgi/handler/scheduled",
    "//cdn-cgi/handler/scheduled",
    "/./cdn-cgi/x",
    "/v0/../cdn-cgi/x",
    "/v0/%2e%2E/cdn-cgi/x",
    "/%63dn-cgi/x",
    "/%2563dn-cgi/x",
    "/cdn%2Dcgi/x",
    "/cdn-cgi%2fx",
    "/cdn-cgi;a=b/x",
    "/\\cdn-cgi\\x",
    "/a/..%5ccdn-cgi/x",
    "/cdn-%09cgi/x",
    "/cdn-cgi/x#/../..",
    "/cdn-cgi#x",
    "/cdn-cgi/x/..;/..;/..;/y",
    "/cdn-cgi/x%2f..%2f..%2f..",
    "/__cf_local/imageupload",
  ])("%s is one", (path) => {
    expect(isRuntimePath(path)).toBe(true);
  });

  test.for([
    "/",
    "/health",
    "/v0/specs/cdn-cgi",
    "/docs?next=/cdn-cgi/x",
    "/cdn-cgi-notes",
    "/%",
    "/%zz",
  ])("%s is none", (path) => {
    expect(isRuntimePath(path)).toBe(false);
  });
});

describe("targets", () => {
  test("an absolute target names path and host itself (RFC 9112 §3.2.2)", () => {
    expect(targetOf("http://a.example:80/v0/x?y", "b.example")).toEqual({
      path: "/v0/x?y",
      host: "a.example",
    });
    expect(targetOf("/v0/x", "[::1]:8787")).toEqual({ path: "/v0/x", host: "[::1]:8787" });
  });

  test.for([
    ["/cdn-cgi/x#/../../..", "/cdn-cgi/x"],
    ["/a%2fb/../cdn-cgi/x?y#z", "/cdn-cgi/x?y"],
    ["/a%5Cb/%2E./cdn-cgi/x", "/cdn-cgi/x"],
    ["//v0//x/", "//v0//x/"],
    ["/v0/%2f?a=%23&b=../c", "/v0/%2f?a=%23&b=../c"],
    ["/%?%", "/%?%"],
  ] as const)("%s is passed on as workerd reads it", ([url, path]) => {
    expect(targetOf(url, "a")?.path).toBe(path);
  });

  test.for([
    ["/health", undefined],
    ["/health", ""],
    ["/health", "evil/cdn-cgi/local/scheduled#"],
    ["/health", "a b"],
    ["/health", "user@host"],
    ["/health", "host\\x"],
    ["*", "localhost"],
    ["ftp://a/x", "localhost"],
    ["http://", "localhost"],
  ] as const)("%s with host %s is refused", ([url, host]) => {
    expect(targetOf(url, host)).toBeNull();
  });
});

test("headers: the platform's are replaced, those of the connection dropped, all others kept", () => {
  const raw = [
    ...[
      "Host",
      "forged",
      "CF-Connecting-IP",
      "6.6.6.6",
      "Cf-Ray",
      "x",
      "MF-Original-URL",
      "http://x/cdn-cgi/",
    ],
    ...[
      "X-Forwarded-Proto",
      "https",
      "x-forwarded-for",
      "6.6.6.6",
      "Forwarded",
      "for=6.6.6.6",
      "X-Real-IP",
      "6",
    ],
    ...[
      "Connection",
      "keep-alive, X-Hop, Content-Length",
      "X-Hop",
      "1",
      "Keep-Alive",
      "5",
      "TE",
      "trailers",
    ],
    ...["Content-Length", "3", "Authorization", "Bearer t", "Accept", "a", "Accept", "b"],
  ];
  const target = { path: "/", host: "assay.example" };
  expect(requestHeaders(raw, target, "::ffff:192.0.2.7")).toEqual([
    ...["Host", "assay.example", "Content-Length", "3", "Authorization", "Bearer t"],
    ...["Accept", "a", "Accept", "b", "CF-Connecting-IP", "192.0.2.7"],
  ]);
  expect(requestHeaders([], target, "fe80::1%eth0").at(-1)).toBe("fe80::1");
});

interface Reply {
  status: number;
  headers: IncomingMessage["headers"];
  text: string;
}

/** A front before a server of the test. */
async function frontOf(
  handler: (req: IncomingMessage, res: ServerResponse) => void,
  limits: Parameters<typeof startFront>[1] = {},
) {
  const inner = createServer(handler);
  await new Promise<void>((done) => inner.listen(0, "127.0.0.1", done));
  const { port: innerPort } = inner.address() as AddressInfo; // it listens on a port
  const front = await startFront({ host: "127.0.0.1", port: 0, innerPort }, limits);
  onTestFinished(async () => {
    await front.close();
    inner.closeAllConnections();
    inner.close();
  });
  return { port: front.port, inner };
}

function send(
  port: number,
  {
    path = "/",
    method = "GET",
    headers = {},
    body,
  }: {
    path?: string;
    method?: string;
    headers?: Record<string, string>;
    body?: Buffer | string;
  } = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const req = request({ port, host: "127.0.0.1", path, method, headers, agent: false }, (res) => {
      let text = "";
      res.on("data", (chunk: Buffer) => {
        text += chunk.toString();
      });
      res.on("end", () => resolve({ status: res.statusCode ?? 0, headers: res.headers, text }));
      res.on("error", reject);
    });
    req.on("error", reject).end(body);
  });
}

/** What a connection answers to these bytes until it ends. */
function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(bytes));
    let text = "";
    socket.on("data", (chunk) => {
      text += chunk.toString();
    });
    socket.on("error", () => {}).once("close", () => resolve(text));
  });
}

function expectError(text: string, code: string) {
  const body = errorSchema.strict().parse(JSON.parse(text));
  expect(body.error.code).toBe(code);
}

test("a request and its reply pass unchanged, with the client's own address", async () => {
  const { port } = await frontOf((req, res) => {
    let body = "";
    req.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    req.on("end", () => {
      res.writeHead(201, "Made", ["X-One", "1", "Set-Cookie", "a=1", "Set-Cookie", "b=2"]);
      res.end(
        JSON.stringify([
          req.method,
          req.url,
          req.headers.host,
          req.headers["cf-connecting-ip"],
          body,
        ]),
      );
    });
  });
  const reply = await send(port, {
    path: "/v0/x?y=%2F",
    method: "PUT",
    headers: { host: "assay.example", "cf-connecting-ip": "6.6.6.6", "content-type": "text/plain" },
    body: "hello",
  });
  expect(JSON.parse(reply.text)).toEqual([
    "PUT",
    "/v0/x?y=%2F",
    "assay.example",
    "127.0.0.1",
    "hello",
  ]);
  expect([reply.status, reply.headers["x-one"], reply.headers["set-cookie"]]).toEqual([
    201,
    "1",
    ["a=1", "b=2"],
  ]);
});

test("bodies of every framing and method keep it, and none is made up", async () => {
  const { port } = await frontOf((req, res) => {
    let bytes = 0;
    req.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
    });
    const { "content-length": length = null, "transfer-encoding": encoding = null } = req.headers;
    req.on("end", () => res.end(JSON.stringify([length, encoding, bytes])));
  });
  const of = async (options: Parameters<typeof send>[1]) =>
    JSON.parse((await send(port, options)).text);
  expect(await of({})).toEqual([null, null, 0]);
  expect(await of({ method: "DELETE", body: "abc", headers: { "content-length": "3" } })).toEqual([
    "3",
    null,
    3,
  ]);
  expect(
    await of({ method: "DELETE", body: "abc", headers: { "transfer-encoding": "chunked" } }),
  ).toEqual([null, "chunked", 3]);
  expect(
    await of({ method: "POST", body: "abc", headers: { "transfer-encoding": "chunked" } }),
  ).toEqual([null, "chunked", 3]);
  expect(await of({ method: "POST", headers: { "content-length": "0" } })).toEqual(["0", null, 0]);
  const bare = await raw(port, "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  expect(bare).toContain('["0",null,0]');
});

test("paths of the runtime are 404 and reach nobody, in every form and as an upgrade", async () => {
  const seen: string[] = [];
  const { port, inner } = await frontOf((req, res) => {
    seen.push(req.url ?? "");
    res.end();
  });
  inner.on("upgrade", (req, socket) => {
    seen.push(req.url ?? "");
    socket.destroy();
  });
  const reply = await send(port, { path: "/cdn-cgi/explorer/api/d1", method: "POST", body: "x" });
  expect(reply.status).toBe(404);
  expectError(reply.text, "RESOURCE_NOT_FOUND");
  const head = await send(port, { path: "/cdn-cgi/x", method: "HEAD" });
  expect([head.status, head.text]).toEqual([404, ""]);
  for (const target of [
    "http://localhost/cdn-cgi/x",
    "//cdn-cgi/x",
    "/a/../cdn-cgi/x",
    "/cdn-cgi/handler/scheduled#/../../..",
    "/a%2fb/../cdn-cgi/handler/scheduled",
    "/cdn-cgi/local/r2/public/assay/..;/..;/..;/..;/..;/x",
  ]) {
    expect(
      await raw(port, `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`),
      target,
    ).toMatch(/^HTTP\/1.1 404 /);
  }
  const upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  expect(await raw(port, `GET /cdn-cgi/live-reload HTTP/1.1\r\nHost: a\r\n${upgrade}`)).toMatch(
    /^HTTP\/1.1 404 /,
  );
  expect(
    await raw(port, "GET /health HTTP/1.1\r\nHost: x/cdn-cgi/y#\r\nConnection: close\r\n\r\n"),
  ).toMatch(/^HTTP\/1.1 400 /);
  expect(await raw(port, "CONNECT localhost:80 HTTP/1.1\r\nHost: a\r\n\r\n")).toBe("");
  expect(seen).toEqual([]);
});

test("a refusal reaches a client that still sends, again and again", async () => {
  const { port } = await frontOf((req, res) => {
    // As the Worker does outside Cloudflare: it decides at once, and reads the rest.
    req.resume().on("end", () => {
      res.writeHead(413, { "content-length": "7" });
      res.end("too big");
    });
  });
  for (let round = 0; round < 20; round++) {
    const replies = await Promise.all(
      [1_000_000, 4_000_000, 15_000_000].map((size) =>
        send(port, { method: "POST", body: Buffer.alloc(size) }),
      ),
    );
    for (const reply of replies) expect([reply.status, reply.text]).toEqual([413, "too big"]);
  }
  // Beyond what is read to its end, the front itself refuses; an unread rest does not lose its reply either.
  const long = await send(port, { method: "POST", body: Buffer.alloc(24_000_000) });
  expect(long.status).toBe(413);
  expectError(long.text, "REQUEST_TOO_LARGE");
  for (let round = 0; round < 20; round++) {
    const reply = await send(port, {
      path: "/cdn-cgi/x",
      method: "POST",
      body: Buffer.alloc(8_000_000),
    });
    expect(reply.status).toBe(404);
  }
});

test("a server that is down, silent in the middle or of another kind is 503, or breaks the reply", async () => {
  const { port, inner } = await frontOf((req, res) => {
    if (req.url === "/cut") {
      res.writeHead(200, { "content-length": "10" });
      res.write("12345", () => res.destroy());
    } else if (req.url === "/gone") res.destroy();
    else {
      res.statusCode = 500;
      res.end("Error: at Worker (/home/you/assay)");
    }
  });
  await expect(send(port, { path: "/cut" })).rejects.toThrow();
  for (const path of ["/gone", "/runtime-error"]) {
    const reply = await send(port, { path, method: "POST", body: "x" });
    expect(reply.status, path).toBe(503);
    expect(reply.headers["retry-after"]).toBe("2");
    expectError(reply.text, "SERVICE_UNAVAILABLE");
  }
  await new Promise((done) => inner.close(done));
  expect((await send(port)).status).toBe(503);
});

test("slow and silent clients are cut off, malformed ones told so; others do not notice", async () => {
  const { port } = await frontOf((_req, res) => res.end("ok"), {
    headersTimeout: 300,
    requestTimeout: 600,
    connectionsCheckingInterval: 50,
  });
  const silent = raw(port, "");
  const slowHead = raw(port, "GET / HTTP/1.1\r\nHost: a\r\n");
  const slowBody = raw(port, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
  expect((await send(port)).text).toBe("ok");
  expect(await silent).toMatch(/^(?:HTTP\/1.1 400 |$)/);
  expect(await slowHead).toContain("The request did not arrive in time");
  await slowBody;
  expect(await raw(port, "nonsense\r\n\r\n")).toMatch(
    /^HTTP\/1.1 400 .*The request is not valid HTTP/s,
  );
  const long = await raw(
    port,
    `GET / HTTP/1.1\r\nHost: a\r\nX-Long: ${"x".repeat(70_000)}\r\n\r\n`,
  );
  expect(long).toMatch(/^HTTP\/1.1 413 .*REQUEST_TOO_LARGE/s);
  expect(
    await raw(
      port,
      "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
  ).toMatch(/^HTTP\/1.1 400 /);
  expect((await send(port)).text).toBe("ok");
});

test("a connection serves several requests, and a client that leaves ends its request to the server", async () => {
  let left: () => void = () => {};
  const hasLeft = new Promise<void>((resolve) => {
    left = resolve;
  });
  const { port } = await frontOf((req, res) => {
    if (req.url === "/wait") res.on("close", left);
    else res.end("ok");
  });
  const one = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  const both = await raw(port, `${one}${one.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")}`);
  expect(both.match(/HTTP\/1.1 200 OK/g)).toHaveLength(2);
  const socket = connect(port, "127.0.0.1", () =>
    socket.write("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n"),
  );
  setTimeout(() => socket.destroy(), 100);
  await hasLeft;
});

test("a reply flows at the reader's pace: the server is held back, and nothing is lost", async () => {
  const size = 64 * 1_024 * 1_024;
  let written = 0;
  let writtenBefore = 0;
  const { port } = await frontOf((_req, res) => {
    const chunk = Buffer.alloc(64 * 1_024, 1);
    const write = () => {
      while (written < size) {
        written += chunk.length;
        if (!res.write(chunk)) {
          res.once("drain", write);
          return;
        }
      }
      res.end();
    };
    write();
  });
  const received = await new Promise<number>((resolve, reject) => {
    request({ port, host: "127.0.0.1", agent: false }, (res) => {
      let bytes = 0;
      res.pause();
      setTimeout(() => {
        writtenBefore = written;
        res.resume();
        res.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
        });
        res.on("end", () => resolve(bytes));
      }, 500);
    })
      .on("error", reject)
      .end();
  });
  expect(writtenBefore).toBeLessThan(size / 2);
  expect(received).toBe(size);
});

describe("upgrades", () => {
  /** A server that agrees to every upgrade and sends back what it gets, in capitals. */
  async function echo() {
    const inner = createTcpServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", (head) => {
        inner.emit("head", head.toString());
        socket.write(
          "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: yes\r\n\r\nhi ",
        );
        socket.on("data", (chunk) => socket.write(chunk.toString().toUpperCase()));
      });
    });
    await new Promise<void>((done) => inner.listen(0, "127.0.0.1", done));
    const { port: innerPort } = inner.address() as AddressInfo; // it listens on a port
    const front = await startFront({ host: "127.0.0.1", port: 0, innerPort });
    onTestFinished(async () => {
      await front.close();
      inner.close();
    });
    return { port: front.port, head: new Promise<string>((done) => inner.once("head", done)) };
  }

  test("bytes flow both ways, early ones too, until one side ends", async () => {
    const { port, head } = await echo();
    const socket: Socket = connect(port, "127.0.0.1", () =>
      socket.write(
        "GET /channel HTTP/1.1\r\nHost: a\r\nCF-Connecting-IP: 6.6.6.6\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\nearly ",
      ),
    );
    let text = "";
    const heard = (what: string) =>
      new Promise<void>((done) => {
        socket.on("data", () => {
          if (text.includes(what)) done();
        });
      });
    socket.on("data", (chunk) => {
      text += chunk.toString();
    });
    await heard("EARLY");
    expect(text).toMatch(/^HTTP\/1.1 101 .*\r\nSec-WebSocket-Accept: yes\r\n.*\r\n\r\nhi EARLY $/s);
    expect(await head).toMatch(/\r\nCF-Connecting-IP: 127.0.0.1\r\n/);
    socket.write("late");
    await heard("LATE");
    socket.end();
    await new Promise((done) => socket.once("close", done));
  });

  test("a refused upgrade is the server's own reply; another protocol is ignored", async () => {
    const { port } = await frontOf((req, res) => {
      res.statusCode = 426;
      res.end(String(req.headers.upgrade ?? "none"));
    });
    const ask = (protocol: string) =>
      raw(
        port,
        `GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: ${protocol}\r\n\r\n`,
      );
    expect(await ask("websocket")).toMatch(/^HTTP\/1.1 426 .*websocket/s);
    expect(await ask("h2c")).toMatch(/^HTTP\/1.1 426 .*none/s);
  });
});
