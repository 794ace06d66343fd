/** The agent's real binding against stand-ins for NVIDIA's libraries: order, errors, hangs, crashes, lies. */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { systemClock } from "../../../agent/src/clock.ts";
import type { ProbeOptions } from "../../../agent/src/gpu/messages.ts";
import { PROBE_BOUNDS, runProbeProcess } from "../../../agent/src/gpu/probe-process.ts";
import { patient } from "../../patience.ts";
import { until } from "../helpers.ts";
import { buildNativeFakes, type NativeFakes, whyNoNativeFakes } from "./native-fakes.ts";
import type { Measurement } from "./runs.ts";

// biome-ignore lint/suspicious/noExplicitAny: results of every shape
type Json = any;

/** Where nobody waits for it, what has ended stays as a zombie. */
function hasEnded(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z");
  } catch {
    return true;
  }
}

if (whyNoNativeFakes !== null) console.warn(whyNoNativeFakes);

describe.skipIf(whyNoNativeFakes !== null)("stand-ins for NVIDIA's libraries", () => {
  let fakes: NativeFakes;
  let runs = 0;
  beforeAll(async () => {
    fakes = await buildNativeFakes();
  });
  afterAll(() => fakes?.remove());
  beforeEach(() => {
    vi.stubEnv("LD_LIBRARY_PATH", fakes.libraries);
    vi.stubEnv("XDG_CACHE_HOME", join(fakes.folder, "cache"));
  });
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  /** Runs the measuring process with these variables of the stand-ins. */
  async function probe(
    env: Readonly<Record<string, string>>,
    options: Partial<ProbeOptions> = {},
    silenceMs = PROBE_BOUNDS.silenceMs,
  ) {
    const log = join(fakes.folder, `calls-${++runs}`);
    for (const [name, value] of Object.entries({ FAKE_LOG: log, ...env })) vi.stubEnv(name, value);
    const notes: string[] = [];
    const outcome = await runProbeProcess(
      [process.execPath, fakes.agent],
      { engine: "ptx", cublas: null, busyOk: false, ...options },
      { onProgress: () => {}, onNote: (note) => notes.push(note) },
      new AbortController().signal,
      systemClock,
      { ...PROBE_BOUNDS, silenceMs: patient(silenceMs) },
    );
    const results: Json = outcome.ok ? outcome.results : outcome.partial;
    const measurement: Measurement | undefined = results?.measurement;
    return { outcome, notes, results, measurement, calls: () => readFileSync(log, "utf8") };
  }

  const CUBLAS = { engine: "cublaslt", cublas: "" } as const;
  const withCublas = (): Partial<ProbeOptions> => ({
    ...CUBLAS,
    engine: null,
    cublas: fakes.cublas,
  });

  test("two GPUs: every figure, every reading, by calls in an order that the driver accepts", async () => {
    const { outcome, results, measurement, calls } = await probe({ FAKE_GPUS: "2" }, withCublas());
    expect(outcome.ok).toBe(true);
    expect(results.measurement.engine).toEqual({
      id: "cublaslt",
      library: "12.8.4",
      ffi: expect.stringMatching(/^koffi \d/),
      driver: "570.195.03",
      cuda: 12_080,
    });
    // 200 us for a product, 5 ms for a copy of 4 GiB: what the stand-ins take for them.
    expect(results.aggregate_results).toMatchObject({
      bf16_tflops: expect.closeTo((2 * 2 * 4_096 ** 3) / 1e9 / 0.2, 0),
      memory_bandwidth_gbs: expect.closeTo((2 * 2 * 4 * 2 ** 30) / 1e6 / 5, 0),
      host_to_device_bandwidth_gbs: expect.closeTo(50, 1),
      device_to_host_bandwidth_gbs: expect.closeTo(44, 1),
      kernel_launch_overhead_us: expect.closeTo(2, 2),
      gpu_bandwidth_matrix: {
        gpu0_to_gpu1: expect.objectContaining({ connection_type: "nvlink_v3_11x" }),
        gpu1_to_gpu0: expect.objectContaining({ simplex_gbs: expect.closeTo(250, 0) }),
      },
      power_consumption_watts: expect.closeTo(782.47, 1),
      temperature_centigrade: 62,
    });
    expect(measurement?.conditions.facts[1]).toMatchObject({
      uuid: "GPU-abababab-abab-abab-abab-ababababab01",
      serial: "1320000000001",
      pci_address: "0000:02:00.0",
      model: "NVIDIA A100-SXM4-80GB",
      power_limit_watts: 350,
      default_power_limit_watts: 400,
      ecc: true,
      uncorrected_ecc_errors: 3,
      remapped_rows: { correctable: 1, uncorrectable: 2, pending: true, failed: false },
      mig: false,
      persistence: true,
      pcie_generation: 4,
      pcie_width: 8,
      pcie_max_width: 16,
      nvlink_links: 11,
      nvlink_version: 3,
      throttle: ["sw_power_cap", "sw_thermal"],
      processes: [],
    });
    // They compute nothing, and their clock is not the host's: both are noticed.
    const codes = new Set(measurement?.faults.map(({ code }) => code));
    expect(codes).toEqual(new Set(["product_wrong", "clock_disagrees"]));
    expect(calls()).toMatch(/^cuInit\ncuDeviceGetCount\n/);
    expect(calls().match(/^cuLinkComplete$/gm)).toHaveLength(1);
  });

  test.each<[string, Record<string, string>, string, RegExp]>([
    ["no driver", { LD_LIBRARY_PATH: "" }, "no_driver", /install the driver.*--gpus all/],
    ["no GPU", { FAKE_GPUS: "0" }, "no_gpu", /--gpus all/],
    ["the toolkit's stub", { FAKE: "cuInit:1:34" }, "no_driver", /LD_LIBRARY_PATH/],
    ["driver mismatch", { FAKE: "cuInit:1:803" }, "driver_mismatch", /reboot/],
    ["a module that is missing", { FAKE: "cuInit:1:999" }, "driver_broken", /nvidia_uvm/],
    ["MIG", { FAKE_NVML: "mig" }, "mig", /nvidia-smi -mig 0/],
    ["a busy GPU", { FAKE_NVML: "busy" }, "gpu_busy", /--busy-ok/],
    ["300 processes", { FAKE_NVML: "crowd" }, "gpu_busy", /--busy-ok/],
  ])("is refused with a hint: %s", async (_, env, code, hint) => {
    const { outcome } = await probe(env);
    expect(outcome).toMatchObject({
      ok: false,
      code,
      hint: expect.stringMatching(hint),
      partial: null,
    });
  });

  test("a number of GPUs that cannot be is refused", async () => {
    for (const FAKE_GPUS of ["-5", "1000000000"]) {
      const { outcome } = await probe({ FAKE_GPUS });
      expect(outcome).toMatchObject({ ok: false, code: "driver_broken" });
    }
  });

  test("a management library that lies or knows nothing: null, never 0 or 4294967295", async () => {
    for (const FAKE_NVML of ["lies", "none"]) {
      const { outcome, results, measurement } = await probe({ FAKE_NVML });
      expect(outcome.ok).toBe(true);
      const facts = measurement?.conditions.facts[0] ?? {};
      const known = Object.entries(facts).filter(([, value]) => value !== null);
      const told = FAKE_NVML === "lies" ? ["processes"] : [];
      const own = ["compute_capability", "memory_bytes", "model", "multiprocessors"];
      expect(known.map(([name]) => name).sort()).toEqual(
        [...own, ...told, "pci_address", "telemetry", "uuid"].sort(),
      );
      expect(results.aggregate_results.power_consumption_watts).toBeNull();
      expect(JSON.stringify(results)).not.toContain("4294967");
    }
  });

  test("a library that tells 0 of what no GPU has 0 of: null", async () => {
    const { outcome, measurement } = await probe({ FAKE_NVML: "zeros" });
    expect(outcome.ok).toBe(true);
    const names = [
      ...["power_limit_watts", "default_power_limit_watts", "max_sm_mhz", "max_memory_mhz"],
      ...["pcie_generation", "pcie_max_generation", "pcie_width", "pcie_max_width"],
      ...["watts", "peak_watts", "celsius", "peak_celsius", "sm_mhz", "memory_mhz"],
    ];
    const facts = measurement?.conditions.facts[0] ?? {};
    expect(Object.fromEntries(names.map((name) => [name, facts[name]]))).toEqual(
      Object.fromEntries(names.map((name) => [name, null])),
    );
    // These may well be 0, or off.
    expect(facts).toMatchObject({ nvlink_links: 0, ecc: false, mig: false, persistence: false });
  });

  test("one that does not start costs the readings alone", async () => {
    const { outcome, notes, results } = await probe({ FAKE: "nvmlInit_v2:1:18" });
    expect(outcome.ok).toBe(true);
    expect(notes.join()).toMatch(/Driver\/library version mismatch/);
    expect(results.measurement.engine.driver).toBeNull();
  });

  test("nvidia-smi is asked for them only then", async () => {
    const tools = join(fakes.folder, "tools");
    mkdirSync(tools);
    const asked = join(fakes.folder, "asked");
    const row = "0000:01:00.0, GPU-1, 1320000000001, 570.1, 4, 16, 350, 400";
    const script = `#!/bin/sh
echo "$1" >> ${asked}
case "$1" in
  *compute-apps*) ;;
  *power.draw*) echo "00000000:01:00.0, 391.5, 61, 1410, 1593, 4, 8, 0x4" ;;
  *) echo "${row}, Enabled, 0, 0, 0, No, No, Disabled, Enabled, 1410, 1593, 0, 500" ;;
esac
`;
    writeFileSync(join(tools, "nvidia-smi"), script, { mode: 0o755 });
    vi.stubEnv("PATH", `${tools}:${process.env.PATH}`);
    await probe({});
    expect(existsSync(asked)).toBe(false);
    const { notes, measurement, results } = await probe({ FAKE: "nvmlInit_v2:1:18" });
    expect(notes.join()).toMatch(/readings from nvidia-smi, since NVML is missing/);
    expect(results.measurement.engine.driver).toBe("570.1");
    expect(measurement?.conditions.facts[0]).toMatchObject({
      power_limit_watts: 350,
      pcie_width: 8,
      watts: 391.5,
      throttle: ["sw_power_cap"],
      processes: [],
    });
  });

  test.each([
    [719, null],
    [721, null],
    [214, /nvidia-smi -q -d ECC/],
  ])("error %i ends the run, with the figures made before", async (code, hint) => {
    const { outcome, results } = await probe({ FAKE: `cuEventSynchronize:60:${code}` });
    expect(outcome).toMatchObject({
      ok: false,
      code: "gpu_failed",
      message: expect.stringContaining(`(${code})`),
      hint: hint === null ? null : expect.stringMatching(hint),
    });
    expect(results.measurement.partial).toBe(true);
    expect(results.aggregate_results).toHaveProperty("bf16_tflops");
  });

  test("where linking is refused, loading compiles", async () => {
    const { outcome, calls } = await probe({ FAKE: "cuLinkCreate_v2:1:222" });
    expect(outcome.ok).toBe(true);
    expect(calls()).not.toMatch(/^cuLinkComplete$/m);
  });

  test("a crash and a hang cost the step: what was done is named", async () => {
    const crash = await probe({ FAKE: "cuLaunchKernel:500:crash" });
    expect(crash.outcome).toMatchObject({
      ok: false,
      code: "probe_crashed",
      message: expect.stringMatching(/ended by SIGSEGV during .+$/),
    });
    const hang = await probe({ FAKE: "cuEventSynchronize:60:hang" }, {}, 3_000);
    expect(hang.outcome).toMatchObject({ ok: false, code: "probe_hung" });
    expect(hang.results.aggregate_results).toHaveProperty("bf16_tflops");
  });

  test("if memory runs out, the kernel ends the measuring process before the agent", async () => {
    vi.stubEnv("FAKE", "cuInit:1:hang");
    const child = spawn(process.execPath, [fakes.agent, "--probe", "{}"], { stdio: "ignore" });
    const score = (pid = 0) => Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"));
    await until(() => score(child.pid) === 1_000, "the measuring process offers itself");
    expect(score(process.pid)).toBeLessThan(1_000);
    child.kill("SIGKILL");
  });

  test("an agent that is killed takes a measuring process along, though it hangs in the driver", async () => {
    vi.stubEnv("FAKE", "cuInit:1:hang");
    vi.stubEnv("FAKE_LOG", join(fakes.folder, "calls-of-an-orphan"));
    const script = `const child = require("node:child_process").spawn(
      process.execPath, [${JSON.stringify(fakes.agent)}, "--probe", "{}"], { stdio: "ignore", detached: true });
      console.log(child.pid); setInterval(() => {}, 1_000);`;
    const agent = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
    let pid = 0;
    agent.stdout.on("data", (text) => {
      pid = Number(text);
    });
    await until(() => existsSync(join(fakes.folder, "calls-of-an-orphan")), "the call that hangs");
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    agent.kill("SIGKILL");
    await until(() => hasEnded(pid), "the end of the measuring process");
  });

  describe("cuBLASLt", () => {
    test("without a kernel for the product, or one that is no library: the own kernel, and a note", async () => {
      const none = await probe({ FAKE_NO_KERNEL: "1" }, withCublas());
      expect(none.results.measurement.engine.id).toBe("ptx");
      expect(none.notes.join()).toMatch(/cuBLASLt has no kernel for this product/);
      const junk = join(fakes.folder, "junk");
      mkdirSync(junk, { mode: 0o755 });
      writeFileSync(join(junk, "libcublasLt.so.12"), "no library", { mode: 0o755 });
      const { notes, results } = await probe({}, { engine: null, cublas: junk });
      expect(results.measurement.engine.id).toBe("ptx");
      expect(notes.join()).toMatch(/junk\/libcublasLt\.so\.12 cannot multiply matrices/);
    });

    test("where there is none, the own kernel, and how to have it", async () => {
      const nowhere = join(fakes.folder, "nowhere");
      mkdirSync(nowhere);
      const { notes, results } = await probe({}, { engine: null, cublas: nowhere });
      expect(results.measurement.engine.id).toBe("ptx");
      expect(notes.join()).toMatch(
        /no cuBLASLt on .*another class \(--fetch-cublas fetches cuBLASLt\)/,
      );
    });

    test("one that crashes is named, so that --engine ptx can leave it out", async () => {
      const { outcome } = await probe({ FAKE: "cublasLtCreate:1:crash" }, withCublas());
      expect(outcome).toMatchObject({
        code: "probe_crashed",
        message: expect.stringMatching(/SIGSEGV during opening .*libcublasLt\.so\.12$/),
      });
    });

    test("forced where there is none: the other figures are made", async () => {
      const empty = join(fakes.folder, "empty");
      mkdirSync(empty);
      const { outcome, results } = await probe({}, { engine: "cublaslt", cublas: empty });
      expect(outcome).toMatchObject({ ok: false, code: "incomplete" });
      expect(results.aggregate_results).toHaveProperty("memory_bandwidth_gbs");
      expect(results.aggregate_results).not.toHaveProperty("bf16_tflops");
    });
  });

  test("--probe-only as a command: one JSON line on standard output, exit code 1 for wrong products", async () => {
    const { stdout, code } = await command("--probe-only", "--engine", "ptx", "--json");
    expect(code).toBe(1);
    expect(stdout.trim().split("\n")).toHaveLength(1);
    const { state, results } = JSON.parse(stdout);
    expect(state).toBe("completed");
    expect(results.measurement.faults).not.toEqual([]);
  });

  function command(...args: string[]): Promise<{ stdout: string; code: number | null }> {
    const child = spawn(process.execPath, [fakes.agent, ...args], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    let stdout = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    return new Promise((resolve) => child.once("close", (code) => resolve({ stdout, code })));
  }
});
