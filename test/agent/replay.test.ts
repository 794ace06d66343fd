import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { runQuickMark } from "../../agent/src/quick-mark.ts";
import { loadReplay, parseReplay } from "../../agent/src/replay.ts";
import { sampleReplay, steppingClock } from "./helpers.ts";

const folder = new URL("../../agent/replays/", import.meta.url).pathname;
const good = {
  about: "made for this test",
  gpu_model: "NVIDIA L4",
  gpu_count: 1,
  duration_seconds: 300,
  inventory: {},
  results: { test_results: [{ bf16_tflops: 50, memory_bandwidth_gbs: 250 }] },
};

function shipped(name: string) {
  const loaded = loadReplay(folder + name);
  if (!loaded.ok) throw new Error(loaded.message);
  return loaded.replay;
}

describe("the shipped recordings", () => {
  test.each(readdirSync(folder))("%s is well formed and takes 5 to 7 s", (name) => {
    const replay = shipped(name);
    expect(replay.durationSeconds).toBeGreaterThanOrEqual(300);
    expect(replay.durationSeconds).toBeLessThanOrEqual(420);
  });

  test("the two-GPU one is the separate pass that was recorded, not a sum", () => {
    expect(shipped("a100-sxm4-80gb-x2.json").results.aggregate_results).toMatchObject({
      bf16_tflops: 530.1,
      device_to_host_bandwidth_gbs: 7.49,
    });
  });

  test("the single-GPU one has no aggregate", () => {
    expect(Object.keys(shipped("h100-nvl-x1.json").results)).toEqual(["test_results"]);
  });

  test("the eight-GPU ones are the recorded per-GPU figures times eight, and nothing else", () => {
    expect(shipped("h100-80gb-hbm3-x8.json").results).toEqual({
      aggregate_results: {
        gpu_id: "aggregate",
        bf16_tflops: 5671.2,
        fp16_tflops: 5343.2,
        fp32_tflops: 2917.6,
        mixed_precision_tflops: 5120,
        memory_bandwidth_gbs: 23_776,
      },
    });
    expect(shipped("a100-sxm4-40gb-x8-slow.json").results).toEqual({
      aggregate_results: {
        gpu_id: "aggregate",
        bf16_tflops: 1192,
        memory_bandwidth_gbs: 10_968,
        power_consumption_watts: 41.7,
      },
    });
  });
});

describe("reading a recording", () => {
  test("one with test_results alone is good", () => {
    expect(parseReplay(good)).toMatchObject({ ok: true, replay: { gpuModel: "NVIDIA L4" } });
  });

  test.each([
    ["about", ""],
    ["gpu_model", 3],
    ["gpu_count", 0],
    ["gpu_count", 1.5],
    ["duration_seconds", 0],
    ["duration_seconds", "300"],
    ["inventory", []],
    ["results", null],
    ["results", { test_results: [] }],
    ["results", { aggregate_results: { bf16_tflops: 1 } }],
    ["results", { aggregate_results: { bf16_tflops: -1, memory_bandwidth_gbs: 1 } }],
  ])("%s %j is refused by name", (field, value) => {
    const parsed = parseReplay({ ...good, [field]: value });
    expect(parsed).toMatchObject({ ok: false, message: expect.stringContaining(field) });
  });

  test("a missing file and one that is not JSON are refused in words", () => {
    const message = (file: string) => {
      const loaded = loadReplay(file);
      return loaded.ok ? "" : loaded.message;
    };
    expect(message("/nowhere/a.json")).toBe("--replay /nowhere/a.json: it cannot be read");
    expect(message(new URL(import.meta.url).pathname)).toMatch(/it is not JSON/);
  });
});

describe("quick_mark", () => {
  const tools = () => {
    const clock = steppingClock();
    const [logs, reports]: [string[], number[]] = [[], []];
    const log = (line: string) => logs.push(line);
    const report = (progress: number) => reports.push(progress);
    return { clock, logs, reports, log, report, signal: new AbortController().signal };
  };

  test("sends the recorded results, marked as replayed, after a sixtieth of the time", async () => {
    const t = tools();
    const recorded = { ...sampleReplay.results, timestamp: "2020-01-01T00:00:00Z" };
    const outcome = await runQuickMark(
      { kind: "replay", replay: { ...sampleReplay, results: recorded } },
      t,
    );
    expect(outcome).toEqual({
      state: "completed",
      results: { ...sampleReplay.results, replayed: true, timestamp: expect.stringMatching(/Z$/) },
    });
    expect(outcome.results?.timestamp).not.toBe(recorded.timestamp);
    expect(t.clock.slept.reduce((sum, ms) => sum + ms, 0)).toBeCloseTo(10_000);
    expect(t.reports).toEqual([...t.reports].sort((a, b) => a - b));
    expect(t.logs.join()).toMatch(/REPLAYED from a recording .* not measured here/);
  });
});
