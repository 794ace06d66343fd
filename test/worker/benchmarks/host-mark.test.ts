/** HostMark in the catalogue: what agents may send, and what is made of it. */
import { describe, test } from "vitest";
import { hostMark } from "../../../src/benchmarks/host-mark.ts";
import { planSequence } from "../../../src/benchmarks/sequence.ts";

const MINIMAL = { effective_cores: 13.2, memory_triad_gbs: 180.5 };
const FULL = {
  cpu: {
    model: "AMD EPYC 9354",
    threads: 64,
    available: 16,
    quota: 15.5,
    numa_nodes: 2,
    virtualization: "docker",
  },
  ...MINIMAL,
  cpu_single_gbs: 2.1,
  cpu_all_gbs: 27.7,
  memory_copy_gbs: 150,
  disk_sequential_write_mbs: 1_900,
  disk_sequential_read_mbs: 3_100,
  disk_random_read_p50_us: 78,
  disk_random_read_p99_us: 140,
  disk_path: "/work",
  disk_direct: true,
  disk_reason: null,
  measurement: { version: 1, anything: [1] },
};
const MEASURER = {
  hardware: { gpuModel: null, gpuCount: null, gpuModels: null },
  models: new Map<string, string>(),
};
const faultsOf = (changes: object) =>
  hostMark.implausible(hostMark.result.parse({ ...FULL, ...changes }), MEASURER);

describe("results", () => {
  test("whole ones, minimal ones and those of a machine without a measurable disk are taken", ({
    expect,
  }) => {
    const diskless = {
      ...FULL,
      disk_sequential_write_mbs: null,
      disk_sequential_read_mbs: null,
      disk_random_read_p50_us: null,
      disk_random_read_p99_us: null,
      disk_direct: false,
      disk_reason: "tmpfs is memory",
    };
    for (const sent of [FULL, MINIMAL, diskless, { ...MINIMAL, newer_figure: 7 }]) {
      expect(hostMark.result.parse(sent)).toEqual(sent);
    }
  });

  test.for([
    ["nothing", {}],
    ["no cores", { memory_triad_gbs: 1 }],
    ["no memory", { effective_cores: 1 }],
    ["cores as text", { ...MINIMAL, effective_cores: "13" }],
    ["a figure as a list", { ...MINIMAL, memory_copy_gbs: [1] }],
    ["a CPU as text", { ...MINIMAL, cpu: "EPYC" }],
    ["a long path", { ...MINIMAL, disk_path: "x".repeat(4_097) }],
  ] as const)("refused: %s", ([, sent], { expect }) => {
    expect(hostMark.result.safeParse(sent).success).toBe(false);
  });

  test("only effective cores are needed afterwards", ({ expect }) => {
    expect(hostMark.digest(hostMark.result.parse(FULL), MEASURER)).toEqual({
      effective_cores: 13.2,
    });
  });
});

describe("what cannot be true", () => {
  test.for([
    ["nothing of an honest result", {}, []],
    ["no speed at all", { memory_copy_gbs: 0 }, ["memory_copy_gbs"]],
    [
      "a disk of a terabyte a second",
      { disk_sequential_read_mbs: 1e6 + 1 },
      ["disk_sequential_read_mbs"],
    ],
    ["text", { cpu_all_gbs: "NaN" }, ["cpu_all_gbs"]],
    ["a latency of seconds", { disk_random_read_p99_us: 1e6 }, ["disk_random_read_p99_us"]],
    ["more cores than CPUs", { effective_cores: 24.1 }, ["effective_cores"]],
    ["as many as clocks allow", { effective_cores: 24 }, []],
    [
      "a quota of nearly two CPUs, all used",
      { cpu: { available: 1, quota: 1.9 }, effective_cores: 1.88 },
      [],
    ],
    [
      "more than such a quota",
      { cpu: { available: 1, quota: 1.9 }, effective_cores: 2.9 },
      ["effective_cores"],
    ],
    [
      "a quota beyond the CPUs",
      { cpu: { available: 1, quota: 64 }, effective_cores: 3.1 },
      ["effective_cores"],
    ],
    ["no cores", { effective_cores: 0 }, ["effective_cores"]],
    ["more cores than any machine has", { effective_cores: 1e9 }, ["effective_cores"]],
  ] as const)("%s", ([, changes, fields], { expect }) => {
    const faults = faultsOf(changes);
    expect(faults.map(({ field }) => field)).toEqual(fields);
    for (const { reason } of faults) expect(reason).toContain("cannot be true");
  });
});

describe("in a job", () => {
  test("it comes after QuickMark; its file may have 64 MiB to 8 GiB", ({ expect }) => {
    const plan = (config?: object) =>
      planSequence([{ benchmark_id: "host_mark", config: { ...config } }], 1);
    expect(plan()).toEqual({
      ok: true,
      sequence: [
        { benchmark_id: "quick_mark", config: null },
        { benchmark_id: "host_mark", config: null },
      ],
    });
    for (const disk_mib of [64, 8_192]) expect(plan({ disk_mib }).ok).toBe(true);
    for (const disk_mib of [63, 8_193, 100.5, "512"]) expect(plan({ disk_mib }).ok).toBe(false);
    // A job's owner chooses no folder of a machine that may not be theirs.
    expect(plan({ disk_path: "/" }).ok).toBe(false);
  });
});
