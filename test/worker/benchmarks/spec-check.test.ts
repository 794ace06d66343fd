/** A machine beside its spec: each field's rule, from both sides, and the whole. */
import fc from "fast-check";
import { describe, test } from "vitest";
import { checkSpec, specFindings } from "../../../src/benchmarks/spec-check.ts";
import { withEffectiveCores, worstCheck } from "../../../src/benchmarks/spec-outcome.ts";
import type { PromisedHardware, SpecCheck } from "../../../src/lib/stored-spec-check.ts";

const GIB = 2 ** 30;
const MIB = 2 ** 20;

const PROMISED: PromisedHardware = {
  uuid: "550e8400-e29b-41d4-a716-446655440000",
  os: "linux",
  architecture: "x86_64",
  cpu: 26,
  memory: 224 * GIB,
  disk: 1_000_000_000_000,
  network: true,
};

const INVENTORY = {
  cpu: { arch: "x86_64", usable: 26, quota: null },
  memory: { total_bytes: 224 * GIB, limit_bytes: null },
  disk: { path: "/work", total_bytes: 1_000_000_000_000, device_bytes: null },
  kernel: { name: "Linux", release: "6.8.0" },
};

const fieldOf = (check: SpecCheck, name: string) =>
  check.fields.find(({ field }) => field === name);
const check = (inventory: unknown, promised: Partial<PromisedHardware> = {}) =>
  checkSpec({ ...PROMISED, ...promised }, inventory);
const statusOf = (name: string, inventory: unknown, promised: Partial<PromisedHardware> = {}) =>
  fieldOf(check(inventory, promised), name)?.status;

test("a machine as promised matches, field by field", ({ expect }) => {
  expect(check(INVENTORY)).toEqual({
    status: "matches",
    fields: [
      { field: "os", promised: "linux", found: "linux", status: "matches", reason: null },
      {
        field: "architecture",
        promised: "x86_64",
        found: "x86_64",
        status: "matches",
        reason: null,
      },
      { field: "cpu", promised: "26", found: "26", status: "matches", reason: null },
      {
        field: "memory",
        promised: String(224 * GIB),
        found: String(224 * GIB),
        status: "matches",
        reason: null,
      },
      {
        field: "disk",
        promised: "1000000000000",
        found: "1000000000000",
        status: "matches",
        reason: null,
      },
      {
        field: "network",
        promised: "true",
        found: "true",
        status: "matches",
        reason: "it has reached this server",
      },
    ],
  });
});

describe("names", () => {
  test.for([
    ["x86_64", "x86_64", "matches"],
    ["x86_64", "amd64", "matches"],
    ["x86_64", "AMD64", "matches"],
    ["aarch64", "arm64", "matches"],
    ["aarch64", "aarch64", "matches"],
    ["x86_64", "aarch64", "differs"],
    ["x86_64", "riscv64", "differs"],
    ["x86_64", "", "unknown"],
    ["x86_64", 7, "unknown"],
    ["x86_64", "x".repeat(65), "unknown"],
    ["x86_64", "toString", "differs"],
  ] as const)("%s promised, %s found: %s", ([architecture, arch, status], { expect }) => {
    const inventory = { ...INVENTORY, cpu: { ...INVENTORY.cpu, arch } };
    expect(statusOf("architecture", inventory, { architecture })).toBe(status);
  });

  test.for([
    ["linux", "Linux", "matches"],
    ["macos", "Darwin", "matches"],
    ["windows", "Windows_NT", "matches"],
    ["linux", "Darwin", "differs"],
    ["linux", undefined, "unknown"],
  ] as const)("%s promised, kernel %s: %s", ([os, name, status], { expect }) => {
    expect(statusOf("os", { ...INVENTORY, kernel: { name } }, { os })).toBe(status);
  });
});

describe("CPUs", () => {
  test.for([
    [26, null, "matches"],
    [27, null, "matches"],
    [25, null, "differs"],
    [64, 26, "matches"],
    // Rounded down.
    [64, 25.9, "differs"],
    [25, 100, "differs"],
    [0, null, "differs"],
    ["26", null, "unknown"],
    [26.5, null, "unknown"],
    [-1, null, "unknown"],
  ] as const)("%s usable, quota %s: %s", ([usable, quota, status], { expect }) => {
    expect(statusOf("cpu", { ...INVENTORY, cpu: { arch: "x86_64", usable, quota } })).toBe(status);
  });

  test("the reason says what is there and what was promised", ({ expect }) => {
    const inventory = { ...INVENTORY, cpu: { arch: "x86_64", usable: 64, quota: 8.25 } };
    expect(fieldOf(check(inventory), "cpu")).toMatchObject({
      found: "8",
      reason: "8 usable logical CPUs, with a quota of 8.25 found, 26 promised",
    });
  });
});

describe("memory: MemTotal or the limit, whichever is less; 4 % or 512 MiB may be missing", () => {
  const memory = (total_bytes: unknown, limit_bytes: unknown = null) => ({
    ...INVENTORY,
    memory: { total_bytes, limit_bytes },
  });
  const large = 0.96 * 224 * GIB;

  test.for([
    ["all of it", 224 * GIB, null, 224 * GIB, "matches"],
    ["4 % less of much", Math.ceil(large), null, 224 * GIB, "matches"],
    ["a byte less", Math.ceil(large) - 1, null, 224 * GIB, "differs"],
    ["512 MiB less of little", 3.5 * GIB, null, 4 * GIB, "matches"],
    ["a byte less than that", 3.5 * GIB - 1, null, 4 * GIB, "differs"],
    ["a lower limit", 224 * GIB, 16 * GIB, 224 * GIB, "differs"],
    ["a limit above the total", 224 * GIB, 999 * GIB, 224 * GIB, "matches"],
    ["no total", null, 224 * GIB, 224 * GIB, "unknown"],
    ["a total as text", "9", null, 224 * GIB, "unknown"],
    ["a total beyond 2^53", 2 ** 54, null, 224 * GIB, "unknown"],
  ] as const)("%s", ([, total, limit, promised, status], { expect }) => {
    expect(statusOf("memory", memory(total, limit), { memory: promised })).toBe(status);
  });

  test("the reason names a limit", ({ expect }) => {
    expect(fieldOf(check(memory(224 * GIB, 1_536 * MIB)), "memory")?.reason).toBe(
      "a limit of 1.5 GiB found, 224 GiB promised",
    );
  });
});

describe("disk: the file system or its device, whichever is larger, has 95 %", () => {
  test.for([
    [950_000_000_000, null, "matches"],
    [949_999_999_999, null, "differs"],
    [100_000_000_000, 1_000_000_000_000, "matches"],
    [null, 950_000_000_000, "matches"],
    [100, 200, "differs"],
    [null, null, "unknown"],
  ] as const)("%s in the file system, %s in the device: %s", ([fs, device, status], { expect }) => {
    const disk = { path: "/", total_bytes: fs, device_bytes: device };
    expect(statusOf("disk", { ...INVENTORY, disk })).toBe(status);
  });
});

test("without a network no machine could have told, so a promise of none is unknown", ({
  expect,
}) => {
  expect(statusOf("network", INVENTORY, { network: true })).toBe("matches");
  expect(statusOf("network", INVENTORY, { network: false })).toBe("unknown");
  expect(check(INVENTORY, { network: false }).status).toBe("matches");
});

test("more than promised matches, with the reason", ({ expect }) => {
  const more = check(INVENTORY, { cpu: 8, memory: GIB, disk: 7 });
  expect(more.status).toBe("matches");
  for (const name of ["cpu", "memory", "disk"]) {
    expect(fieldOf(more, name)).toMatchObject({ status: "matches" });
    expect(fieldOf(more, name)?.reason).toMatch(/^more than promised: /);
  }
});

describe("the whole", () => {
  test("differs if any differs; else unknown if architecture, CPUs or memory are; else matches", ({
    expect,
  }) => {
    expect(check({ ...INVENTORY, disk: { total_bytes: 1 }, cpu: {} }).status).toBe("differs");
    for (const missing of ["cpu", "memory"]) {
      expect(check({ ...INVENTORY, [missing]: undefined }).status, missing).toBe("unknown");
    }
    expect(check({ ...INVENTORY, cpu: { ...INVENTORY.cpu, arch: null } }).status).toBe("unknown");
    for (const missing of ["disk", "kernel"]) {
      expect(check({ ...INVENTORY, [missing]: undefined }).status, missing).toBe("matches");
    }
  });

  test("effective cores are shown and decide nothing", ({ expect }) => {
    const checked = withEffectiveCores(check(INVENTORY), 13.2051);
    expect(checked.status).toBe("matches");
    expect(fieldOf(checked, "effective_cores")).toEqual({
      field: "effective_cores",
      promised: null,
      found: "13.21",
      status: "unknown",
      reason: expect.stringContaining("two hardware threads share one SHA unit"),
    });
    expect(worstCheck([checked])).toBe("matches");
  });

  test("a job is as bad as its worst machine; one without a check is unknown", ({ expect }) => {
    const [good, open] = [check(INVENTORY), check({})];
    const bad = check({ ...INVENTORY, cpu: { arch: "arm64", usable: 1 } });
    expect(worstCheck([])).toBeNull();
    expect(worstCheck([null, null])).toBeNull();
    expect(worstCheck([good, good])).toBe("matches");
    expect(worstCheck([good, null])).toBe("unknown");
    expect(worstCheck([good, open])).toBe("unknown");
    expect(worstCheck([open, bad, null])).toBe("differs");
  });

  test("whatever an inventory holds, there is a bounded check of every field", ({ expect }) => {
    const near = fc.record(
      {
        cpu: fc.record({ arch: fc.anything(), usable: fc.anything(), quota: fc.anything() }),
        memory: fc.record({ total_bytes: fc.anything(), limit_bytes: fc.anything() }),
        disk: fc.record({ total_bytes: fc.anything(), device_bytes: fc.anything() }),
        kernel: fc.anything(),
      },
      { requiredKeys: [] },
    );
    const fields = ["os", "architecture", "cpu", "memory", "disk", "network"];
    fc.assert(
      fc.property(fc.oneof(near, fc.anything()), (inventory) => {
        const checked = check(inventory);
        expect(checked.fields.map(({ field }) => field)).toEqual(fields);
        expect(JSON.stringify(checked).length).toBeLessThan(2_000);
        for (const { status, found, reason } of checked.fields) {
          if (status === "differs") expect(reason).not.toBeNull();
          if (found === null) expect(status).toBe("unknown");
        }
      }),
    );
  });
});

test("findings: what differs, with its figures where they are numbers", ({ expect }) => {
  const bad = check({
    ...INVENTORY,
    cpu: { arch: "arm64", usable: 13 },
    memory: { total_bytes: 112 * GIB },
  });
  expect(specFindings(bad, 3)).toEqual([
    {
      kind: "spec_differs",
      metric: "architecture",
      rank: 3,
      gpu: null,
      value: null,
      expected: null,
      ratio: null,
      message: "the architecture differs from the spec: aarch64 found, x86_64 promised",
    },
    {
      kind: "spec_differs",
      metric: "cpu",
      rank: 3,
      gpu: null,
      value: 13,
      expected: 26,
      ratio: 0.5,
      message:
        "the number of CPUs differs from the spec: 13 usable logical CPUs found, 26 promised",
    },
    {
      kind: "spec_differs",
      metric: "memory",
      rank: 3,
      gpu: null,
      value: 112 * GIB,
      expected: 224 * GIB,
      ratio: 0.5,
      message: "the memory differs from the spec: 112 GiB found, 224 GiB promised",
    },
  ]);
  expect(specFindings(check(INVENTORY), 0)).toEqual([]);
  expect(specFindings(null, 0)).toEqual([]);
});
