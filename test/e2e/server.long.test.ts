/** The stack as `npm start` runs it: start-up, one server per state, restarts, real agents. */
import { readFileSync } from "node:fs";
import { type IncomingHttpHeaders, request } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type AgentOptions, fetchAgent, startAgent } from "../../scripts/lib/agents.ts";
import { createApiClient } from "../../scripts/lib/api.ts";
import { ROOT } from "../../scripts/lib/project.ts";
import { findFreePort, type RunningServer } from "../../scripts/lib/server.ts";
import { patient } from "../patience.ts";
import { runCommand } from "./processes.ts";
import { createStack, type Stack } from "./stack.ts";

const never = new AbortController().signal;

async function signedIn(server: RunningServer) {
  const api = createApiClient(server.url, never);
  await api.signIn(server.secrets.adminEmail, server.secrets.adminPassword);
  return api;
}

function launch(options: Omit<AgentOptions, "clusterAddress"> & { clusterAddress?: string }) {
  const agent = startAgent({ clusterAddress: "127.0.0.1:7117", ...options });
  onTestFinished(() => agent.stop());
  return agent;
}

describe("a local server", () => {
  test("a restart in the middle of a job: the agent goes on and the job completes", async () => {
    const { folder, start } = await createStack();
    const first = await start();
    const api = await signedIn(first);
    const job = await api.createJob({ benchmarks: ["quick_mark"] });
    const program = await fetchAgent(first.url, folder);
    const agent = launch({
      program,
      index: 0,
      host: first.url,
      token: job.token,
      replayFile: join(ROOT, "agent/replays/h100-nvl-x1.json"),
    });
    await until(async () => (await api.job(job.id)).tasks.length === 1);
    await first.stop();
    const second = await start();
    expect(second.secrets, "the first admin and the secrets stay as they are").toEqual(
      first.secrets,
    );
    await agent.waitForExit(patient(120_000), never);
    expect(agent.exitCode, agent.log()).toBe(0);
    const { state, tasks } = await (await signedIn(second)).job(job.id);
    expect({ state, tasks: tasks.length }).toEqual({ state: "completed", tasks: 1 });
  });

  test("the first admin is noted in the audit log and, once deleted, not made again", async () => {
    const { start } = await createStack();
    const server = await start();
    const { adminEmail, adminPassword } = server.secrets;
    const form = (username: string, password: string) =>
      new URLSearchParams({ grant_type: "password", username, password });
    const signIn = (username: string, password: string) =>
      fetch(`${server.url}/token`, { method: "POST", body: form(username, password) });
    /** As someone who has just signed in: the body of the reply, which the API document describes. */
    const call = async (email: string, method: string, path: string, body?: unknown) => {
      const { access_token } = (await (await signIn(email, adminPassword)).json()) as {
        access_token: string;
      };
      const headers = {
        authorization: `Bearer ${access_token}`,
        "content-type": "application/json",
      };
      const init = body === undefined ? {} : { body: JSON.stringify(body) };
      const reply = await fetch(`${server.url}/v0${path}`, { method, headers, ...init });
      return reply.status === 204 ? null : reply.json();
    };
    const { uuid } = (await call(adminEmail, "GET", "/users/me")) as { uuid: string };
    const trail = await call(adminEmail, "GET", `/audit?subject=${uuid}`);
    expect(trail).toEqual([
      expect.objectContaining({
        action: "user_created",
        actor: { kind: "operator", id: null },
        details: { role: "root_admin" },
      }),
    ]);
    const other = "other@example.com";
    await call(adminEmail, "POST", "/users", {
      email: other,
      name: "Other",
      password: adminPassword,
      role: "root_admin",
      customer: "default",
    });
    expect(await call(other, "DELETE", `/users/${uuid}`)).toBeNull();
    await server.stop();
    await start();
    expect((await signIn(adminEmail, adminPassword)).status).toBe(400);
    expect((await signIn(other, adminPassword)).status).toBe(200);
  });

  test("recordings are rated on request alone, and then everything says REPLAYED", async () => {
    const { folder, options, start } = await createStack();
    const verdicts = [];
    for (const rateReplays of [false, true]) {
      Object.assign(options, { rateReplays });
      const server = await start();
      const api = await signedIn(server);
      const { id, token } = await api.createJob({ benchmarks: ["quick_mark"] });
      const program = await fetchAgent(server.url, folder);
      const replayFile = join(ROOT, "agent/replays/a100-sxm4-80gb-x2.json");
      launch({ program, index: 0, host: server.url, token, replayFile });
      await until(async () => (await api.job(id)).scoreboard_summary !== null);
      const { status, replayed, metrics } = (await api.job(id)).scoreboard_summary ?? {};
      verdicts.push([status, replayed, metrics?.[0]?.reason]);
      await server.stop();
    }
    expect(verdicts).toEqual([
      ["unrated", true, "REPLAYED: a recording, not measured in this job"],
      ["expected", true, "REPLAYED"],
    ]);
  });

  test("a taken port is refused with a plain message, and the state is free again", async () => {
    const { options, start } = await createStack();
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(options.port, options.ip, resolve));
    await expect(start()).rejects.toThrow(`Port ${options.port} cannot be used`);
    await new Promise((done) => blocker.close(done));
    await start();
  });
});

describe("a server that listens for other machines", () => {
  let stack: Stack;
  let server: RunningServer;
  beforeAll(async () => {
    stack = await createStack(afterAll);
    stack.options.ip = "0.0.0.0";
    server = await stack.start();
  });

  interface Ask {
    /** Address of the loopback range that the client calls from, as if it were another machine. */
    from?: string;
    port?: number;
    method?: string;
    headers?: Record<string, string>;
    body?: string;
  }

  function ask(path: string, { from = "127.0.0.1", port, method, headers, body }: Ask = {}) {
    return new Promise<{ status: number; headers: IncomingHttpHeaders; text: string }>(
      (resolve, reject) => {
        const req = request(
          {
            host: "127.0.0.1",
            localAddress: from,
            port: port ?? stack.options.port,
            path,
            agent: false,
            ...(method === undefined ? {} : { method }),
            ...(headers === undefined ? {} : { headers }),
          },
          (reply) => {
            let text = "";
            reply.on("data", (chunk: Buffer) => {
              text += chunk.toString();
            });
            reply.on("end", () =>
              resolve({ status: reply.statusCode ?? 0, headers: reply.headers, text }),
            );
          },
        );
        req.on("error", reject).end(body);
      },
    );
  }

  test("nobody gets at the runtime: no SQL, no cron, no live reload, by any path or header", async () => {
    const sql = {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ sql: "SELECT email FROM users" }),
    };
    const innerPort = Number(new URL(server.innerUrl).port);
    for (const base of ["/cdn-cgi/explorer", "/cdn-cgi/local/explorer"]) {
      for (const path of [base, `${base}/api/d1/database/DB/raw`, `${base}/api/local/workers`]) {
        for (const port of [stack.options.port, innerPort]) {
          for (const options of [{ port }, { port, ...sql }]) {
            const { status, text } = await ask(path, options);
            expect(status, path).toBe(404);
            expect(text).toContain("RESOURCE_NOT_FOUND");
          }
        }
      }
    }
    const scheduled = [
      "/cdn-cgi/handler/scheduled",
      "/cdn-cgi/local/scheduled",
      "/%63dn-cgi/local/scheduled",
    ];
    for (const path of [...scheduled, "/CDN-CGI/mf/scheduled", "//cdn-cgi/live-reload"]) {
      expect((await ask(path, { from: "127.0.0.2" })).status, path).toBe(404);
    }
    const version = await ask("/v0/server/version");
    for (const headers of [
      { "mf-original-url": `http://localhost/cdn-cgi/local/scheduled` },
      { "mf-route-override": "nobody" },
      { "mf-cf-blob": "{" },
      { "x-forwarded-proto": "https" },
    ]) {
      const { status, text } = await ask("/v0/server/version", { headers });
      expect([status, text], JSON.stringify(headers)).toEqual([200, version.text]);
    }
  });

  test("workerd itself listens on this machine alone", () => {
    const listening = readFileSync("/proc/net/tcp", "utf8")
      .split("\n")
      .map((line) => line.trim().split(/\s+/))
      .filter(([, , , state]) => state === "0A")
      .map(([, local = ""]) => local.split(":"));
    const hosts = (port: number) =>
      listening.filter(([, hex]) => Number.parseInt(hex ?? "", 16) === port).map(([host]) => host);
    expect(hosts(Number(new URL(server.innerUrl).port))).toEqual(["0100007F"]);
    expect(hosts(stack.options.port)).toEqual(["00000000"]);
  });

  test("the limit of sign-ins counts the socket's address, whatever a client writes into headers", async () => {
    const signIn = (from: string, attempt: number) =>
      ask("/token", {
        from,
        method: "POST",
        headers: {
          "content-type": "application/x-www-form-urlencoded",
          "cf-connecting-ip": `10.1.${attempt}.1`,
          "CF-Connecting-IPv6": `2001:db8:${attempt}::1`,
          "x-forwarded-for": `10.2.${attempt}.1`,
          "x-real-ip": `10.3.${attempt}.1`,
          forwarded: `for=10.4.${attempt}.1`,
        },
        // Each attempt is for another account, so that no limit of an account ends it.
        body: `grant_type=password&username=nobody-${attempt}@example.com&password=wrong-password-${attempt}`,
      });
    const statuses: number[] = [];
    for (let attempt = 0; attempt < 80 && statuses.at(-1) !== 429; attempt++) {
      statuses.push((await signIn("127.0.0.2", attempt)).status);
    }
    expect(statuses.at(-1)).toBe(429);
    expect((await signIn("127.0.0.3", 100)).status, "another address").toBe(400);
  });

  test("the audit log names the socket's address, too", async () => {
    const { adminEmail, adminPassword } = server.secrets;
    const form = new URLSearchParams({
      grant_type: "password",
      username: adminEmail,
      password: adminPassword,
    });
    const { text } = await ask("/token", {
      from: "127.0.0.4",
      method: "POST",
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        "cf-connecting-ip": "10.1.1.1",
      },
      body: String(form),
    });
    const authorization = `Bearer ${JSON.parse(text).access_token}`;
    const audit = await ask("/v0/audit?action=signed_in&per_page=1", {
      headers: { authorization },
    });
    expect(audit.text).toContain('"127.0.0.4"');
    expect(audit.text).not.toContain("10.1.1.1");
  });

  test("a made-up host stands in no link, this machine's name only for callers on it", async () => {
    const command = async (headers: Record<string, string>, from: string) => {
      const path = "/api/silicon-mark/v1/jobs/anonymous";
      const { text } = await ask(path, { from, method: "POST", headers });
      return JSON.parse(text).join_command as unknown; // asserted below
    };
    const { port } = stack.options;
    expect(await command({ host: "evil.example" }, "127.0.0.5")).toBeNull();
    expect(await command({ host: `192.0.2.1:${port}` }, "127.0.0.5")).toBeNull();
    expect(await command({ host: `localhost:${port}` }, "127.0.0.5")).toContain(
      `--host http://localhost:${port} --token `,
    );
  });

  test("cron runs by itself: from inside", async () => {
    await server.runCron();
  });

  test("a body that is refused early gets its reply, each time", async () => {
    const api = "/api/silicon-mark/v1/jobs";
    for (let round = 0; round < 10; round++) {
      for (const size of [300_000, 900_000, 6_000_000]) {
        const from = `127.1.${round}.1`;
        const body = " ".repeat(size);
        const headers = { "content-type": "application/json" };
        expect((await ask(api, { from, method: "POST", headers, body })).status).toBe(401);
        const form = await ask("/password", { from, method: "POST", headers, body });
        expect(form.status, form.text).toBe(413);
      }
    }
  });
});

describe("one local server for several tests", () => {
  let stack: Stack;
  let server: RunningServer;
  beforeAll(async () => {
    stack = await createStack(afterAll);
    server = await stack.start();
  });

  test("serves its API document to pages of any origin, with itself as the server", async () => {
    const reply = await fetch(`${server.url}/openapi.json`, {
      headers: { origin: "https://a.page" },
    });
    expect(reply.headers.get("content-type")).toContain("application/json");
    expect(reply.headers.get("access-control-allow-origin")).toBe("*");
    expect(reply.headers.get("cache-control")).toBe("public, max-age=300");
    expect(reply.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(reply.headers.get("strict-transport-security")).toContain("max-age=");
    expect(reply.headers.get("referrer-policy")).toBe("no-referrer");
    expect(reply.headers.get("x-frame-options")).toBe("DENY");
    const document = (await reply.json()) as { openapi: string; servers: { url: string }[] };
    expect(document.openapi).toBe("3.1.0");
    expect(document.servers.map(({ url }) => url)).toEqual(["/"]);
    const etag = reply.headers.get("etag") ?? "";
    const again = await fetch(`${server.url}/openapi.json`, { headers: { "if-none-match": etag } });
    expect(again.status).toBe(304);
    // At the address of published clients, which begin the path with two slashes.
    const spec = await fetch(`${server.url}//v0/server/spec`);
    expect(spec.headers.get("content-type")).toContain("application/json");
    expect(await spec.json()).toEqual(document);
    const types = await fetch(`${server.url}/client.d.ts`);
    expect(types.headers.get("access-control-allow-origin")).toBe("*");
    expect(types.headers.get("content-type")).toContain("text/plain");
    expect(await types.text()).toContain("export interface paths");
  });

  test("an agent killed in the middle of a step and started again goes on as the same node", async () => {
    const { folder } = stack;
    const api = await signedIn(server);
    const job = await api.createJob({ benchmarks: ["quick_mark"] });
    const program = await fetchAgent(server.url, folder);
    const replayFile = join(ROOT, "agent/replays/h100-nvl-x1.json");
    const options = { program, index: 0, host: server.url, token: job.token, replayFile };
    const killed = launch(options);
    await until(async () => ((await api.job(job.id)).tasks[0]?.progress ?? 0) > 0);
    await killed.stop();
    const restarted = launch(options);
    await restarted.waitForExit(patient(120_000), never);
    expect(restarted.exitCode, restarted.log()).toBe(0);
    expect(restarted.log()).toContain("rejoined as node 0");
    const { state, tasks } = await api.job(job.id);
    expect({ state, tasks: tasks.length }).toEqual({ state: "completed", tasks: 1 });
  });

  test("a second server on the same state is refused with a plain message", async () => {
    const { options } = stack;
    const port = String(await findFreePort());
    const second = runCommand([process.execPath, "scripts/start.ts"], {
      PORT: port,
      ASSAY_STATE: options.state,
    });
    expect(await second.exitCode, second.output()).toBe(1);
    expect(second.output()).toContain(
      `The state in ${options.state} is in use by another Assay server`,
    );
  });

  test("serves the docs page from its own assets, and the agent in one file without dependencies", async () => {
    const text = async (path: string) => (await fetch(server.url + path)).text();
    const page = await text("/docs");
    expect(page).not.toMatch(/(src|href)="(https?:)?\/\//);
    for (const [, asset] of page.matchAll(/(?:src|href)="(\/[^"]+)"/g)) {
      expect((await fetch(server.url + asset)).status, asset).toBe(200);
    }
    const agent = await text("/agent.mjs");
    const imports = [...agent.matchAll(/(?:^|;)import[^"';]*from"([^"]+)"/gm)].map(
      ([, name]) => name,
    );
    expect(imports.length).toBeGreaterThan(0);
    for (const name of imports) expect(name).toMatch(/^node:/);
  });
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((done) => setTimeout(done, 100));
}
