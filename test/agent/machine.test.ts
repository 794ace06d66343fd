import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { describeMachine, readBootId } from "../../agent/src/machine.ts";
import { MACHINES } from "./host/machines.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "assay-agent-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("boot id", () => {
  test("is the kernel's, or null where there is none", () => {
    const file = join(folder, "boot_id");
    writeFileSync(file, "1B7C3E0A-6f5d-4d1c-9b1e-0a2f5f0c7d11\n");
    expect(readBootId(file)).toBe("1b7c3e0a-6f5d-4d1c-9b1e-0a2f5f0c7d11");
    writeFileSync(file, "unknown");
    expect(readBootId(file)).toBeNull();
    expect(readBootId(join(folder, "missing"))).toBeNull();
  });
});

describe("inventory", () => {
  test("has the recorded inventories' shape, and every GPU", () => {
    const gpu = { model: "NVIDIA L4", uuid: "GPU-1", driverVersion: "570.1", memoryMib: 23_034 };
    const survey = { kind: "listed" as const, gpus: [gpu, gpu], displays: [], lost: [], notes: [] };
    const host = MACHINES.Docker?.expected;
    if (host === undefined) throw new Error("there is no fixture");
    expect(describeMachine(survey, host, { board: "X13" })).toEqual({
      gpuModel: "NVIDIA L4",
      gpuCount: 2,
      gpuModels: [{ model: "NVIDIA L4", count: 2 }],
      inventory: {
        cpu: {
          arch: expect.any(String),
          count: expect.any(Number),
          os: expect.any(String),
          processor: expect.any(String),
          usable: 3,
          quota: 3.5,
        },
        memory: { total_gb: expect.any(Number), ...host.memory },
        disk: host.disk,
        kernel: host.kernel,
        host_name: "host-1",
        container: "docker",
        virtual_machine: null,
        gpu: {
          count: 2,
          outcome: "listed",
          model: "NVIDIA L4",
          vendor: "NVIDIA",
          memory_gb: 22,
          driver_version: "570.1",
        },
        gpus: Array(2).fill({ model: "NVIDIA L4", uuid: "GPU-1", memory_mib: 23_034 }),
        system: { board: "X13" },
      },
    });
  });
});
