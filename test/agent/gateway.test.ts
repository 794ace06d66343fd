/** Whatever answers in place of the server, with any status: an outage that costs no figures, no step and no agent. */
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { firstWords } from "../../agent/src/http/reply-body.ts";
import type { RunStep } from "../../agent/src/step-context.ts";
import { type FakeServer, JOB_TOKEN, startFakeServer } from "./fake-server.ts";
import { type Gateway, type Page, type Passed, startGateway } from "./gateway-stand-in.ts";
import { fastClock, startAgent, startRunner, until } from "./helpers.ts";

const UUID = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff";
let server: FakeServer;
let gateway: Gateway;
const runners: ReturnType<typeof startRunner>[] = [];
beforeEach(async () => {
  server = await startFakeServer();
  gateway = await startGateway(server.port);
});
afterEach(async () => {
  for (const runner of runners) runner.leave();
  await Promise.all(runners.splice(0).map(({ done }) => done));
  await gateway.close();
  await server.close();
});

const html = (status: number, title: string, headers = {}): Page => ({
  status,
  headers: { "content-type": "text/html", ...headers },
  text: `<!DOCTYPE html>\n<html><head><style>h1 { color: red }</style><title>${title}</title></head><body>`,
});
const json = (status: number, body: unknown, headers = {}): Page => ({
  status,
  headers: { "content-type": "application/json", ...headers },
  text: JSON.stringify(body),
});
/** The form of the server's own errors, as another server of ours or a cache would have it. */
const ours = (status: number, code: string): Page =>
  json(status, { error: { code, message: code }, message: code }, { "x-request-id": "abc" });

const PAGES: Record<string, { page: Page; words: string }> = {
  "404 in HTML": { page: html(404, "Not Found"), words: "404, .*Not Found" },
  "403 in HTML": { page: html(403, "Access Denied"), words: "403, .*Access Denied" },
  "401 in HTML": { page: html(401, "Sign in"), words: "401, .*Sign in" },
  "413 in HTML": { page: html(413, "Too Large"), words: "413, .*Too Large" },
  "302 elsewhere": { page: html(302, "Found", { location: "/login" }), words: "302, .*Found" },
  "308 elsewhere": {
    page: { status: 308, headers: { location: "https://a.test" } },
    words: "308, .*no text",
  },
  "304 of nothing": { page: { status: 304 }, words: "304, .*no text" },
  "200 in HTML": { page: html(200, "Welcome to the hotel"), words: "200, .*Welcome to the hotel" },
  "204 of nothing": { page: { status: 204 }, words: "204, .*no text" },
  "200 in JSON": { page: json(200, { status: "ok" }), words: '200, .*"status":"ok"' },
  "200 null": { page: json(200, null), words: "200, .*null" },
  "401 in JSON": { page: json(401, { message: "No key" }), words: "401, .*No key" },
  "400 in text": {
    page: { status: 400, text: "Bad\u001b[31m \u202eRequest" },
    words: "400, .*Bad",
  },
  "422 in JSON": { page: json(422, { detail: "schema" }), words: "422, .*schema" },
  "503 in HTML": { page: html(503, "Maintenance"), words: "503, .*Maintenance" },
  "401 like ours": { page: ours(401, "CLIENT_TOKEN_INVALID"), words: "401, .*CLIENT_TOKEN" },
  "409 like ours": { page: ours(409, "JOB_ENDED"), words: "409, .*JOB_ENDED" },
  "403 like ours": { page: ours(403, "PERMISSION_DENIED"), words: "403, .*PERMISSION" },
  "404 like ours": { page: ours(404, "RESOURCE_NOT_FOUND"), words: "404, .*RESOURCE_NOT_FOUND" },
  "413 like ours": { page: ours(413, "REQUEST_TOO_LARGE"), words: "413, .*REQUEST_TOO_LARGE" },
  "a job, stopped": {
    page: json(200, { id: "7554621440", directive: "stop", task: null }),
    words: "200, .*stop",
  },
  "with another nonce": {
    page: json(401, {}, { "assay-nonce": "AAAAAAAAAAAAAAAAAAAAAA" }),
    words: "401, ",
  },
};
const NAMES = Object.keys(PAGES);

const CALLS: Record<string, (request: Passed) => boolean> = {
  poll: ({ method, url }) => method === "GET" && url.includes("task_id"),
  join: ({ method, url }) => method === "POST" && url.endsWith("/tasks"),
  heartbeat: ({ method }) => method === "PATCH",
  result: ({ method }) => method === "PUT",
  claim: ({ url }) => url.startsWith("/v0/runners/"),
};

/** Answers the first `times` of one call with a page, once `from` of them have been passed on. */
function answerWith(call: string, page: Page, times = 3, from = 0): () => number {
  let seen = 0;
  gateway.answer = (request) => {
    if (!CALLS[call]?.(request)) return undefined;
    seen += 1;
    return seen > from && seen <= from + times ? page : undefined;
  };
  return () => seen;
}

/** A step that lasts until the server has got heartbeats, and fails the test if it is aborted. */
function measuring(): { starts: () => number; runStep: RunStep } {
  let starts = 0;
  return {
    starts: () => starts,
    runStep: async (_step, { report, signal }) => {
      starts += 1;
      let share = 0;
      await until(() => {
        signal.throwIfAborted();
        share += (1 - share) / 10;
        report(share, "measuring");
        return server.of("PATCH").length >= 2;
      }, "heartbeats that arrive");
      return { state: "completed", results: { figure: 42 } };
    },
  };
}

function expectFigures(): void {
  expect(server.tasks.map(({ results }) => results.size)).toEqual([1]);
  const puts = server.of("PUT").map(({ text }) => text);
  expect(new Set(puts).size, "always the same bytes").toBe(1);
  expect(JSON.parse(puts[0] ?? "")).toMatchObject({ state: "completed", results: { figure: 42 } });
}

describe.each(["poll", "join", "heartbeat", "result"])("in place of the reply to a %s", (call) => {
  test.each(NAMES)("%s", async (name) => {
    const { page, words } = PAGES[name] ?? { page: { status: 0 }, words: "" };
    const seen = answerWith(call, page);
    const step = measuring();
    const agent = startAgent(gateway.url, { runStep: step.runStep });
    expect(await agent.end).toMatchObject({ kind: "stopped", task: { state: "completed" } });
    expect(seen()).toBeGreaterThan(3);
    expect(step.starts()).toBe(1);
    expectFigures();
    const said = agent.logs.filter((line) => /failed/.test(line));
    expect(said[0]).toMatch(new RegExp(`${words}`));
    expect(said.length).toBeGreaterThanOrEqual(call === "heartbeat" ? 1 : 3);
    for (const line of said) expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u);
  });
});

describe("in place of the reply to a claim", () => {
  test.each(NAMES)("%s: an idle runner stays, and gets the next job", async (name) => {
    const { page, words } = PAGES[name] ?? { page: { status: 0 }, words: "" };
    const seen = answerWith("claim", page, 20, 1);
    let claims = 0;
    server.onClaim = () => (++claims === 3 ? server.admit(UUID) : { status: 200, body: null });
    const runner = startRunner(gateway.url, { runStep: measuring().runStep });
    runners.push(runner);
    await until(() => runner.ends.length > 0, "the end of a job");
    expect(runner.ends[0]).toMatchObject({ kind: "stopped", task: { state: "completed" } });
    expect(seen()).toBeGreaterThan(20);
    expectFigures();
    const said = runner.logs.filter((line) => /claim failed/.test(line));
    expect(said).toHaveLength(20);
    expect(said[0]).toMatch(new RegExp(`${words}`));
  });

  test.each(NAMES)("%s to the first call of a claimed job: the job is run", async (name) => {
    const seen = answerWith("poll", PAGES[name]?.page ?? { status: 0 });
    let claims = 0;
    server.onClaim = () => (claims++ === 0 ? server.admit(UUID) : { status: 200, body: null });
    const runner = startRunner(gateway.url, { runStep: measuring().runStep });
    runners.push(runner);
    await until(() => runner.ends.length > 0, "the end of the job");
    expect(runner.ends[0]).toMatchObject({ kind: "stopped", task: { state: "completed" } });
    expect(seen()).toBeGreaterThan(3);
    expectFigures();
  });
});

test.each(NAMES)("%s in place of the reply to giving up: asked again", async (name) => {
  server.onClaim = () => server.admit(UUID);
  const seen = answerWith("heartbeat", PAGES[name]?.page ?? { status: 0 });
  const runner = startRunner(gateway.url, {
    clock: fastClock(20),
    drainMs: 0,
    runStep: (_step, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(signal.reason), { once: true });
        runner.leave();
      }),
  });
  expect(await runner.done).toMatchObject({ kind: "stopped" });
  expect(seen()).toBeGreaterThan(3);
  expect(server.of("PATCH").at(-1)?.body.state).toBe("failed");
});

describe("replies of the server", () => {
  test("repeat the nonce of the request, which is another one at each attempt", async () => {
    answerWith("result", html(404, "Not Found"));
    await startAgent(gateway.url, { runStep: measuring().runStep }).end;
    const nonces = gateway.seen.map(({ headers }) => String(headers["assay-nonce"]));
    expect(new Set(nonces).size).toBe(gateway.seen.length);
    for (const nonce of nonces) expect(nonce).toMatch(/^[\w-]{22}$/);
  });

  test("count also where a proxy has rewritten their request id and other headers", async () => {
    gateway.change = ({ headers: { date: _date, ...headers } = {}, ...reply }) => ({
      ...reply,
      headers: { ...headers, "x-request-id": "the proxy's", via: "1.1 proxy", server: "nginx" },
    });
    const end = await startAgent(gateway.url, { runStep: measuring().runStep }).end;
    expect(end.task?.state).toBe("completed");
    expect(server.requests).toHaveLength(gateway.seen.length);
  });

  test.each(["poll", "join", "heartbeat", "result"])(
    "repeated by a cache in place of a %s are outages",
    async (call) => {
      const kept = new Map<string, Page>();
      let old = 0;
      gateway.change = (reply, { url }) => {
        kept.set(url, reply);
        return reply;
      };
      gateway.answer = (request) => {
        const reply = kept.get(request.url);
        if (!CALLS[call]?.(request) || reply === undefined || old >= 4) return undefined;
        old += 1;
        return reply;
      };
      // A first try of each whose reply is lost on its way, so that there is one to repeat.
      if (call === "join" || call === "result") {
        const { change } = gateway;
        let isLost = false;
        gateway.change = (reply, request) => {
          const kept = change(reply, request);
          if (!CALLS[call]?.(request) || isLost) return kept;
          isLost = true;
          return html(502, "Bad Gateway");
        };
      }
      const step = measuring();
      const agent = startAgent(gateway.url, { runStep: step.runStep });
      expect((await agent.end).task?.state).toBe("completed");
      expect(old).toBeGreaterThan(0);
      expect(step.starts()).toBe(1);
      expectFigures();
    },
  );

  test.each([
    [401, "CLIENT_TOKEN_INVALID", "stopped"],
    [409, "JOB_ENDED", "stopped"],
    [400, "PARAMETER_INCORRECT_VALUE", "error"],
  ] as const)("%i %s are final with the nonce", async (status, code, kind) => {
    server.intercept = ({ method }) => (method === "POST" ? server.error(status, code) : undefined);
    expect((await startAgent(gateway.url).end).kind).toBe(kind);
    expect(server.of("POST")).toHaveLength(1);
  });

  test.each([
    ["emptied", ""],
    ["cut", '{"error": {"code": "PERMISSI'],
    ["replaced by a page", "<h1>Forbidden</h1>"],
    ["replaced by other JSON", '{"fault": "policy"}'],
  ])("a no whose body was %s on the way is asked for again", async (_name, text) => {
    let changed = 0;
    server.intercept = ({ method }) =>
      method === "PUT" && changed < 3 ? server.error(413, "REQUEST_TOO_LARGE") : undefined;
    gateway.change = ({ headers: { "content-length": _length, ...headers } = {}, ...reply }) => {
      if (reply.status !== 413) return { ...reply, headers };
      changed += 1;
      return { ...reply, headers, text };
    };
    const agent = startAgent(gateway.url, { runStep: measuring().runStep });
    expect((await agent.end).task?.state).toBe("completed");
    expect(changed).toBe(3);
    expectFigures();
  });

  /** Bodies with the nonce, as a proxy leaves them that rewrites bodies alone. */
  const CHANGED = ["{}", "[]", "null", '"ok"', '{"status": "ok"}', '{"id": "1"}', '{"task": {}}'];

  test.each(
    ["poll", "join", "claim"].flatMap((call) =>
      CHANGED.filter((text) => call !== "claim" || text !== "null").map((text) => [call, text]),
    ),
  )("a yes to a %s whose body is %s has no job in it: asked again", async (call, text) => {
    let changed = 0;
    gateway.change = (
      { headers: { "content-length": _length, ...headers } = {}, ...reply },
      to,
    ) => {
      const isChosen = CALLS[call ?? ""]?.(to) && (reply.status === 200 || reply.status === 201);
      if (!isChosen || changed >= 3) return { ...reply, headers };
      changed += 1;
      return { ...reply, headers, text };
    };
    const said = /failed \(.*20[01], but not the JSON of the server: \S/;
    if (call === "claim") {
      // A reply that is lost on its way: the claim that is repeated brings the same task.
      const admitted = server.admit(UUID);
      server.onClaim = () => admitted;
      const runner = startRunner(gateway.url, { runStep: measuring().runStep });
      runners.push(runner);
      await until(() => runner.ends.length > 0, "the end of a job");
      server.onClaim = () => ({ status: 200, body: null });
      expect(runner.ends[0]).toMatchObject({ kind: "stopped", task: { state: "completed" } });
      expect(runner.logs.filter((line) => said.test(line)).length).toBeGreaterThanOrEqual(3);
    } else {
      const agent = startAgent(gateway.url, { runStep: measuring().runStep });
      expect(await agent.end).toMatchObject({ kind: "stopped", task: { state: "completed" } });
      expect(agent.logs.filter((line) => said.test(line))).toHaveLength(3);
    }
    expect(changed).toBe(3);
    expectFigures();
  });

  test("a 304 to a node that knows no view yet is no view: asked again", async () => {
    server.intercept = ({ path }) =>
      path === "" && server.requests.length <= 2 ? { status: 304 } : undefined;
    const agent = startAgent(gateway.url, { runStep: measuring().runStep });
    expect((await agent.end).task?.state).toBe("completed");
    expect(agent.logs.join("\n")).toContain("304, but not the JSON of the server: no text");
  });
});

describe("before the server has ever answered", () => {
  const redirects = [
    ["https://b.test/api/silicon-mark/v1/jobs/current", "https://b.test"],
    ["https://b.test/assay/api/silicon-mark/v1/jobs/current?a=b#c", "https://b.test/assay"],
    ["https://b.test/login?next=secret", "https://b.test/login"],
    ["//b.test", "http://b.test"],
    [`https://b.test/${"a".repeat(2_000)}`, `https://b.test/${"a".repeat(200)}`],
  ] as const;
  test.each(redirects)(
    "a redirect to %s ends a node at once: --host %s",
    async (location, host) => {
      gateway.answer = () => html(302, "Found", { location });
      const agent = startAgent(gateway.url);
      const end = await agent.end;
      expect(end).toMatchObject({ kind: "error", task: null });
      expect(end.message).toContain(`--host ${host}`);
      expect(end.message).not.toContain("secret");
      expect(end.message.length).toBeLessThan(500);
      expect(gateway.seen).toHaveLength(1);
    },
  );

  test("a redirect ends a runner at once", async () => {
    gateway.answer = ({ url }) => html(301, "Moved", { location: `https://b.test${url}` });
    const end = await startRunner(gateway.url).done;
    expect(end).toEqual({
      kind: "error",
      message: expect.stringMatching(/--host https:\/\/b\.test$/),
    });
  });

  test.each(["javascript:alert(1)", "http://[", "mailto:a@b.test"])(
    "a redirect to %s names no server: an outage",
    async (location) => {
      gateway.answer = () => html(302, "Found", { location });
      const end = await startAgent(gateway.url, { giveUpAfterMs: 5_000 }).end;
      expect(end.message).toMatch(/^gave up on the server: .*302, .*Found/);
    },
  );

  test.each(NAMES.filter((name) => !/elsewhere/.test(name)))(
    "%s is an outage: given up after ten minutes, with its words",
    async (name) => {
      const { page, words } = PAGES[name] ?? { page: { status: 0 }, words: "" };
      gateway.answer = () => page;
      const agent = startAgent(gateway.url);
      const startedAt = agent.clock.elapsed();
      const end = await agent.end;
      expect(end).toMatchObject({ kind: "error", task: null });
      expect(end.message).toMatch(new RegExp(`^gave up on the server: .*${words}.*--host`, "s"));
      expect(agent.clock.elapsed() - startedAt).toBeGreaterThan(560_000);
    },
  );
});

test("a gateway that asks for an hour is asked again after half a minute", async () => {
  answerWith("poll", html(429, "Slow down", { "retry-after": "3600" }), 1);
  const agent = startAgent(gateway.url, { runStep: measuring().runStep });
  await agent.end;
  expect(agent.clock.slept).toContain(30_250);
});

describe("first words", () => {
  test.each([
    ["<html><title>404 Not Found</title></html>", "404 Not Found"],
    ["<script>var a = '<b>';</script>Blocked<br/>by policy", "Blocked by policy"],
    ["<script>never ends", ""],
    ["a\r\n\tb\u0000\u001b[2Jc\u202ed\u2028e\u00a0f", "a b [2Jc d e f"],
    [`token ${JOB_TOKEN} and eyJ${"a".repeat(100)}`, "token … and …"],
    ["x ".repeat(200), `${"x ".repeat(49)}x…`],
    ["", ""],
  ])("%j", (text, words) => expect(firstWords(text)).toBe(words));

  test("are one short visible line, whatever came", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 3_000 }), (text) => {
        const words = firstWords(text);
        expect([...words].length).toBeLessThanOrEqual(100);
        expect(words).not.toMatch(/[\p{C}\u2028\u2029]|<[^>]*>|[\w.~+=-]{32}/u);
      }),
    );
  });
});
