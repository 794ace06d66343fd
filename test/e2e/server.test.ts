/** The stack as `npm start` runs it: start-up, one server per state, restarts, real agents. */
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { type AgentOptions, fetchAgent, startAgent } from "../../scripts/lib/agents.ts";
import { createApiClient } from "../../scripts/lib/api.ts";
import { ROOT } from "../../scripts/lib/project.ts";
import { findFreePort, type RunningServer } from "../../scripts/lib/server.ts";
import { runCommand } from "./processes.ts";
import { createStack } from "./stack.ts";

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
    await agent.waitForExit(120_000, never);
    expect(agent.exitCode, agent.log()).toBe(0);
    const { state, tasks } = await (await signedIn(second)).job(job.id);
    expect({ state, tasks: tasks.length }).toEqual({ state: "completed", tasks: 1 });
  });

  test("the first admin is noted in the audit trail and, once deleted, not made again", async () => {
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
      ...{ email: other, name: "Other", password: adminPassword },
      ...{ role: "root_admin", customer: "default" },
    });
    expect(await call(other, "DELETE", `/users/${uuid}`)).toBeNull();
    await server.stop();
    await start();
    expect((await signIn(adminEmail, adminPassword)).status).toBe(400);
    expect((await signIn(other, adminPassword)).status).toBe(200);
  });

  test("an agent killed in the middle of a step and started again goes on as the same node", async () => {
    const { folder, start } = await createStack();
    const server = await start();
    const api = await signedIn(server);
    const job = await api.createJob({ benchmarks: ["quick_mark"] });
    const program = await fetchAgent(server.url, folder);
    const replayFile = join(ROOT, "agent/replays/h100-nvl-x1.json");
    const options = { program, index: 0, host: server.url, token: job.token, replayFile };
    const killed = launch(options);
    await until(async () => ((await api.job(job.id)).tasks[0]?.progress ?? 0) > 0);
    await killed.stop();
    const restarted = launch(options);
    await restarted.waitForExit(120_000, never);
    expect(restarted.exitCode, restarted.log()).toBe(0);
    expect(restarted.log()).toContain("rejoined as node 0");
    const { state, tasks } = await api.job(job.id);
    expect({ state, tasks: tasks.length }).toEqual({ state: "completed", tasks: 1 });
  });

  test("a second server on the same state is refused with a plain message", async () => {
    const { options, start } = await createStack();
    await start();
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

  test("a taken port is refused with a plain message, and the state is free again", async () => {
    const { options, start } = await createStack();
    const blocker = createServer();
    await new Promise<void>((resolve) => blocker.listen(options.port, options.ip, resolve));
    await expect(start()).rejects.toThrow(`Port ${options.port} cannot be used`);
    await new Promise((done) => blocker.close(done));
    await start();
  });

  test("serves the docs page from its own assets, and the agent in one file without dependencies", async () => {
    const server = await (await createStack()).start();
    const text = async (path: string) => (await fetch(server.url + path)).text();
    const page = await text("/docs");
    expect(page).not.toMatch(/(src|href)="(https?:)?\/\//);
    for (const [, asset] of page.matchAll(/(?:src|href)="(\/[^"]+)"/g)) {
      expect((await fetch(server.url + asset)).status, asset).toBe(200);
    }
    const agent = await text("/agent.mjs");
    const imports = [...agent.matchAll(/^import .* from "([^"]+)"/gm)].map((match) => match[1]);
    expect(imports.length).toBeGreaterThan(0);
    for (const name of imports) expect(name).toMatch(/^node:/);
  });
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((done) => setTimeout(done, 100));
}
