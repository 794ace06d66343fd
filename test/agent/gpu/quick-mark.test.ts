/** The step in a job: the agent's own process, its child that measures, and what the server gets. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeEach, expect, test } from "vitest";
import { runProbeProcess } from "../../../agent/src/gpu/probe-process.ts";
import type { RunStep } from "../../../agent/src/step-context.ts";
import { patient } from "../../patience.ts";
import { type FakeServer, JOB_TOKEN, startFakeServer } from "../fake-server.ts";
import { fastClock, startAgent } from "../helpers.ts";

const FAKE_AGENT = fileURLToPath(new URL("fake-agent.ts", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "assay-step-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let server: FakeServer;
const children: ChildProcess[] = [];
beforeEach(async () => {
  server = await startFakeServer({
    sequence: [{ benchmark_id: "quick_mark" }, { benchmark_id: "not_known" }],
  });
});
afterEach(async () => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
  await server.close();
});

/** Runs an agent to its end. */
async function runAgent(probe: string): Promise<{ code: number | null; log: string }> {
  const child = spawn(process.execPath, [FAKE_AGENT, "--host", server.url], {
    env: {
      PATH: process.env.PATH,
      XDG_STATE_HOME: folder,
      ASSAY_TOKEN: JOB_TOKEN,
      FAKE_PROBE: probe,
    },
    stdio: ["ignore", "ignore", "pipe"],
  });
  children.push(child);
  let log = "";
  child.stderr.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, log };
}

/** Bodies of results by position. */
function sent(position: number): Record<string, unknown> {
  const text = server.tasks[0]?.results.get(position);
  if (text === undefined) throw new Error(`no result of step ${position}`);
  return JSON.parse(text);
}

test("true products on two GPUs are sent with how they were made", async () => {
  const { log } = await runAgent("");
  expect(sent(0), log).toMatchObject({
    state: "completed",
    results: {
      aggregate_results: { bf16_tflops: 2, fp16_tflops: 4 },
      test_results: [{ bf16_tflops: 1 }, { bf16_tflops: 1 }],
      measurement: {
        version: 1,
        engine: { id: "ptx", library: null, ffi: "fake 1", driver: "580.159.04", cuda: 13_000 },
        methods: { bf16_tflops: "gemm.ptx.256.nt.normal/1" },
        quality: { bf16_tflops: { settled: true, spread: 0, drift: 0, samples: 12 } },
        conditions: { busy: false, throttle: [], end_to_start: 1 },
        checks: { gemm_repeatable: true, gemm_error: expect.any(Number) },
        faults: [],
      },
    },
  });
  const { results } = sent(0) as { results: { measurement: object } }; // `as`: matched above
  expect(Object.keys(results.measurement)).toEqual([
    "version",
    "engine",
    "methods",
    "quality",
    "conditions",
    "checks",
    "faults",
  ]);
});

test.each([
  ["crash", /ended by SIGSEGV during bf16_tflops \(probe_crashed\)/],
  ["oom", /ended by SIGKILL during bf16_tflops \(probe_crashed\)/],
])(
  "%s costs the step: its figures so far are sent, and the agent goes on",
  async (probe, message) => {
    const { log } = await runAgent(probe);
    expect(sent(0), log).toMatchObject({
      state: "failed",
      error_message: expect.stringMatching(message),
      results: { aggregate_results: { bf16_tflops: 2 }, measurement: { partial: true } },
    });
    // The next step was reached.
    expect(sent(1)).toMatchObject({
      state: "failed",
      error_message: expect.stringMatching(/not_known/),
    });
  },
);

test("a refusal is sent with its hint", async () => {
  await runAgent("refused");
  expect(sent(0)).toMatchObject({
    state: "failed",
    error_message: expect.stringMatching(
      /GPU 0 is in use: 97 % busy.*\(gpu_busy\): stop that work/,
    ),
  });
  expect(sent(0)).not.toHaveProperty("results");
});

test("a hang costs the step: the agent goes on beating until it ends it, and takes the next", async () => {
  // Two minutes of silence in two seconds: contact is kept every 30 s.
  const clock = fastClock(60 / patient(1));
  const script = join(folder, "hang.mjs");
  const progress = JSON.stringify({ type: "progress", progress: 0.2, message: "memory" });
  writeFileSync(script, `console.log('${progress}'); setTimeout(() => { for (;;); }, 50);`);
  let beats = 0;
  const runStep: RunStep = async ({ benchmarkId }, { report, signal }) => {
    if (benchmarkId !== "quick_mark") return { state: "completed", results: {} };
    const outcome = await runProbeProcess(
      [process.execPath, script],
      {},
      { onProgress: report, onNote: () => {} },
      signal,
      clock,
      { silenceMs: 120_000, totalMs: 600_000, killMs: 60_000 },
    );
    beats = server.beats().filter(({ message }) => message === "memory").length;
    if (outcome.ok) throw new Error("it hangs");
    return { state: "failed", errorMessage: `${outcome.message} (${outcome.code})` };
  };
  await startAgent(server.url, { clock, runStep }).end;
  expect(beats).toBeGreaterThanOrEqual(3);
  expect(sent(0)).toMatchObject({
    state: "failed",
    error_message: expect.stringMatching(
      /^the measuring process .* 120 s during memory \(probe_hung\)$/,
    ),
  });
  expect(sent(1)).toMatchObject({ state: "completed" });
});
