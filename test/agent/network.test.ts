/** What stands between an agent and its server: proxies, certificates, silence. */
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createApiClient } from "../../agent/src/api-client.ts";
import { systemClock } from "../../agent/src/clock.ts";
import { parseDuration } from "../../agent/src/duration.ts";
import { proxyFor } from "../../agent/src/http/proxy.ts";
import { createTransport } from "../../agent/src/http/transport.ts";
import { readCertificates, rootsWith } from "../../agent/src/http/trust.ts";
import { patient } from "../patience.ts";
import { type FakeServer, JOB_TOKEN, startFakeServer } from "./fake-server.ts";
import { startAgent, steppingClock } from "./helpers.ts";
import { certificateFile, startProxy, startTls } from "./network-stand-ins.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
function keep<T extends { close(): unknown }>(started: T): T {
  cleanups.push(() => started.close());
  return started;
}

type Environment = Record<string, string>;

function proxyOf(url: string, env: Environment): string | null {
  const found = proxyFor(new URL(url), env);
  if (!found.ok) throw new Error(found.message);
  return found.proxy === null ? null : `${found.proxy.host}:${found.proxy.port}`;
}

describe("the proxy that the environment names", () => {
  test.each<[string, string, Environment, string | null]>([
    ["none", "https://a.test", {}, null],
    ["of https", "https://a.test", { HTTPS_PROXY: "http://p:1", HTTP_PROXY: "http://q:2" }, "p:1"],
    ["of http", "http://a.test", { HTTPS_PROXY: "http://p:1", HTTP_PROXY: "http://q:2" }, "q:2"],
    [
      "lower case first",
      "https://a.test",
      { https_proxy: "http://l:1", HTTPS_PROXY: "u:2" },
      "l:1",
    ],
    [
      "an empty lower one means none",
      "https://a.test",
      { https_proxy: "", HTTPS_PROXY: "u:2" },
      null,
    ],
    ["no scheme", "http://a.test", { http_proxy: "p:3128" }, "p:3128"],
    ["no port", "http://a.test", { http_proxy: "http://p" }, "p:80"],
    ["over TLS", "http://a.test", { http_proxy: "https://p" }, "p:443"],
    ["an IPv6 address", "http://a.test", { http_proxy: "http://[fd00::1]:3128" }, "fd00::1:3128"],
    [
      "HTTP_PROXY of a CGI caller",
      "http://a.test",
      { HTTP_PROXY: "p:1", REQUEST_METHOD: "GET" },
      null,
    ],
    ["http_proxy under CGI", "http://a.test", { http_proxy: "p:1", REQUEST_METHOD: "GET" }, "p:1"],
    [
      "HTTPS_PROXY under CGI",
      "https://a.test",
      { HTTPS_PROXY: "p:1", REQUEST_METHOD: "GET" },
      "p:1",
    ],
    ["loopback", "http://127.0.0.1:8787", { http_proxy: "p:1" }, null],
    ["localhost", "http://localhost:8787", { http_proxy: "p:1" }, null],
    ["IPv6 loopback", "http://[::1]:8787", { http_proxy: "p:1" }, null],
  ])("%s", (_name, url, env, expected) => expect(proxyOf(url, env)).toBe(expected));

  test.each<[string, string, boolean]>([
    ["*", "http://a.test", true],
    ["a.test", "http://a.test", true],
    ["A.TEST", "http://a.test", true],
    ["a.test", "http://b.a.test", true],
    ["a.test", "http://ba.test", false],
    [".a.test", "http://b.a.test", true],
    [".a.test", "http://a.test", true],
    ["*.a.test", "http://b.a.test", true],
    ["b.a.test", "http://a.test", false],
    ["x, a.test ,y", "http://a.test", true],
    ["x y a.test", "http://a.test", true],
    ["a.test:80", "http://a.test", true],
    ["a.test:8080", "http://a.test", false],
    ["a.test:443", "https://a.test", true],
    ["a.test.", "http://a.test", true],
    ["a.test", "http://a.test.", true],
    ["10.0.0.1", "http://10.0.0.1", true],
    ["10.0.0.1", "http://10.0.0.10", false],
    ["0.0.1", "http://10.0.0.1", false],
    ["10.0.0.1:8080", "http://10.0.0.1:8080", true],
    ["10.0.0.0/8", "http://10.9.9.9", true],
    ["10.0.0.0/8", "http://11.0.0.1", false],
    ["10.0.0.0/99", "http://10.0.0.1", false],
    ["fd00::/8", "http://[fd12::1]", true],
    ["fd00::1", "http://[fd00:0::1]", true],
    ["[fd00::1]", "http://[fd00::1]", true],
    ["[fd00::1]:8080", "http://[fd00::1]", false],
    ["", "http://a.test", false],
    [",", "http://a.test", false],
    [".", "http://a.test", false],
  ])("NO_PROXY=%s for %s: %s", (list, url, isExcepted) => {
    const env = { http_proxy: "p:1", https_proxy: "p:1" };
    expect(proxyOf(url, { ...env, NO_PROXY: list }) === null).toBe(isExcepted);
    expect(proxyOf(url, { ...env, no_proxy: list, NO_PROXY: "*" }) === null).toBe(isExcepted);
  });

  test("no list of exceptions breaks it", () => {
    fc.assert(
      fc.property(fc.string(), (list) => {
        proxyOf("http://a.test", { http_proxy: "p:1", no_proxy: list });
      }),
    );
  });

  test.each(["socks5://p:1080", "http://", "http://u:%@p", "ftp://p"])(
    "%s is bad usage",
    (value) => {
      expect(proxyFor(new URL("https://a.test"), { https_proxy: `${value}` })).toEqual({
        ok: false,
        message:
          "HTTPS_PROXY must be the address of an HTTP proxy, such as http://proxy.example:3128",
      });
    },
  );
});

describe("through a real proxy", () => {
  let server: FakeServer;
  beforeEach(async () => {
    server = await startFakeServer();
    cleanups.push(() => server.close());
  });

  async function clientBy(host: string, env: Environment, ca?: string, timeoutMs?: number) {
    const url = new URL(host);
    const found = proxyFor(url, env);
    if (!found.ok) throw new Error(found.message);
    const read = ca === undefined ? null : readCertificates(certificateFile(ca));
    const roots = read?.ok ? await rootsWith(read.certificates, {}) : null;
    const transport = createTransport(url, { proxy: found.proxy, roots });
    const log = () => {};
    return createApiClient({
      host,
      token: JOB_TOKEN,
      clock: systemClock,
      log,
      transport,
      timeoutMs: timeoutMs ?? patient(10_000),
    });
  }
  const get = async (client: Awaited<ReturnType<typeof clientBy>>) =>
    client.attempt({ method: "GET", path: "" }, new AbortController().signal);

  test("plain HTTP is asked for in absolute form, over one connection", async () => {
    const proxy = keep(await startProxy({ target: server.port, login: "us er:p@ss:word" }));
    const env = { http_proxy: `http://us%20er:p%40ss%3Aword@127.0.0.1:${proxy.port}` };
    const client = await clientBy("http://assay.test:8080/prefix", env);
    server.intercept = () => ({ status: 200, body: { ok: true } });
    for (let i = 0; i < 3; i++) expect(await get(client)).toMatchObject({ kind: "accepted" });
    expect(proxy.asked[0]).toEqual({
      line: "GET http://assay.test:8080/prefix/api/silicon-mark/v1/jobs/current",
      authorization: `Basic ${Buffer.from("us er:p@ss:word").toString("base64")}`,
      host: "assay.test:8080",
    });
    expect(proxy.connections()).toBe(1);
    expect(server.requests[0]?.headers.authorization).toBe(`Bearer ${JOB_TOKEN}`);
  });

  test("HTTPS goes through one tunnel, in which the server proves its name", async () => {
    const tls = keep(await startTls("server", server.port));
    const proxy = keep(await startProxy({ target: tls.port, login: "user:secret" }));
    const env = { HTTPS_PROXY: `http://user:secret@127.0.0.1:${proxy.port}` };
    const client = await clientBy("https://assay.test", env, "ca");
    for (let i = 0; i < 3; i++) expect(await get(client)).toMatchObject({ kind: "accepted" });
    const authorization = `Basic ${Buffer.from("user:secret").toString("base64")}`;
    expect(proxy.asked).toEqual([
      { line: "CONNECT assay.test:443", authorization, host: "assay.test:443" },
    ]);
    expect(server.requests).toHaveLength(3);
    // The proxy's password is for the proxy alone.
    expect(server.requests[0]?.headers["proxy-authorization"]).toBeUndefined();
  });

  test("a proxy over TLS: its certificate counts as the server's does", async () => {
    const tls = keep(await startTls("server", server.port));
    const plain = keep(await startProxy({ target: tls.port }));
    const proxy = keep(await startTls("server", plain.port));
    const env = { https_proxy: `https://localhost:${proxy.port}` };
    expect(await get(await clientBy("https://assay.test", env, "ca"))).toMatchObject({
      kind: "accepted",
    });
    expect(await get(await clientBy("https://assay.test", env))).toMatchObject({
      kind: "unavailable",
      message: expect.stringMatching(/through the proxy localhost:\d+: .*not trusted/),
    });
    expect(plain.asked).toHaveLength(1);
  });

  test.each([
    [407, /407, it requires a user and password/],
    [403, /refused assay\.test:443 with 403/],
    [502, /refused assay\.test:443 with 502/],
  ])("a proxy that answers %i: an outage, said as the proxy's", async (refuse, words) => {
    const proxy = keep(await startProxy({ target: server.port, refuse }));
    const env = { https_proxy: `http://user:secret@127.0.0.1:${proxy.port}` };
    const reply = await get(await clientBy("https://assay.test", env));
    expect(reply).toMatchObject({ kind: "unavailable", message: expect.stringMatching(words) });
    expect(reply).toMatchObject({ message: expect.stringMatching(/proxy 127\.0\.0\.1:\d+/) });
    expect(JSON.stringify(reply)).not.toContain("secret");
  });

  test("a plain 407 is an outage, not the server's no", async () => {
    const proxy = keep(await startProxy({ target: server.port, login: "a:b" }));
    const env = { http_proxy: `http://127.0.0.1:${proxy.port}` };
    expect(await get(await clientBy("http://assay.test", env))).toMatchObject({
      kind: "unavailable",
      message: expect.stringMatching(/407, the proxy requires a user and password/),
    });
  });

  test.each([
    ["silence", ""],
    ["no HTTP", "SSH-2.0-OpenSSH\r\n"],
    ["a header without end", `HTTP/1.1 200 OK\r\nx: ${"a".repeat(100_000)}`],
    ["another protocol behind it", "HTTP/1.1 200 OK\r\n\r\nSSH-2.0-OpenSSH\r\n"],
  ])("a proxy that answers CONNECT with %s is bounded", async (_name, raw) => {
    const proxy = keep(await startProxy({ target: server.port, raw }));
    const env = { https_proxy: `http://127.0.0.1:${proxy.port}` };
    const client = await clientBy("https://assay.test", env, undefined, 500);
    expect(await get(client)).toMatchObject({ kind: "unavailable" });
  });

  test("a closed port in the proxy's place is said as the proxy's", async () => {
    const env = { https_proxy: "http://127.0.0.1:9" };
    expect(await get(await clientBy("https://assay.test", env))).toEqual({
      kind: "unavailable",
      message:
        "https://assay.test: through the proxy 127.0.0.1:9: connect ECONNREFUSED 127.0.0.1:9",
      retryAfterMs: null,
    });
  });

  describe("a certificate", () => {
    const issuer = 'issued by "CN=Root of the tests, O=Assay tests"';
    test.each<[string, string, string, string | undefined, RegExp[]]>([
      ["of an unknown CA", "server", "localhost", undefined, [/not trusted/, /--ca FILE/]],
      [
        "that has expired",
        "expired",
        "localhost",
        "ca",
        [/valid until 2021-01-01T/, /clock says 20/],
      ],
      ["of the future", "early", "localhost", "ca", [/valid from 2900-01-01T/, /clock says 20/]],
    ])("%s is named", async (_name, certificate, host, ca, words) => {
      const tls = keep(await startTls(certificate, server.port));
      const reply = await get(await clientBy(`https://${host}:${tls.port}`, {}, ca));
      expect(reply.kind).toBe("unavailable");
      for (const word of words) {
        expect(reply).toMatchObject({ message: expect.stringMatching(word) });
      }
      expect(reply).toMatchObject({
        message: expect.stringContaining(`the certificate "CN=assay.test" ${issuer}`),
      });
      // Nothing was sent, the token least of all.
      expect(server.requests).toEqual([]);
    });

    test("of another name is not this server's", async () => {
      const tls = keep(await startTls("server", server.port));
      const proxy = keep(await startProxy({ target: tls.port }));
      const env = { https_proxy: `http://127.0.0.1:${proxy.port}` };
      expect(await get(await clientBy("https://other.test", env, "ca"))).toMatchObject({
        kind: "unavailable",
        message: expect.stringMatching(/is for DNS:assay\.test.*, not for other\.test/),
      });
      expect(server.requests).toEqual([]);
    });

    test.each(["localhost", "127.0.0.1"])("of --ca is trusted at %s", async (host) => {
      const tls = keep(await startTls("server", server.port));
      expect(await get(await clientBy(`https://${host}:${tls.port}`, {}, "ca"))).toMatchObject({
        kind: "accepted",
      });
    });

    test("--ca adds to Node's roots and those of NODE_EXTRA_CA_CERTS", async () => {
      const { rootCertificates } = await import("node:tls");
      const roots = await rootsWith(["more"], {});
      expect(roots.length).toBeGreaterThan(rootCertificates.length / 2);
      expect(roots.at(-1)).toBe("more");
    });

    test.each([
      ["key", /has no PEM certificate/],
      ["missing", /cannot be read as certificates: ENOENT/],
    ])("a file that holds none (%s) is bad usage", (name, words) => {
      expect(readCertificates(certificateFile(name))).toEqual({
        ok: false,
        message: expect.stringMatching(words),
      });
    });
  });
});

describe("a reply that never comes is given up at once when the agent is", () => {
  async function askFor(host: string, env: Environment) {
    const found = proxyFor(new URL(host), env);
    if (!found.ok) throw new Error(found.message);
    const stop = new AbortController();
    const client = createApiClient({
      host,
      token: JOB_TOKEN,
      clock: systemClock,
      log: () => {},
      transport: createTransport(new URL(host), { proxy: found.proxy, roots: null }),
    });
    const asked = client.attempt({ method: "GET", path: "" }, stop.signal);
    const startedAt = performance.now();
    setTimeout(() => stop.abort(new Error("stopped")), 50);
    await expect(asked).rejects.toThrow("stopped");
    expect(performance.now() - startedAt).toBeLessThan(10_000);
  }
  async function silentPort(): Promise<number> {
    const sockets: Socket[] = [];
    const silent = createTcpServer((socket) => void sockets.push(socket.on("error", () => {})));
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => {
      for (const socket of sockets) socket.destroy();
      silent.close();
    });
    return (silent.address() as AddressInfo).port;
  }

  test("by a server", async () => askFor(`http://127.0.0.1:${await silentPort()}`, {}));
  test("in the middle of TLS", async () => askFor(`https://127.0.0.1:${await silentPort()}`, {}));
  test("by a proxy", async () => {
    const https_proxy = `http://127.0.0.1:${await silentPort()}`;
    await askFor("https://assay.test", { https_proxy });
  });
});

describe("giving up on the server", () => {
  const NOWHERE = "http://127.0.0.1:9";

  test("after 10 minutes without a first answer, naming the address", async () => {
    const agent = startAgent(NOWHERE);
    const startedAt = agent.clock.elapsed();
    expect(await agent.end).toEqual({
      kind: "error",
      message: `gave up on the server: ${NOWHERE}: connect ECONNREFUSED 127.0.0.1:9`,
      task: null,
      transport: "polling",
    });
    const waited = agent.clock.elapsed() - startedAt;
    expect(waited).toBeGreaterThan(560_000);
    expect(waited).toBeLessThanOrEqual(600_000);
  });

  test("after --give-up-after, before and after the first answer", async () => {
    const never = startAgent(NOWHERE, { giveUpAfterMs: 30_000 });
    const startedAt = never.clock.elapsed();
    await never.end;
    expect(never.clock.elapsed() - startedAt).toBeLessThanOrEqual(30_000);

    const server = await startFakeServer();
    cleanups.push(() => server.close());
    let lostAt = Number.NaN;
    const clock = steppingClock();
    server.intercept = ({ method }) => {
      if (method !== "PUT") return undefined;
      if (Number.isNaN(lostAt)) lostAt = clock.elapsed();
      return { status: 503 };
    };
    const agent = startAgent(server.url, { giveUpAfterMs: 7_200_000, clock });
    expect(await agent.end).toMatchObject({ kind: "error" });
    expect(clock.elapsed() - lostAt).toBeGreaterThan(7_100_000);
    expect(clock.elapsed() - lostAt).toBeLessThanOrEqual(7_200_000);
  });

  test("a clock that is set in the meantime changes nothing", async () => {
    const clock = steppingClock();
    const jumping = {
      ...clock,
      now: () => clock.now() + 26 * 3_600_000 * (clock.slept.length % 2),
    };
    const agent = startAgent(NOWHERE, { clock: jumping, giveUpAfterMs: 60_000 });
    const startedAt = clock.elapsed();
    await agent.end;
    expect(clock.slept.length).toBeGreaterThan(3);
    expect(clock.elapsed() - startedAt).toBeLessThanOrEqual(60_000);
  });

  test("no such host is said by its name", async () => {
    const agent = startAgent("http://no-such-host.invalid", { giveUpAfterMs: 1 });
    expect((await agent.end).message).toMatch(
      /^gave up on the server: http:\/\/no-such-host\.invalid: (no such host: no-such|the name no-such)/,
    );
  });

  test.each([
    ["90s", 90_000],
    ["1.5h", 5_400_000],
    ["2d", 172_800_000],
    ["10", null],
    ["0m", null],
    ["-1m", null],
    ["1w", null],
    ["", null],
  ])("%j is %j ms", (text, ms) => expect(parseDuration(text)).toBe(ms));
});
