/** `--json`: every ending is one line, with the figures, how it ended and why, and what could not be asked. */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { EXIT } from "../../agent/src/ending.ts";
import { type AgentProgram, buildAgent, type Run } from "./agent-program.ts";
import { type FakeServer, JOB_TOKEN, startFakeServer } from "./fake-server.ts";
import { RUNNER_KEY, until } from "./helpers.ts";

const MACHINE = "550e8400-e29b-41d4-a716-446655440000";
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

const node = (...args: string[]): Run =>
  agent.start(
    ["--json", "--host", server.url, "--token", JOB_TOKEN, "--machine-uuid", MACHINE, ...args],
    // Without nvidia-smi, wherever this runs.
    { PATH: join(agent.folder, "nothing") },
  );
const runner = (...args: string[]): Run =>
  agent.start(["--json", "--host", server.url, "--runner", "r", "--key", RUNNER_KEY, ...args], {
    PATH: join(agent.folder, "nothing"),
  });

/** The lines of an ended run. */
async function linesOf(run: Run, exitCode: number): Promise<Record<string, unknown>[]> {
  expect(await run.exit, run.output.stderr).toBe(exitCode);
  const { stdout } = run.output;
  expect(stdout).toMatch(/^({.*}\n)+$/);
  expect(stdout).not.toContain(JOB_TOKEN);
  const lines = stdout.trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line));
}

async function lineOf(run: Run, exitCode: number): Promise<Record<string, unknown>> {
  const [line, ...more] = await linesOf(run, exitCode);
  expect(more).toEqual([]);
  expect(line).toHaveProperty("id");
  expect(Object.keys(Object(line?.agent)).sort()).toEqual([
    "exit_code",
    "findings",
    "gpu",
    "machine_uuid",
    "performance",
    "reason",
    "spec_check",
    "steps",
    "transport",
    "unfinished_nodes",
    "verdict",
  ]);
  expect(line).toMatchObject({
    agent: { exit_code: exitCode, reason: expect.stringMatching(/./) },
  });
  return line ?? {};
}

const NOT_ASKED = { outcome: "could not be asked", reason: expect.stringMatching(/nvidia-smi/) };

describe("a node of one job", () => {
  test("that completes: the task, the figures", async () => {
    const line = await lineOf(node("--replay", agent.recording(0.2)), EXIT.completed);
    expect(line).toMatchObject({
      id: "7554621441",
      rank: 0,
      state: "completed",
      agent: { verdict: "completed", machine_uuid: MACHINE },
    });
    const results = { replayed: true, test_results: [{ bf16_tflops: 50 }] };
    expect(Object(line.agent).steps).toMatchObject([
      { position: 0, benchmark_id: "quick_mark", state: "completed", error_message: null, results },
    ]);
  });

  test("that fails: the reason, and what could not be asked", async () => {
    const line = await lineOf(node(), EXIT.notCompleted);
    expect(line).toMatchObject({
      state: "failed",
      agent: {
        verdict: "failed",
        gpu: NOT_ASKED,
        steps: [{ state: "failed", error_message: expect.stringMatching(/\w{3}/) }],
      },
    });
  });

  test.each([
    ["a full job", 409, "NODE_LIMIT_REACHED", /the job is full/],
    ["another agent's node", 400, "PARAMETER_INCORRECT_VALUE", /^refused: 400/],
    ["a dead token", 401, "CLIENT_TOKEN_INVALID", /401.*ended or was deleted/],
    ["an ended job", 409, "JOB_ENDED", /409/],
  ] as const)("%s: no task", async (_name, status, code, reason) => {
    server.intercept = ({ method }) => (method === "POST" ? server.error(status, code) : undefined);
    expect(await lineOf(node(), EXIT.notCompleted)).toMatchObject({
      id: null,
      state: null,
      agent: { verdict: "error", reason: expect.stringMatching(reason), steps: [], gpu: NOT_ASKED },
    });
  });

  test("a job that is aborted during a step: the task's state", async () => {
    const run = node("--replay", agent.recording(600));
    await until(() => server.of("PATCH").length > 0, "the first heartbeat");
    server.abort();
    expect(await lineOf(run, EXIT.notCompleted)).toMatchObject({
      state: "aborted",
      agent: { verdict: "aborted", steps: [] },
    });
  });

  test("no server: its address", async () => {
    await server.close();
    const line = await lineOf(node("--give-up-after", "1s"), EXIT.notCompleted);
    expect(Object(line.agent).reason).toContain(`gave up on the server: ${server.url}`);
    await server.comeBack();
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s: interrupted, with the steps that were run", async (signal, code) => {
    await server.close();
    server = await startFakeServer({
      nodeCount: 2,
      sequence: [{ benchmark_id: "quick_mark" }, { benchmark_id: "cluster_network" }],
    });
    const run = node("--replay", agent.recording(0.1));
    await until(() => server.of("PUT").length > 0, "the first result");
    await until(() => server.requests.at(-1)?.method === "GET", "waiting for the other node");
    run.child.kill(signal);
    expect(await lineOf(run, code)).toMatchObject({
      id: null,
      agent: {
        verdict: "interrupted",
        reason: expect.stringContaining(signal),
        steps: [{ position: 0, state: "completed" }],
      },
    });
  });
});

describe("bad usage", () => {
  test.each([
    ["no host", ["--json"], {}],
    ["an unknown option", ["--frobnicate", "--json"], {}],
    ["a runner's key as token", ["--json", "--host", "http://a.test", "--token", RUNNER_KEY], {}],
    [
      "no recording",
      ["--json", "--host", "http://a.test", "--token", "t", "--replay", "/none"],
      {},
    ],
    ["no certificates", ["--json", "--host", "http://a.test", "--token", "t", "--ca", "/none"], {}],
    [
      "a proxy of another kind",
      ["--json", "--host", "http://a.test", "--token", "t"],
      { http_proxy: "socks5://p:1" },
    ],
    [
      "a machine key with a variable in it",
      ["--json", "--host", "http://a.test", "--token", "t"],
      { ASSAY_MACHINE_KEY: "$(JOB_UID)-0" },
    ],
    ["an engine that does not exist", ["--probe-only", "--json", "--engine", "x"], {}],
  ])("%s", async (_name, args, env: Record<string, string>) => {
    const run = agent.start(args, env);
    const line = await lineOf(run, EXIT.usage);
    expect(line).toMatchObject({ id: null, agent: { verdict: "usage", steps: [], gpu: null } });
    expect(run.output.stderr).toContain(String(Object(line.agent).reason));
  });
});

test("a library that cannot be fetched, without a server: why", async () => {
  const proxy = { https_proxy: "http://127.0.0.1:9" };
  const run = agent.start(["--probe-only", "--fetch-cublas", "--json"], proxy);
  expect(await lineOf(run, EXIT.notCompleted)).toMatchObject({
    id: null,
    agent: { verdict: "error", reason: "cuBLAS cannot be fetched" },
  });
  expect(run.output.stderr).toContain("cuBLAS cannot be fetched: ");
});

describe("a runner", () => {
  test("has a line for each job, and one for its own end", async () => {
    const idle = server.onClaim;
    let claims = 0;
    server.onClaim = (request) => (claims++ === 0 ? server.admit(MACHINE) : idle(request));
    const run = runner("--replay", agent.recording(0.2));
    await until(() => run.output.stderr.includes("no job for this runner yet"), "idle");
    run.child.kill("SIGTERM");
    const lines = await linesOf(run, EXIT.completed);
    expect(lines).toMatchObject([
      {
        id: "7554621441",
        state: "completed",
        agent: {
          verdict: "completed",
          machine_uuid: MACHINE,
          steps: [{ position: 0, results: { replayed: true } }],
        },
      },
      { id: null, agent: { verdict: "stopped", exit_code: 0, steps: [] } },
    ]);
  });

  test("with a refused key", async () => {
    server.onClaim = () => server.error(401, "CLIENT_TOKEN_INVALID");
    expect(await lineOf(runner(), EXIT.notCompleted)).toMatchObject({
      id: null,
      agent: { verdict: "error", reason: expect.stringMatching(/refused the key/), gpu: NOT_ASKED },
    });
  });

  test("that a second signal ends in a step: interrupted", async () => {
    server.onClaim = () => server.admit(MACHINE);
    const run = runner("--replay", agent.recording(60));
    await until(() => server.of("PATCH").length > 0, "a heartbeat");
    run.child.kill("SIGTERM");
    await until(() => run.output.stderr.includes("SIGTERM"), "its word on that");
    run.child.kill("SIGINT");
    expect(await lineOf(run, 130)).toMatchObject({ id: null, agent: { verdict: "interrupted" } });
  });
});

test("--probe-only on a machine that cannot be measured: one line, exit code 1", async () => {
  const run = agent.start(["--probe-only", "--json"], { PATH: join(agent.folder, "nothing") });
  const [line, ...more] = await linesOf(run, EXIT.notCompleted);
  expect(more).toEqual([]);
  expect(line).toMatchObject({ state: "failed", message: expect.stringMatching(/\w/) });
});
