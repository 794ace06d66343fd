/** Guarantees of every route: methods, CORS, validators, paging links, limits, the log. */
import { env } from "cloudflare:workers";
import { decodeJwt } from "jose";
import { describe, onTestFinished, test, vi } from "vitest";
import { createApp } from "../../../src/app.ts";
import { RATE_LIMITS } from "../../../src/http/rate-limit.ts";
import { HOUR_MS, systemClock } from "../../../src/lib/clock.ts";
import { readConfig } from "../../../src/lib/config.ts";
import wrangler from "../../../wrangler.toml?raw";
import {
  appDeps,
  call,
  detail,
  expectError,
  join,
  machineUuid,
  poll,
  tokens,
} from "../harness/client.ts";
import { createJob, createPerson } from "../harness/factories.ts";
import { travel } from "../harness/instruments.ts";
import { countWithoutEnd } from "../harness/time.ts";

const ORIGIN = "https://assay.test";
const API = "/api/silicon-mark/v1";

const machine = () => ({ machine_uuid: machineUuid() });

describe("methods", () => {
  test.for([
    ["DELETE", `${API}/jobs`, "GET, HEAD, OPTIONS, POST"],
    ["POST", `${API}/jobs/512`, "DELETE, GET, HEAD, OPTIONS"],
    ["GET", `${API}/jobs/delete`, "DELETE, OPTIONS"],
    ["GET", `${API}/jobs/anonymous`, "OPTIONS, POST"],
    ["DELETE", `${API}/jobs/tags`, "GET, HEAD, OPTIONS"],
    ["POST", "/v0/users/me", "DELETE, GET, HEAD, OPTIONS, PATCH"],
    ["GET", `${API}/jobs/512/abort`, "OPTIONS, POST"],
    ["GET", `${API}/jobs/current/tasks`, "OPTIONS, POST"],
    ["POST", `${API}/jobs/current/tasks/513`, "OPTIONS, PATCH"],
    ["PUT", "/v0/specs", "GET, HEAD, OPTIONS, POST"],
    ["POST", "/v0/specs/h100-node", "DELETE, GET, HEAD, OPTIONS, PATCH"],
    ["POST", "/v0/server/version", "GET, HEAD, OPTIONS"],
    ["GET", "/token", "OPTIONS, POST"],
    ["PUT", "/health", "GET, HEAD, OPTIONS"],
  ] as const)("%s %s: 405 with Allow", async ([method, path, allow], { expect }) => {
    const reply = await call(method, ORIGIN + path);
    expectError(expect, reply, 405, "METHOD_NOT_ALLOWED", `${path} does not answer ${method}`);
    expect(reply.headers.get("allow")).toBe(allow);
  });

  test("HEAD answers as GET does, without a body", async ({ expect }) => {
    const job = await createJob();
    const get = await detail(job);
    const head = await call("HEAD", `/jobs/${job.id}`, { token: job.owner.token });
    expect(head.status).toBe(200);
    expect(head.text).toBe("");
    expect(head.headers.get("etag")).toBe(get.headers.get("etag"));
  });

  test("OPTIONS: 204 with Allow and what a preflight asks for", async ({ expect }) => {
    const reply = await call("OPTIONS", `${ORIGIN}${API}/jobs`, {
      headers: { origin: "https://app.example", "access-control-request-method": "POST" },
    });
    expect(reply.status).toBe(204);
    expect(reply.headers.get("allow")).toBe("GET, HEAD, OPTIONS, POST");
    expect(reply.headers.get("access-control-allow-origin")).toBe("*");
    expect(reply.headers.get("access-control-allow-methods")).toBe(
      "GET,HEAD,POST,PUT,PATCH,DELETE",
    );
    expect(reply.headers.get("access-control-allow-headers")?.split(",")).toEqual(
      expect.arrayContaining([
        "Authorization",
        "Idempotency-Key",
        "If-None-Match",
        "X-D1-Bookmark",
        "Last-Event-ID",
        "Assay-Task-Token",
        "Assay-Nonce",
      ]),
    );
  });
});

describe("headers on every reply", () => {
  test.for([
    ["a success", "/health", 200],
    ["an unknown route", "/nowhere", 404],
    ["a missing token", `${API}/jobs`, 401],
  ] as const)("%s", async ([, path, status], { expect }) => {
    const origin = "https://app.example";
    const { headers, ...reply } = await call("GET", ORIGIN + path, { headers: { origin } });
    expect(reply.status).toBe(status);
    expect(headers.get("access-control-allow-origin")).toBe("*");
    expect(headers.get("access-control-expose-headers")).toContain("X-Total-Count");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("content-security-policy")).toBe(
      "default-src 'none'; frame-ancestors 'none'",
    );
    expect(headers.get("strict-transport-security")).toMatch(/^max-age=\d+/);
    const isKept = path !== "/health";
    expect(headers.get("cache-control")).toBe(isKept ? "private, no-cache" : "no-store");
    expect(headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe("Assay-Nonce", () => {
  const nonce = "AZaz09-_AZaz09-_AZaz09";

  test("comes back on every reply, for pages of other origins too", async ({ expect }) => {
    const headers = { "assay-nonce": nonce, origin: "https://app.example" };
    const job = await createJob();
    const { token } = job.owner;
    const etag = (await call("GET", `/jobs/${job.id}`, { token })).headers.get("etag") ?? "";
    const view = (await poll(job)).headers.get("etag") ?? "";
    const sent: [status: number, method: string, path: string, more?: object][] = [
      [200, "GET", "/health"],
      [200, "GET", "/"],
      [404, "GET", "/nowhere"],
      [405, "DELETE", "/health"],
      [204, "OPTIONS", `${API}/jobs`],
      [401, "GET", `${API}/jobs`],
      [400, "POST", `${API}/jobs`, { token, body: "{" }],
      [400, "POST", "/token", { body: "grant_type=none" }],
      [200, "GET", `${API}/jobs/${job.id}`, { token }],
      [200, "HEAD", `${API}/jobs/${job.id}`, { token }],
      [304, "GET", `${API}/jobs/${job.id}`, { token, headers: { "if-none-match": etag } }],
      [304, "GET", `${API}/jobs/current`, { token: job.token, headers: { "if-none-match": view } }],
      [401, "GET", `${API}/jobs/current`],
      [201, "POST", `${API}/jobs/current/tasks`, { token: job.token, body: machine() }],
      [409, "POST", `${API}/jobs/current/tasks`, { token: job.token, body: machine() }],
    ];
    for (const [status, method, path, more = {}] of sent) {
      const options: { headers?: object } = more;
      const reply = await call(method, ORIGIN + path, {
        ...more,
        headers: { ...headers, ...options.headers },
      });
      expect(reply.status, `${method} ${path}: ${reply.text}`).toBe(status);
      expect(reply.headers.get("assay-nonce"), `${method} ${path}`).toBe(nonce);
      expect(reply.headers.get("access-control-expose-headers")).toContain("Assay-Nonce");
    }
  });

  test.for(["", nonce.slice(1), `${nonce}A`, `${nonce.slice(1)}=`, `${nonce.slice(1)} `, "é"])(
    "%j is no nonce, and is left out",
    async (text, { expect }) => {
      const reply = await call("GET", `${ORIGIN}/health`, { headers: { "assay-nonce": text } });
      expect(reply.status).toBe(200);
      expect(reply.headers.get("assay-nonce")).toBeNull();
    },
  );
});

describe("GET /", () => {
  test("JSON for programs, HTML for browsers, by Accept", async ({ expect }) => {
    const accept = (value: string) => call("GET", `${ORIGIN}/`, { headers: { accept: value } });
    const json = await accept("*/*");
    expect(json.body).toMatchObject({
      name: "Assay",
      docs: "/docs",
      api_document: "/openapi.json",
    });
    expect((await accept("application/json")).text).toBe(json.text);
    const html = await accept("text/html,application/xhtml+xml,*/*;q=0.8");
    expect(html.headers.get("content-type")).toContain("text/html");
    expect(html.text).toContain('<a href="/docs"><b>API reference</b>');
    expect(html.headers.get("content-security-policy")).toContain("style-src 'self'");
    for (const reply of [json, html]) expect(reply.headers.get("vary")).toContain("Accept");
  });
});

describe("long requests", () => {
  test("a long query that nobody reads is ignored; long values that are read are refused", async ({
    expect,
  }) => {
    const { token } = await createPerson();
    const long = "9".repeat(50_000);
    const list = await call("GET", `/jobs?unknown=${long}`, { token });
    expect(list.status).toBe(200);
    expect(list.headers.get("link"), "nor sent back").not.toContain("unknown");
    for (const path of [`/jobs?page=${long}`, `/jobs/${long}`]) {
      expectError(expect, await call("GET", path, { token }), 400, "PARAMETER_INCORRECT_VALUE");
    }
  });

  test("long headers: a token or request id that is none, a validator that matches nothing", async ({
    expect,
  }) => {
    const job = await createJob();
    const long = "x".repeat(50_000);
    expectError(expect, await call("GET", "/jobs", { token: long }), 401, "CLIENT_TOKEN_INVALID");
    const headers = { "if-none-match": `"${long}"`, "x-request-id": long, "x-d1-bookmark": long };
    const reply = await call("GET", `/jobs/${job.id}`, { token: job.owner.token, headers });
    expect(reply.status).toBe(200);
    expect(reply.headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("10 MB of body: 413, whether announced or not", async ({ expect }) => {
    const { token } = await createPerson();
    const body = `{"benchmarks":[],"x":"${"y".repeat(10_000_000)}"}`;
    const chunks = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(body));
        controller.close();
      },
    });
    for (const sent of [body, chunks]) {
      const reply = await call("POST", "/jobs", { token, body: sent });
      expectError(expect, reply, 413, "REQUEST_TOO_LARGE");
    }
  });
});

describe("validators", () => {
  test("a strong ETag on single resources; If-None-Match gives 304 without a body", async ({
    expect,
  }) => {
    const job = await createJob();
    const { token } = job.owner;
    for (const path of [`/jobs/${job.id}`, `/jobs/${job.id}/results`, "/benchmarks"]) {
      const first = await call("GET", path, { token });
      const etag = first.headers.get("etag") ?? "";
      expect(etag, path).toMatch(/^"(\d+\.\d+\.)?[\w-]{22}"$/);
      for (const known of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
        const again = await call("GET", path, { token, headers: { "if-none-match": known } });
        expect(again.status, known).toBe(304);
        expect(again.text).toBe("");
        expect(again.headers.get("etag")).toBe(etag);
        expect(again.headers.get("x-request-id")).not.toBeNull();
        expect(again.headers.get("content-type")).toBeNull();
      }
      const other = await call("GET", path, { token, headers: { "if-none-match": '"other"' } });
      expect(other.text).toBe(first.text);
    }
  });

  test("the ETag changes with the resource", async ({ expect }) => {
    const job = await createJob();
    const before = (await detail(job)).headers.get("etag");
    await join(job);
    expect((await detail(job)).headers.get("etag")).not.toBe(before);
  });
});

describe("lists", () => {
  test("X-Total-Count and Link lead through all pages and keep the other parameters", async ({
    expect,
  }) => {
    const owner = await createPerson();
    for (let n = 0; n < 5; n++) await createJob({}, owner);
    const links = (header: string | null) =>
      Object.fromEntries(
        [...(header ?? "").matchAll(/<([^>]+)>; rel="(\w+)"/g)].map(
          ([, url = "", relation = ""]) => [relation, url.replace(/&cursor=[\w-]+$/, "")],
        ),
      );
    const page = (n: number) => `${ORIGIN}${API}/jobs?per_page=2&page=${n}`;
    const first = await call("GET", "/jobs?per_page=2", { token: owner.token });
    expect(first.headers.get("x-total-count")).toBe("5");
    expect(links(first.headers.get("link"))).toEqual({
      first: page(1),
      next: page(2),
      last: page(3),
    });
    const seen: string[] = [];
    for (let url: string | undefined = page(1); url; ) {
      const reply = await call("GET", url, { token: owner.token });
      seen.push(...reply.body.results.map((job: { id: string }) => job.id));
      url = links(reply.headers.get("link")).next;
    }
    expect(new Set(seen).size).toBe(5);
    const last = await call("GET", page(3), { token: owner.token });
    expect(links(last.headers.get("link"))).toEqual({
      first: page(1),
      prev: page(2),
      last: page(3),
    });
    const beyond = await call("GET", page(9), { token: owner.token });
    expect(links(beyond.headers.get("link"))).toEqual({
      first: page(1),
      prev: page(3),
      last: page(3),
    });
    const nobody = await createPerson();
    const empty = await call("GET", "/jobs", { token: nobody.token });
    expect(empty.headers.get("x-total-count")).toBe("0");
    const only = `${ORIGIN}${API}/jobs?page=1`;
    expect(links(empty.headers.get("link"))).toEqual({ first: only, last: only });
  });
});

describe("rate limits", () => {
  test("the numbers announced are the ones the platform counts by", ({ expect }) => {
    for (const [name, { requests, windowSeconds }] of Object.entries(RATE_LIMITS)) {
      const binding = `LIMIT_${name.toUpperCase().replaceAll("-", "_")}`;
      const table = wrangler.split("[[ratelimits]]").find((part) => part.includes(`"${binding}"`));
      expect(table, binding).toContain(`limit = ${requests}, period = ${windowSeconds}`);
    }
  });

  test("each has counters of its own, which no sample of Cloudflare's shares", ({ expect }) => {
    const ids = [...wrangler.matchAll(/^namespace_id = "(\d+)"$/gm)].map(([, id]) => Number(id));
    expect(ids).toHaveLength(Object.keys(RATE_LIMITS).length);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => id < 100_000_000)).toEqual([]);
  });

  test("every limited reply names its policy: by person, by job, by address", async ({
    expect,
  }) => {
    const job = await createJob();
    const policyOf = async (reply: Promise<{ headers: Headers }>) =>
      (await reply).headers.get("ratelimit-policy");
    expect(await policyOf(detail(job))).toBe('"user";q=500;w=10');
    expect(await policyOf(poll(job))).toBe('"node-2";q=50;w=10');
    expect(await policyOf(call("GET", "/jobs"))).toBe('"address";q=300;w=10');
    expect(await policyOf(call("GET", `${ORIGIN}/health`))).toBe('"address";q=300;w=10');
    expect(await policyOf(call("GET", "/jobs", { token: "a.b.c" }))).toBe('"address";q=300;w=10');
  });

  test.for([
    [1, "node-2", 50],
    [2, "node-2", 50],
    [3, "node-12", 250],
    [12, "node-12", 250],
    [13, "node-64", 1_250],
    [64, "node-64", 1_250],
    [65, "node", 5_000],
    [256, "node", 5_000],
    [undefined, "node", 5_000],
  ] as const)("a job of %s nodes is counted as %s", async ([nodes, name, requests], { expect }) => {
    const limit = vi.fn(async () => ({ success: true }));
    const { rateLimitCounters } = appDeps();
    const counters = { ...rateLimitCounters, [name]: { limit } };
    const now = Date.now();
    // All of them within one window, however long they take.
    const app = await createApp(
      appDeps({ rateLimitCounters: counters, clock: { now: () => now } }),
    );
    const id = "51200";
    const claims = nodes === undefined ? { sub: id } : { sub: id, nodes };
    const validity = { from: now - 1, until: now + HOUR_MS };
    const token = await (await tokens()).sign("job", claims, validity);
    const share = requests / 10;
    for (let n = 0; n <= share; n++) {
      const headers = { authorization: `Bearer ${token}` };
      const reply = await app.request(`${ORIGIN}${API}/jobs/current`, { headers });
      expect(reply.headers.get("ratelimit-policy")).toBe(`"${name}";q=${requests};w=10`);
    }
    // The isolate alone counts the first tenth.
    expect(limit.mock.calls).toEqual([[{ key: id }]]);
    if (nodes !== undefined) expect(requests).toBeGreaterThanOrEqual(nodes * 19.5);
  });

  test("a job's token names its nodes, the same on every read", async ({ expect }) => {
    const owner = await createPerson();
    const job = await createJob({ node_count: 3 }, owner);
    expect(decodeJwt(job.token)).toMatchObject({ sub: job.id, nodes: 3 });
    const app = await createApp(appDeps());
    const headers = { authorization: `Bearer ${owner.token}` };
    for (const path of [`/jobs/${job.id}`, "/jobs"]) {
      const body = await (await app.request(`${ORIGIN}${API}${path}`, { headers })).json<{
        token: string;
        results: { token: string }[];
      }>();
      expect(path === "/jobs" ? body.results[0]?.token : body.token).toBe(job.token);
    }
  });

  test("sign-in: 10 a minute for one account from one network, before the password is hashed", async ({
    expect,
  }) => {
    const signIn = (username: string, address = "192.0.2.40") =>
      call("POST", `${ORIGIN}/token`, {
        headers: {
          "content-type": "application/x-www-form-urlencoded",
          "cf-connecting-ip": address,
        },
        body: new URLSearchParams({ grant_type: "password", username, password: "x" }).toString(),
      });
    const account = `${crypto.randomUUID()}@example.com`;
    countWithoutEnd();
    // An hour passes between any two, so that failures make nobody wait.
    let now = Date.now();
    vi.spyOn(systemClock, "now").mockImplementation(() => now);
    onTestFinished(() => void vi.restoreAllMocks());
    for (let n = 0; n < 10; n++) {
      expect((await signIn(account)).status).toBe(400);
      now += 3_600_000;
    }
    const refused = await signIn(account.toUpperCase(), "192.0.2.41");
    const message = "Too many password attempts on this account; try again in 60 s";
    expectError(expect, refused, 429, "TOO_MANY_REQUESTS", message);
    expect(refused.headers.get("retry-after")).toBe("60");
    expect(refused.headers.get("ratelimit")).toBe('"sign-in-account";r=0;t=60');
    expect(refused.headers.get("ratelimit-policy")).toBe('"sign-in-account";q=10;w=60');
    expect(refused.headers.get("cache-control")).toBe("no-store");
    expect((await signIn(account, "192.0.3.40")).status).toBe(400);
    expect((await signIn(`other-${account}`)).status).toBe(400);
  });

  test("sign-in: 30 a minute from one address, whoever is named", async ({ expect }) => {
    const signIn = (address: string) =>
      call("POST", `${ORIGIN}/token`, {
        headers: {
          "content-type": "application/x-www-form-urlencoded",
          "cf-connecting-ip": address,
        },
        body: "grant_type=none",
      });
    countWithoutEnd();
    for (let n = 0; n < 30; n++) expect((await signIn("192.0.2.7")).status).toBe(400);
    expectError(expect, await signIn("192.0.2.7"), 429, "TOO_MANY_REQUESTS");
    for (let n = 0; n < 30; n++) await signIn(`2001:db8:0:1::${n + 1}`);
    expect((await signIn("2001:db8:0:1::ffff")).status, "one /64 is one caller").toBe(429);
    expect((await signIn("2001:db8:0:2::1")).status).toBe(400);
  });

  test("a /64 is one caller, however its zeros are written", async ({ expect }) => {
    const keys: string[] = [];
    const limit = async ({ key }: { key: string }) => {
      keys.push(key);
      return { success: true };
    };
    const deps = appDeps();
    const rateLimitCounters = { ...deps.rateLimitCounters, "sign-in-address": { limit } };
    const app = await createApp({ ...deps, rateLimitCounters });
    for (const address of [
      ...["2001:db8::1", "2001:db8::a:1", "2001:db8::a:b:c:1", "2001:db8:0:0:a::"],
      ...["2001:db8:0:1::", "2001:db8:0:1:a:b:c:1", "::1", "192.0.2.7", "::::"],
    ]) {
      const headers = { "cf-connecting-ip": address };
      await app.request(`${ORIGIN}/token`, { method: "POST", headers });
    }
    expect(keys.slice(0, 8)).toEqual([
      ...Array(4).fill("2001:db8:0:0"),
      ...Array(2).fill("2001:db8:0:1"),
      "0:0:0:0",
      "192.0.2.7",
    ]);
    expect(keys, "what is no address is counted, too").toHaveLength(9);
  });

  test("a person over their limit: 429 for them alone; a limit that cannot be counted lets pass", async ({
    expect,
  }) => {
    const [one, two] = [await createPerson(), await createPerson()];
    const deps = appDeps();
    const rateLimitCounters = {
      ...deps.rateLimitCounters,
      user: { limit: async ({ key }: { key: string }) => ({ success: key !== one.uuid }) },
      address: { limit: () => Promise.reject(new Error("no counters today")) },
    };
    const app = await createApp({ ...deps, rateLimitCounters });
    const list = (token: string) =>
      app.request(`${API}/jobs`, { headers: { authorization: `Bearer ${token}` } });
    // Far below its limit a caller is not counted by the platform within ten seconds: 50 of 500, 30 of 300.
    travel().to(Date.now());
    for (let n = 0; n < 50; n++) expect((await list(one.token)).status).toBe(200);
    expect((await list(one.token)).status).toBe(429);
    expect((await list(two.token)).status).toBe(200);
    const warned = vi.spyOn(console, "warn").mockImplementation(() => {});
    for (let n = 0; n < 31; n++) expect((await list("a.b.c")).status).toBe(401);
    expect(warned).toHaveBeenCalledOnce();
    warned.mockRestore();
  });
});

describe("the request log", () => {
  test("one line: route pattern, status, principal and cost; no token, no body, no address", async ({
    expect,
  }) => {
    const job = await createJob({ name: "not for the log" });
    const logged = vi.spyOn(console, "log").mockImplementation(() => {});
    const reply = await detail(job);
    await poll(job);
    await call("GET", "/jobs", { headers: { "cf-connecting-ip": "192.0.2.99" } });
    const lines = logged.mock.calls.map(([line]) => JSON.parse(line));
    logged.mockRestore();
    expect(lines).toHaveLength(3);
    expect(lines[0]).toEqual({
      level: "info",
      event: "request",
      request_id: reply.headers.get("x-request-id"),
      method: "GET",
      route: `${API}/jobs/:job_id`,
      status: 200,
      ms: expect.any(Number),
      principal: "user",
      principal_id: job.owner.uuid,
      d1_round_trips: expect.any(Number),
      object_hops: 0,
      r2_calls: 0,
    });
    expect(lines[1]).toMatchObject({ principal: "node", principal_id: job.id });
    expect(lines[2]).toMatchObject({ principal: null, principal_id: null, status: 401 });
    const text = JSON.stringify(lines);
    for (const secret of [job.token, job.owner.token, "not for the log", "192.0.2.99"]) {
      expect(text).not.toContain(secret);
    }
  });

  test("Server-Timing in development only", async ({ expect }) => {
    expect((await call("GET", `${ORIGIN}/health`)).headers.get("server-timing")).toBeNull();
    const config = { ...readConfig(env), isDevelopment: true };
    const app = await createApp(appDeps({ config }));
    const reply = await app.request("/health");
    expect(reply.headers.get("server-timing")).toMatch(
      /^total;dur=\d+, d1;desc="1", hops;desc="0", r2;desc="0"$/,
    );
  });
});
