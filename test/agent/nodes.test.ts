/** The Nodes that users' machines have: every one that is here, from 20 on. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type AgentProgram, buildAgent } from "./agent-program.ts";
import { type FakeServer, JOB_TOKEN, startFakeServer } from "./fake-server.ts";

/** By version. */
function nodesHere(): [string, string][] {
  const nvm = join(process.env.NVM_DIR ?? join(homedir(), ".nvm"), "versions/node");
  const folders = [
    ...(process.env.PATH ?? "").split(":"),
    "/usr/local/bin",
    "/usr/bin",
    ...(existsSync(nvm) ? readdirSync(nvm).map((name) => join(nvm, name, "bin")) : []),
  ];
  const files = folders.flatMap((folder) => ["node", "nodejs"].map((name) => join(folder, name)));
  const paths = files.filter((file) => existsSync(file)).map((file) => realpathSync(file));
  const found = new Map<string, string>();
  for (const path of new Set([process.execPath, ...paths])) {
    const { stdout } = spawnSync(path, ["-p", "process.versions.node"], { encoding: "utf8" });
    const version = stdout?.trim() ?? "";
    if (Number.parseInt(version, 10) >= 20 && !found.has(version)) found.set(version, path);
  }
  return [...found];
}

let agent: AgentProgram;
let server: FakeServer;
beforeAll(async () => {
  agent = await buildAgent();
});
afterAll(() => agent.remove());
beforeEach(async () => {
  server = await startFakeServer();
});
afterEach(async () => {
  agent.killAll();
  await server.close();
});

const args = () => ["--json", "--host", server.url, "--token", JOB_TOKEN];

test.each(nodesHere())("Node %s runs a job", async (_version, node) => {
  const options = [...args(), "--replay", agent.recording(0.2)];
  const run = agent.start(options, { ASSAY_MACHINE_KEY: "a" }, node);
  expect(await run.exit, run.output.stderr).toBe(0);
  expect(JSON.parse(run.output.stdout)).toMatchObject({ state: "completed" });
  expect(run.output.stderr).not.toMatch(/warning/i);
});

test("an older Node says so, and what brings a newer one", async () => {
  const older = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "18.20.4" } })`;
  const pretence = `data:text/javascript,${encodeURIComponent(older)}`;
  const run = agent.start(args(), { NODE_OPTIONS: `--import=${pretence}` });
  expect(await run.exit).toBe(2);
  expect(run.output.stderr).toMatch(
    /^assay agent: this is Node 18\.20\.4, but it needs Node 20 or newer: .*\/agent/,
  );
  expect(server.requests).toEqual([]);
});
