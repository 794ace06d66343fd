import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AGENT_VERSION } from "../../agent/src/version.ts";
import { type FakeServer, JOB_TOKEN, startFakeServer } from "./fake-server.ts";
import { until } from "./helpers.ts";

/** The built agent as a machine runs it: one file, its own process. */

const MACHINE = "550e8400-e29b-41d4-a716-446655440000";
let folder: string;
let bundle: string;
let server: FakeServer;
const children: ChildProcess[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "assay-agent-"));
  bundle = join(folder, "agent.mjs");
  await build({
    entryPoints: [fileURLToPath(new URL("../../agent/src/main.ts", import.meta.url))],
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    outfile: bundle,
    logLevel: "silent",
  });
});
afterAll(() => rmSync(folder, { recursive: true }));

beforeEach(async () => {
  server = await startFakeServer();
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await server.close();
});

/** A recording whose replay takes `seconds`. */
function recording(seconds: number): string {
  const file = join(folder, `replay-${seconds}.json`);
  const results = { test_results: [{ bf16_tflops: 50, memory_bandwidth_gbs: 250 }] };
  const about = "made for this test";
  const facts = { about, gpu_model: "NVIDIA L4", gpu_count: 1, inventory: { location: "test" } };
  writeFileSync(file, JSON.stringify({ ...facts, duration_seconds: seconds * 60, results }));
  return file;
}

interface Run {
  child: ChildProcess;
  output: { stdout: string; stderr: string };
  exit: Promise<number | string>;
}

function agent(...args: string[]): Run {
  const child = spawn(process.execPath, [bundle, ...args], {
    env: { PATH: process.env.PATH, XDG_STATE_HOME: folder },
    stdio: ["ignore", "pipe", "pipe"],
  });
  children.push(child);
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    output.stderr += chunk;
  });
  const exit = new Promise<number | string>((resolve) =>
    child.on("close", (code, signal) => resolve(code ?? signal ?? "")),
  );
  return { child, output, exit };
}

const startIn = (...args: string[]): Run =>
  agent("--host", server.url, "--token", JOB_TOKEN, "--machine-uuid", MACHINE, ...args);

describe("a completed task", () => {
  test("exits 0; --json prints the final task and nothing else on stdout", async () => {
    const run = startIn("--replay", recording(0.2), "--json");
    expect(await run.exit).toBe(0);
    expect(run.output.stdout.endsWith("}\n")).toBe(true);
    expect(run.output.stdout.trim().split("\n")).toHaveLength(1);
    expect(JSON.parse(run.output.stdout)).toMatchObject({
      id: "7554621441",
      machine_uuid: MACHINE,
      state: "completed",
    });
    expect(run.output.stderr).toMatch(/REPLAYED/);
    expect(run.output.stderr).not.toContain(JOB_TOKEN);
    for (const line of run.output.stderr.trim().split("\n")) {
      expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \S/);
    }
  });

  test("without --json stdout is one line for people", async () => {
    const run = startIn("--replay", recording(0.2));
    expect(await run.exit).toBe(0);
    expect(run.output.stdout).toBe("node 0, task 7554621441: completed\n");
  });

  test("the recording's facts are what it joins with, marked as replayed", async () => {
    await startIn("--replay", recording(0.2)).exit;
    expect(server.tasks[0]?.joined).toMatchObject({
      machine_uuid: MACHINE,
      cluster_address: expect.stringMatching(/:7117$/),
      gpu_model: "NVIDIA L4",
      gpu_count: 1,
      inventory: { location: "test", replayed: true, agent_version: AGENT_VERSION },
    });
  });
});

describe("other endings", () => {
  test("a failed task exits 1", async () => {
    const run = startIn();
    expect(await run.exit).toBe(1);
    expect(run.output.stdout).toBe("node 0, task 7554621441: failed\n");
  });

  test("a full job exits 1 and says so", async () => {
    server.intercept = (request) =>
      request.method === "POST" ? server.error(409, "NODE_LIMIT_REACHED") : undefined;
    const run = startIn("--json");
    expect(await run.exit).toBe(1);
    expect(run.output).toEqual({ stdout: "", stderr: expect.stringMatching(/the job is full/) });
  });

  test("bad usage exits 2, and so does a recording that cannot be used", async () => {
    const bare = agent();
    expect(await bare.exit).toBe(2);
    expect(bare.output).toEqual({ stdout: "", stderr: expect.stringMatching(/--host/) });
    const replay = startIn("--replay", bundle);
    expect(await replay.exit).toBe(2);
    expect(replay.output.stderr).toMatch(/it is not JSON/);
    expect(server.requests).toEqual([]);
  });

  test("--help and --version exit 0", async () => {
    const [help, version] = [agent("--help"), agent("--version")];
    expect([await help.exit, await version.exit]).toEqual([0, 0]);
    expect(help.output.stdout).toMatch(/^Usage: node agent\.mjs/);
    expect(version.output.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s in a step exits %i, and the task stays open", async (signal, code) => {
    const run = startIn("--replay", recording(600));
    await until(() => server.of("PATCH").length > 0, "the first heartbeat");
    run.child.kill(signal);
    expect(await run.exit).toBe(code);
    expect(server.tasks[0]?.results.size).toBe(0);
    expect(server.of("PATCH").every((request) => request.body.state === undefined)).toBe(true);
    expect(run.output.stdout).toBe("");
  });

  test("a signal while the server is away exits as well", async () => {
    await server.close();
    const run = startIn("--replay", recording(600));
    await until(() => /next try/.test(run.output.stderr), "a retry");
    run.child.kill("SIGTERM");
    expect(await run.exit).toBe(143);
    await server.comeBack();
  });
});

describe("surviving", () => {
  test("killed in a step and started again, it goes on as the same node", async () => {
    const first = startIn("--replay", recording(600));
    await until(() => server.of("PATCH").length > 0, "the first heartbeat");
    first.child.kill("SIGKILL");
    await first.exit;

    const second = startIn("--replay", recording(0.2), "--json");
    expect(await second.exit).toBe(0);
    expect(JSON.parse(second.output.stdout)).toMatchObject({ id: "7554621441", rank: 0 });
    expect(server.tasks).toHaveLength(1);
    expect(server.of("PUT")).toHaveLength(1);
    expect(second.output.stderr).toMatch(/rejoined as node 0/);
  });

  test("a server that restarts in between is only waited for", async () => {
    const run = startIn("--replay", recording(0.5));
    await until(() => server.of("PATCH").length > 0, "the first heartbeat");
    await server.close();
    await until(() => /PUT failed/.test(run.output.stderr), "a failed result");
    await server.comeBack();
    expect(await run.exit).toBe(0);
  });
});

describe("as a runner", () => {
  const KEY = `assay_runner_${"k".repeat(30)}`;
  const serve = (...args: string[]): Run =>
    agent("--host", server.url, "--runner", "rack-7", "--key", KEY, ...args);
  /** The first claim brings a job, later ones none. */
  const offerOneJob = () => {
    const idle = server.onClaim;
    let isFirst = true;
    server.onClaim = (request) => {
      const answer = isFirst ? server.admit(MACHINE) : idle(request);
      isFirst = false;
      return answer;
    };
  };

  test("runs a job and goes on claiming; a signal while idle: exits 0 at once", async () => {
    offerOneJob();
    const run = serve("--replay", recording(0.2), "--json");
    await until(() => run.output.stderr.includes("no job wants this runner"), "idle");
    run.child.kill("SIGTERM");
    expect(await run.exit).toBe(0);
    expect(JSON.parse(run.output.stdout)).toMatchObject({ id: "7554621441", state: "completed" });
    expect(run.output.stderr).not.toContain(KEY);
    expect(run.output.stderr).not.toContain(JOB_TOKEN);
    expect(run.output.stderr).toMatch(/SIGTERM: finishing the step/);
  });

  test("a signal in a step: the step is finished, sent, and it exits 0", async () => {
    offerOneJob();
    const run = serve("--replay", recording(1));
    await until(() => server.of("PATCH").length > 0, "a heartbeat");
    run.child.kill("SIGINT");
    expect(await run.exit).toBe(0);
    expect(server.tasks[0]?.results.size).toBe(1);
    expect(run.output.stdout).toBe("node 0, task 7554621441: completed\n");
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)(
    "a second %s in a step exits %i at once, and the task stays open",
    async (signal, code) => {
      offerOneJob();
      const run = serve("--replay", recording(60));
      await until(() => server.of("PATCH").length > 0, "a heartbeat");
      run.child.kill("SIGTERM");
      await until(() => run.output.stderr.includes("SIGTERM"), "its word on that");
      run.child.kill(signal);
      expect(await run.exit).toBe(code);
      expect(server.tasks[0]?.results.size).toBe(0);
      expect(server.of("PATCH").some(({ body }) => body.state === "failed")).toBe(false);
    },
  );

  test("a refused key: exits 1 with a plain message", async () => {
    server.onClaim = () => server.error(401, "CLIENT_TOKEN_INVALID");
    const run = serve();
    expect(await run.exit).toBe(1);
    expect(run.output.stderr).toMatch(/the server refuses the key/);
    expect(run.output.stderr).not.toContain(KEY);
  });
});
