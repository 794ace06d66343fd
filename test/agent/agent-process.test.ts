import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AGENT_VERSION } from "../../agent/src/version.ts";
import { AGENT_BUNDLE } from "../../scripts/lib/agent-bundle.ts";
import { patient } from "../patience.ts";
import { type FakeServer, JOB_TOKEN, startFakeServer } from "./fake-server.ts";
import { until } from "./helpers.ts";
import { certificateFile, startProxy, startTls } from "./network-stand-ins.ts";

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
    ...AGENT_BUNDLE,
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

const agent = (...args: string[]): Run => start(process.execPath, [bundle, ...args], {});

function start(program: string, args: string[], env: Record<string, string>): Run {
  const child = spawn(program, args, {
    env: { PATH: process.env.PATH, XDG_STATE_HOME: folder, ...env },
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

/** A folder with an nvidia-smi that never returns, and whose child ignores SIGTERM and keeps its output open. */
function hangingTool(): string {
  const bin = mkdtempSync(join(folder, "bin-"));
  const script = `#!/bin/sh\nsh -c 'trap "" TERM; : > "${bin}/asked"; while :; do sleep 600; done'\n`;
  writeFileSync(join(bin, "nvidia-smi"), script, { mode: 0o755 });
  return bin;
}

describe("an nvidia-smi that never returns", () => {
  test.each([
    ["a node", ["--token", JOB_TOKEN, "--machine-uuid", MACHINE], 143],
    ["a runner", ["--runner", "rack-1", "--key", `assay_runner_${"k".repeat(30)}`], 0],
  ])("SIGTERM ends %s at once, with everything it has started", async (_, args, code) => {
    const bin = hangingTool();
    const path = `${bin}:${process.env.PATH}`;
    const run = start(process.execPath, [bundle, "--host", server.url, ...args], { PATH: path });
    await until(() => existsSync(join(bin, "asked")), "nvidia-smi is asked");
    const sentAt = performance.now();
    run.child.kill("SIGTERM");
    expect(await run.exit).toBe(code);
    expect(performance.now() - sentAt).toBeLessThan(patient(10_000));
    expect(server.tasks).toEqual([]);
  });
});

describe("a completed task", () => {
  test("exits 0; --json prints the final task and nothing else on stdout", async () => {
    const run = startIn("--replay", recording(1), "--json");
    expect(await run.exit).toBe(0);
    expect(run.output.stdout.endsWith("}\n")).toBe(true);
    expect(run.output.stdout.trim().split("\n")).toHaveLength(1);
    expect(JSON.parse(run.output.stdout)).toMatchObject({
      id: "7554621441",
      machine_uuid: MACHINE,
      state: "completed",
      agent: { transport: "channel" },
    });
    expect(run.output.stderr.match(/on an open channel/g)).toHaveLength(1);
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
    await startIn("--replay", recording(0.2), "--cluster-address", "[fd00::9]:7118").exit;
    expect(server.tasks[0]?.joined).toMatchObject({
      machine_uuid: MACHINE,
      cluster_address: "[fd00::9]:7118",
      cluster_addresses: ["[fd00::9]:7118"],
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
    expect(run.output.stdout).toMatch(/^{"id":null,.*the job is full.*}\n$/);
    expect(run.output.stderr).toMatch(/the job is full/);
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

  test("SIGTERM with an open channel ends it at once, and the channel with it", async () => {
    const run = startIn("--replay", recording(600));
    await until(() => server.channel.open.length >= 1, "a channel");
    const sentAt = performance.now();
    run.child.kill("SIGTERM");
    expect(await run.exit).toBe(143);
    expect(performance.now() - sentAt).toBeLessThan(patient(10_000));
    await until(() => server.channel.open.length === 0, "its end");
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
    server.intercept = ({ method }) => {
      if (method !== "PUT") return undefined;
      void server.close();
      return "drop";
    };
    const run = startIn("--replay", recording(0.2));
    await until(() => /PUT failed/.test(run.output.stderr), "a failed result");
    server.intercept = () => undefined;
    await server.comeBack();
    expect(await run.exit).toBe(0);
  });
});

describe("output that fails", () => {
  /** Runs the agent by a shell, whose redirections make what it writes to fail. */
  function redirected(redirection: string, ...args: string[]): Run {
    const all = [bundle, "--host", server.url, "--machine-uuid", MACHINE, ...args];
    const command = `"${process.execPath}" "$@" ${redirection}`;
    return start("/bin/bash", ["-c", command, "agent", ...all], { ASSAY_TOKEN: JOB_TOKEN });
  }

  test.each([
    ["a log on a full disk", "2>/dev/full"],
    ["a result on a full disk", ">/dev/full"],
    ["both on a full disk", ">/dev/full 2>&1"],
    ["a log that nobody reads any more", "2> >(exec true)"],
    ["a result that nobody reads any more", "> >(exec true)"],
    ["both closed", ">&- 2>&-"],
  ])("%s: the work goes on, the result is sent, the exit code is the same", async (_name, to) => {
    const run = redirected(`--json ${to}`, "--replay", recording(0.5));
    expect(await run.exit).toBe(0);
    expect(server.tasks[0]?.results.size).toBe(1);
  });

  test("a failed task still exits 1, bad usage 2", async () => {
    expect(await redirected(">/dev/full 2>&1").exit).toBe(1);
    expect(await redirected("--frobnicate >/dev/full 2>&1").exit).toBe(2);
  });
});

describe("through a proxy, to a server with a company's certificate", () => {
  test("a job is completed, and nothing goes another way", async () => {
    const tls = await startTls("server", server.port);
    const proxy = await startProxy({ target: tls.port, login: "user:secret" });
    const options = ["--host", "https://assay.test", "--token", JOB_TOKEN];
    const more = ["--machine-uuid", MACHINE, "--replay", recording(1)];
    const run = start(
      process.execPath,
      [bundle, ...options, ...more, "--ca", certificateFile("ca")],
      {
        HTTPS_PROXY: `http://user:secret@127.0.0.1:${proxy.port}`,
      },
    );
    expect(await run.exit).toBe(0);
    expect(run.output.stderr).not.toContain("secret");
    expect(new Set(proxy.asked.map(({ line }) => line))).toEqual(
      new Set(["CONNECT assay.test:443"]),
    );
    expect(run.output.stderr).toContain("on an open channel");
    await Promise.all([proxy.close(), tls.close()]);
  });

  test("a wrong proxy or file is bad usage", async () => {
    const socks = start(process.execPath, [bundle, "--host", "https://a.test", "--token", "t"], {
      HTTPS_PROXY: "socks5://user:secret@p:1",
    });
    expect(await socks.exit).toBe(2);
    expect(socks.output.stderr).toMatch(/HTTPS_PROXY must be the address of an HTTP proxy/);
    expect(socks.output.stderr).not.toContain("secret");
    const noFile = startIn("--ca", join(folder, "missing.pem"));
    expect(await noFile.exit).toBe(2);
    expect(noFile.output.stderr).toMatch(/missing\.pem cannot be read as certificates/);
  });
});

test("--give-up-after ends an agent whose server is not there, with the address and exit code 1", async () => {
  await server.close();
  const run = startIn("--give-up-after", "2s");
  expect(await run.exit).toBe(1);
  expect(run.output.stderr).toContain(`gave up on the server: ${server.url}: connect ECONNREFUSED`);
  await server.comeBack();
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
    await until(() => run.output.stderr.includes("no job for this runner yet"), "idle");
    run.child.kill("SIGTERM");
    expect(await run.exit).toBe(0);
    const [line = ""] = run.output.stdout.split("\n");
    expect(JSON.parse(line)).toMatchObject({ id: "7554621441", state: "completed" });
    expect(run.output.stderr).not.toContain(KEY);
    expect(run.output.stderr).not.toContain(JOB_TOKEN);
    expect(run.output.stderr).toMatch(/SIGTERM: finishing the running step/);
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
    expect(run.output.stderr).toMatch(/the server refused the key/);
    expect(run.output.stderr).not.toContain(KEY);
  });
});
