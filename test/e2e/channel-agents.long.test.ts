/** Real agents against the real server, by channels, by polling, and one of each in the same job. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { AGENT_BUNDLE } from "../../scripts/lib/agent-bundle.ts";
import { freePorts } from "../agent/helpers.ts";
import { patient } from "../patience.ts";
import { type Json, type OwnedWorker, startOwnedWorker } from "./owned-worker.ts";

/** The shortest lease: nodes by channel are silent for longer than that between two pings. */
const LEASE_SECONDS = 10;

let folder: string;
let program: string;
let worker: OwnedWorker["worker"];
let ask: OwnedWorker["ask"];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "assay-channels-"));
  program = join(folder, "agent.mjs");
  await build({ ...AGENT_BUNDLE, outfile: program, logLevel: "silent" });
  const vars = { NODE_TIMEOUT_SECONDS: String(LEASE_SECONDS) };
  ({ worker, ask } = await startOwnedWorker(folder, vars));
}, patient(120_000));

afterAll(async () => {
  await worker.stop();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
});

/** A recording whose replay takes about `seconds`. */
function recording(seconds: number): string {
  const file = join(folder, `${randomUUID()}.json`);
  const results = { test_results: [{ bf16_tflops: 50, memory_bandwidth_gbs: 250 }] };
  const facts = { about: "for a test", gpu_model: "NVIDIA L4", gpu_count: 1, inventory: {} };
  writeFileSync(file, JSON.stringify({ ...facts, duration_seconds: seconds * 60, results }));
  return file;
}

interface Run {
  child: ChildProcess;
  exit: Promise<{ code: number | null; task: Json; log: string }>;
}

function startAgent(token: string, port: number, transport: string, seconds: number): Run {
  const address = `127.0.0.1:${port}`;
  const args = ["--host", worker.url.origin, "--machine-uuid", randomUUID(), "--json"];
  const more = ["--transport", transport, "--cluster-address", address];
  const state = mkdtempSync(join(folder, "state-"));
  const child = spawn(
    process.execPath,
    [program, ...args, ...more, "--replay", recording(seconds)],
    { env: { PATH: process.env.PATH, XDG_STATE_HOME: state, ASSAY_TOKEN: token } },
  );
  onTestFinished(() => void child.kill("SIGKILL"));
  let [out, log] = ["", ""];
  child.stdout?.on("data", (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr?.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  return {
    child,
    exit: exit.then((code) => ({ code, task: out === "" ? null : JSON.parse(out), log })),
  };
}

test.each([
  ["both by channels", "auto", "auto", 3],
  ["both by polling", "poll", "poll", 3],
  // The poller's leases wake the object again and again; the waiting node says nothing but pings.
  ["one that waits by a channel, one that polls", "auto", "poll", 3 * LEASE_SECONDS],
] as const)("a job of two nodes, %s", async (_name, first, second, seconds) => {
  const benchmarks = ["cluster_network"];
  const job = await ask("POST", "/jobs", { benchmarks, node_count: 2 });
  const [one = 0, two = 0] = await freePorts(2);
  const runs = [
    startAgent(String(job.token), one, first, 1),
    startAgent(String(job.token), two, second, seconds),
  ];
  const ends = await Promise.all(runs.map(({ exit }) => exit));
  for (const [at, { code, task, log }] of ends.entries()) {
    expect(code, log).toBe(0);
    const transport = [first, second][at] === "poll" ? "polling" : "channel";
    expect(task, log).toMatchObject({ state: "completed", agent: { transport } });
  }
  const detail = await ask("GET", `/jobs/${job.id}`);
  expect(detail).toMatchObject({ state: "completed" });
  expect(detail.events.map(({ kind }: { kind: string }) => kind)).not.toContain("lost");
});

test("an abort ends an agent in the middle of its step, by its channel, without a heartbeat", async () => {
  const job = await ask("POST", "/jobs", { benchmarks: ["quick_mark"], node_count: 1 });
  const run = startAgent(String(job.token), 7117, "auto", 300);
  const isOpen = new Promise<void>((resolve) => {
    run.child.stderr?.on("data", (chunk: Buffer) => {
      if (chunk.toString().includes("on an open channel")) resolve();
    });
  });
  const early = run.exit.then(({ log }) => Promise.reject(new Error(log)));
  early.catch(() => {});
  await Promise.race([isOpen, early]);
  await ask("POST", `/jobs/${job.id}/abort`);
  const { code, task } = await run.exit;
  expect(code).toBe(1);
  expect(task).toMatchObject({ state: "aborted" });
});
