/** `--probe-only` for the person at its terminal: the table, the JSON line, the exit code. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, describe, expect, test, vi } from "vitest";
import { systemClock } from "../../../agent/src/clock.ts";
import { describeOutcome, runProbeOnly } from "../../../agent/src/gpu/probe-only.ts";
import { probeDefaults } from "../helpers.ts";
import { measure, SAMPLE, telemetryOf } from "./runs.ts";

const FAKE_AGENT = [process.execPath, fileURLToPath(new URL("fake-agent.ts", import.meta.url))];
const folder = mkdtempSync(join(tmpdir(), "assay-only-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => {
  vi.unstubAllEnvs();
});

async function run(json: boolean, command = FAKE_AGENT) {
  const said = { stdout: "", stderr: "" };
  const code = await runProbeOnly(
    command,
    probeDefaults,
    json,
    {
      stdout: (text) => {
        said.stdout += text;
      },
      stderr: (text) => {
        said.stderr += text;
      },
    },
    new AbortController().signal,
    systemClock,
  );
  return { code, ...said };
}

describe("a whole measurement", () => {
  test("as a table, with exit code 0; what it does goes to standard error", async () => {
    const { code, stdout, stderr } = await run(false);
    expect(code).toBe(0);
    const [head = "", units = "", ...rows] = stdout.split("\n");
    expect(head.split(/ {2,}/)).toEqual(
      "GPU,BF16,FP16,FP32,memory,to GPU,from GPU,launch,power,heat,model".split(","),
    );
    expect(units).toMatch(/TFLOPS +TFLOPS +TFLOPS +GB\/s/);
    for (const row of rows.slice(0, 2)) {
      expect(row).toMatch(/^ +[01] +1\.00 +2\.00 .* 391 +61\.0 +NVIDIA A100-SXM4-80GB$/);
    }
    expect(stdout).toContain("matrix products: ptx; driver 580.159.04\n");
    expect(stdout).not.toMatch(/NOT MEASURED|not settled|BUSY/);
    expect(stderr).toContain("memory_bandwidth_gbs ...\n");
  });

  test("as one JSON line", async () => {
    const { code, stdout } = await run(true);
    expect(code).toBe(0);
    expect(stdout.indexOf("\n")).toBe(stdout.length - 1);
    expect(JSON.parse(stdout)).toMatchObject({
      state: "completed",
      results: { aggregate_results: { bf16_tflops: 2 }, measurement: { version: 1, faults: [] } },
    });
  });
});

describe("exit code 1", () => {
  test("a refusal, with its hint", async () => {
    vi.stubEnv("FAKE_PROBE", "refused");
    const table = await run(false);
    expect(table.code).toBe(1);
    expect(table.stdout).toMatch(
      /^FAILED \(gpu_busy\): GPU 0 is in use: 97 % busy.*\n {2}stop that work/,
    );
    const json = await run(true);
    expect(json.code).toBe(1);
    expect(JSON.parse(json.stdout)).toEqual({
      state: "failed",
      code: "gpu_busy",
      message: expect.stringContaining("97 % busy"),
      hint: expect.stringContaining("--busy-ok"),
      results: null,
    });
  });

  test("a crash, with the figures made before it", async () => {
    vi.stubEnv("FAKE_PROBE", "crash");
    const { code, stdout } = await run(false);
    expect(code).toBe(1);
    expect(stdout).toMatch(/ 1\.00 +- +- +- /);
    expect(stdout).toMatch(
      /FAILED \(probe_crashed\): the measuring process ended by SIGSEGV during bf16_tflops\n/,
    );
  });

  test("a measurement that lacks a figure, or whose products are wrong", async () => {
    const { results } = measure({ fail: { call: "allocateHost", nth: 1, code: 2 } });
    const script = join(folder, "incomplete.mjs");
    const message = JSON.stringify({ type: "result", results });
    writeFileSync(script, `console.log(${JSON.stringify(message)});`);
    const { code, stdout } = await run(false, [process.execPath, script]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/NOT MEASURED OR WRONG: host_to_device_bandwidth_gbs: .*OUT_OF_MEMORY/);
  });
});

test("what is special about a measurement is said below the table", () => {
  const sample = () => ({ ...SAMPLE, throttle: ["sw_power_cap"] });
  const telemetry = telemetryOf({ sample, utilization: () => 50 });
  const { results } = measure(
    { gpus: 2, launchMs: (_, __, at) => 1 + at / 10_000 },
    { telemetry, busyOk: true },
  );
  const text = describeOutcome({ ok: true, results });
  expect(text).toContain("BUSY: other processes used these GPUs\n");
  expect(text).toContain("not settled: bf16_tflops\n");
  expect(text).toContain("clocks throttled by: sw_power_cap\n");
  expect(text).toMatch(/between GPUs: .* over 2 ways/);
});

test("results of any form make a table without control characters", () => {
  const strange: unknown[] = [
    {},
    { test_results: "x", measurement: [] },
    { test_results: [null, { bf16_tflops: "x" }], measurement: { faults: [null, { metric: 1 }] } },
    {
      test_results: [{}],
      measurement: { conditions: { facts: [{ model: "\u001b[2J\nA100" }], throttle: ["\u0007"] } },
    },
  ];
  for (const results of strange) {
    const text = describeOutcome({ ok: true, results: results as Record<string, unknown> }); // `as`: that is the question
    expect(text.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
  }
});
