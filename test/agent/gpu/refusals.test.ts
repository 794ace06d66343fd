/** When nothing is measured: both sides of each limit, and what is said then. */
import { describe, expect, test } from "vitest";
import {
  busyReasons,
  type GpuState,
  refusalOf,
  startRefusal,
} from "../../../agent/src/gpu/refusals.ts";
import { FACTS } from "./runs.ts";

const GIB = 2 ** 30;

const gpu = ({
  name = "NVIDIA A100-SXM4-80GB",
  capability = 80,
  ...of
}: Partial<GpuState> & {
  name?: string;
  capability?: number;
} = {}): GpuState => ({
  description: {
    name,
    uuid: "GPU-1",
    busId: "0000:01:00.0",
    capability,
    multiprocessors: 108,
    memoryBytes: 80 * GIB,
  },
  facts: FACTS,
  processes: [],
  utilization: 0,
  usedBytes: 0,
  ...of,
});

describe("a GPU that others use", () => {
  test.each<[string, Partial<GpuState>]>([
    ["5 % busy", { utilization: 5 }],
    ["2 GiB in use", { usedBytes: 2 * GIB }],
    ["nothing that anybody tells", { processes: null, utilization: null, usedBytes: null }],
  ])("is not one with %s", (_, of) => {
    expect(refusalOf([gpu(), gpu(of)], false)).toBeNull();
  });

  test.each<[string, Partial<GpuState>, string]>([
    ["6 % busy", { utilization: 6 }, "GPU 1 is in use: 6 % busy"],
    [
      "more than 2 GiB in use",
      { usedBytes: 2 * GIB + 1 },
      "GPU 1 is in use: 2.0 GiB of its memory is in use",
    ],
    [
      "a process of unknown size",
      { processes: [{ pid: 7, bytes: null }] },
      "GPU 1 is in use: 1 process (pid 7)",
    ],
    [
      "many processes",
      { processes: Array.from({ length: 6 }, (_, pid) => ({ pid, bytes: GIB })) },
      "GPU 1 is in use: 6 processes (pid 0 with 1.0 GiB, pid 1 with 1.0 GiB, pid 2 with 1.0 GiB, pid 3 with 1.0 GiB and 2 more)",
    ],
  ])("is one with %s", (_, of, message) => {
    const gpus = [gpu(), gpu(of)];
    expect(refusalOf(gpus, false)).toEqual({
      code: "gpu_busy",
      message,
      hint: expect.stringContaining("--busy-ok"),
    });
    expect(refusalOf(gpus, true), "with --busy-ok").toBeNull();
    expect(busyReasons(gpus)).toEqual([message]);
  });
});

describe("whatever is allowed", () => {
  test.each<[string, GpuState[], string, RegExp | null]>([
    ["no GPU", [], "no_gpu", /CUDA_VISIBLE_DEVICES/],
    ["MIG by its telemetry", [gpu({ facts: { ...FACTS, mig: true } })], "mig", /-mig 0/],
    ["MIG by its name", [gpu({ name: "NVIDIA A100 MIG 1g.5gb", facts: null })], "mig", /-mig 0/],
    ["a GPU without BF16", [gpu({ name: "Tesla V100", capability: 75 })], "unsupported_gpu", null],
  ])("%s is refused", (_, gpus, code, hint) => {
    expect(refusalOf(gpus, true)).toEqual({
      code,
      message: expect.any(String),
      hint: hint === null ? null : expect.stringMatching(hint),
    });
  });

  test("MIG that is off, or unknown, is none", () => {
    for (const facts of [{ ...FACTS, mig: false }, { ...FACTS, mig: null }, null]) {
      expect(refusalOf([gpu({ facts })], false)).toBeNull();
    }
  });
});

test.each<[number, string, RegExp | null]>([
  [34, "no_driver", /stub/],
  [100, "no_gpu", /--gpus all/],
  [802, "driver_broken", /nvidia-fabricmanager/],
  [803, "driver_mismatch", /reboot the machine/],
  [804, "driver_mismatch", /cuda-compat/],
  [999, "driver_broken", /nvidia-modprobe/],
  [1, "driver_broken", null],
])("a driver that answers %i does not start: %s", (number, code, hint) => {
  expect(startRefusal(number, "cuInit: E")).toEqual({
    code,
    message: "the CUDA driver does not start: cuInit: E",
    hint: hint === null ? null : expect.stringMatching(hint),
  });
});
