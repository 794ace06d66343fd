import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  describeMachine,
  parseGpus,
  readMachineIp,
  readMachineUuid,
} from "../../agent/src/machine.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "assay-agent-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("machine uuid", () => {
  test("is the machine id in UUID shape, in lower case", () => {
    const file = join(folder, "machine-id");
    writeFileSync(file, "0123456789ABCDEF0123456789abcdef\n");
    expect(readMachineUuid({}, file)).toBe("01234567-89ab-cdef-0123-456789abcdef");
  });

  test.each(["", "uninitialized\n"])("is random and kept where the machine id is %j", (content) => {
    const file = join(folder, "machine-id");
    writeFileSync(file, content);
    const env = { XDG_STATE_HOME: join(folder, "state") };
    const first = readMachineUuid(env, file);
    expect(first).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(readMachineUuid(env, file)).toBe(first);
    expect(readMachineUuid({ XDG_STATE_HOME: join(folder, "other") }, file)).not.toBe(first);
  });

  test("is not made up when the kept one is damaged", () => {
    mkdirSync(join(folder, "assay"));
    writeFileSync(join(folder, "assay/machine-uuid"), "not a uuid");
    const read = () => readMachineUuid({ XDG_STATE_HOME: folder }, join(folder, "missing"));
    expect(read).toThrow(/--machine-uuid/);
  });
});

describe("machine address", () => {
  const v4 = { netmask: "", mac: "", cidr: null, family: "IPv4" as const };
  const v6 = { netmask: "", mac: "", cidr: null, scopeid: 0, family: "IPv6" as const };

  test("is the first IPv4 address that is not internal", () => {
    const interfaces = {
      lo: [{ ...v4, address: "127.0.0.1", internal: true }],
      eth0: [
        { ...v6, address: "fd00::1", internal: false },
        { ...v4, address: "10.0.0.7", internal: false },
      ],
    };
    expect(readMachineIp(interfaces)).toBe("10.0.0.7");
    expect(readMachineIp({ lo: interfaces.lo })).toBeNull();
  });
});

describe("inventory", () => {
  test("reads what nvidia-smi prints, and keeps unknown fields null", () => {
    expect(parseGpus("NVIDIA H100 NVL, 570.195.03, 95830\nNVIDIA L4\nX, [N/A], [N/A]\n\n")).toEqual(
      [
        { model: "NVIDIA H100 NVL", driverVersion: "570.195.03", memoryGb: 94 },
        { model: "NVIDIA L4", driverVersion: null, memoryGb: null },
        { model: "X", driverVersion: null, memoryGb: null },
      ],
    );
    expect(parseGpus("")).toEqual([]);
  });

  test("has the recorded inventories' shape", () => {
    const gpu = { model: "NVIDIA L4", driverVersion: "570.1", memoryGb: 24 };
    expect(describeMachine([gpu, gpu], "10.0.0.7")).toEqual({
      gpuModel: "NVIDIA L4",
      gpuCount: 2,
      inventory: {
        cpu: {
          arch: expect.any(String),
          count: expect.any(Number),
          os: expect.any(String),
          processor: expect.any(String),
        },
        memory: { total_gb: expect.any(Number) },
        gpu: {
          count: 2,
          model: "NVIDIA L4",
          vendor: "NVIDIA",
          memory_gb: 24,
          driver_version: "570.1",
        },
        network: { machine_ip: "10.0.0.7" },
      },
    });
  });

  test("claims no GPU where there is none", () => {
    const facts = describeMachine([], null);
    expect(facts).toMatchObject({
      gpuModel: null,
      gpuCount: null,
      inventory: { gpu: { count: 0 } },
    });
  });
});
