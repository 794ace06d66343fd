/** What the inventory tells of a host, on every kind of machine. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, assert, beforeEach, describe, expect, test } from "vitest";
import { readLimits } from "../../../agent/src/host/cgroup.ts";
import { findDisk } from "../../../agent/src/host/disk-place.ts";
import { readHost, thisHost } from "../../../agent/src/host/facts.ts";
import { readTicks, sharesBetween } from "../../../agent/src/host/load.ts";
import { containerKind, virtualMachine } from "../../../agent/src/host/surroundings.ts";
import { checkSpec } from "../../../src/benchmarks/spec-check.ts";
import { MACHINES, worldOf, writeFiles } from "./machines.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "assay-host-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const PROMISED = {
  uuid: "550e8400-e29b-41d4-a716-446655440000",
  os: "linux",
  architecture: "x86_64",
  network: true,
} as const;

describe.each(Object.entries(MACHINES))("%s", (_, machine) => {
  test("its host is read as it is", () => {
    writeFiles(root, machine.files);
    expect(readHost(worldOf(root, machine))).toEqual(machine.expected);
  });

  test("a spec of exactly this matches, and one of more differs", () => {
    writeFiles(root, machine.files);
    const host = readHost(worldOf(root, machine));
    const inventory = { ...host, cpu: { arch: "amd64", ...host.cpu } };
    const { cpu, memory, disk } = machine.expected;
    const promised = {
      cpu: cpu.usable ?? 0,
      memory: Math.min(memory.total_bytes ?? 0, memory.limit_bytes ?? Infinity),
      disk: Math.max(disk.total_bytes ?? 1, disk.device_bytes ?? 1),
    };
    expect(checkSpec({ ...PROMISED, ...promised }, inventory).status).toBe("matches");
    const more = { ...promised, cpu: promised.cpu + 1, memory: promised.memory * 2 };
    const differing = checkSpec({ ...PROMISED, ...more }, inventory);
    expect(
      differing.fields.flatMap(({ field, status }) => (status === "differs" ? [field] : [])),
    ).toEqual(["cpu", "memory"]);
  });
});

test("a system that tells nothing: what Node knows, and null for the rest", () => {
  const [machine] = Object.values(MACHINES);
  if (machine === undefined) throw new Error("there is no fixture");
  const { cpu, memory, disk, container, virtual_machine } = readHost({
    ...worldOf(root, machine),
    totalBytesOf: () => null,
  });
  expect(cpu).toEqual({ usable: 999, quota: null });
  expect(memory).toEqual({ total_bytes: 999, limit_bytes: null });
  expect(disk).toMatchObject({ total_bytes: null, device_bytes: null });
  expect([container, virtual_machine]).toEqual([null, null]);
});

test("this machine", () => {
  const host = readHost(thisHost(process.cwd()));
  expect(host.cpu.usable).toBeGreaterThan(0);
  expect(host.memory.total_bytes).toBeGreaterThan(2 ** 28);
  expect(host.disk.total_bytes).toBeGreaterThan(0);
});

describe("control groups", () => {
  test("half a CPU is no whole one", () => {
    writeFiles(root, {
      "proc/self/status": "Cpus_allowed_list:\t0-3\n",
      "proc/self/cgroup": "0::/\n",
      "sys/fs/cgroup/cpu.max": "50000 100000\n",
    });
    const [machine] = Object.values(MACHINES);
    if (machine === undefined) throw new Error("there is no fixture");
    expect(readHost(worldOf(root, machine)).cpu).toEqual({ usable: 0, quota: 0.5 });
  });

  test("version 1 without limits has about 2^63, and a quota of -1", () => {
    writeFiles(root, {
      "proc/self/cgroup": "3:cpu,cpuacct:/docker/a\n2:memory:/docker/a\n",
      "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
      "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    });
    expect(readLimits(root)).toEqual({ quota: null, memoryBytes: null, memoryLeft: null });
  });

  test("the tightest of the group and all above it holds, and the least that any of them leaves", () => {
    writeFiles(root, {
      "proc/self/cgroup": "0::/a/b/c\n",
      "sys/fs/cgroup/a/cpu.max": "400000 200000\n",
      "sys/fs/cgroup/a/b/cpu.max": "300000 100000\n",
      "sys/fs/cgroup/a/memory.max": "2000\n",
      "sys/fs/cgroup/a/memory.current": "1500\n",
      "sys/fs/cgroup/a/b/c/memory.max": "3000\n",
      "sys/fs/cgroup/a/b/c/memory.current": "10\n",
    });
    expect(readLimits(root)).toEqual({ quota: 2, memoryBytes: 2_000, memoryLeft: 500 });
    writeFiles(root, { "sys/fs/cgroup/a/b/c/memory.current": "2900\n" });
    expect(readLimits(root)).toMatchObject({ memoryBytes: 2_000, memoryLeft: 100 });
  });

  test("paths that lead out of the mount stay within it; nonsense is no limit", () => {
    writeFiles(root, {
      "proc/self/cgroup": "0::/../../outside\nbroken\n",
      "sys/fs/cgroup/cpu.max": "nonsense\n",
      "sys/fs/cgroup/memory.max": "-7\n",
    });
    expect(readLimits(root)).toEqual({ quota: null, memoryBytes: null, memoryLeft: null });
  });
});

describe("containers", () => {
  test.for([
    ["podman", {}, { "run/.containerenv": "" }],
    ["podman", {}, { "proc/self/cgroup": "0::/machine.slice/libpod-1.scope\n" }],
    ["docker", {}, { "proc/1/cgroup": "4:cpu:/docker/3f\n" }],
    ["kubernetes", {}, { "proc/self/cgroup": "0::/kubepods.slice/docker-1.scope\n" }],
    ["systemd-nspawn", {}, { "run/systemd/container": "systemd-nspawn\n" }],
    ["apptainer", { APPTAINER_NAME: "image.sif" }, {}],
    ["enroot", { ENROOT_ROOTFS: "/data/image" }, {}],
    ["lxc", { container: "lxc" }, {}],
    ["lxc", {}, { "proc/self/mountinfo": "1 0 0:5 / /proc/stat rw - fuse.lxcfs lxcfs rw" }],
    [
      "gvisor",
      { KUBERNETES_SERVICE_HOST: "10.0.0.1" },
      { "proc/version": "Linux version 4.19.0-gvisor" },
    ],
    [null, { container: "" }, { "proc/self/cgroup": "0::/user.slice\n" }],
  ] as const)("%s", ([kind, env, files]) => {
    writeFiles(root, files);
    expect(containerKind(env, root)).toBe(kind);
  });
});

describe("virtual machines", () => {
  const dmi = (vendor: string, product: string, flags = "hypervisor") => ({
    "sys/class/dmi/id/sys_vendor": `${vendor}\n`,
    "sys/class/dmi/id/product_name": `${product}\n`,
    "proc/cpuinfo": `flags\t: fpu ${flags}\n`,
  });

  test.for([
    ["amazon", dmi("Amazon EC2", "g5.xlarge")],
    [null, dmi("Amazon EC2", "g4dn.metal", "")],
    ["google", dmi("Google", "Google Compute Engine")],
    ["hyper-v", dmi("Microsoft Corporation", "Virtual Machine")],
    [null, dmi("Microsoft Corporation", "Surface Laptop", "")],
    ["vmware", dmi("VMware, Inc.", "VMware7,1")],
    ["virtualbox", dmi("innotek GmbH", "VirtualBox")],
    ["kvm", dmi("QEMU", "Standard PC")],
    ["xen", { "sys/hypervisor/type": "xen\n" }],
    ["other", { "proc/cpuinfo": "flags\t: fpu hypervisor\n" }],
    [null, dmi("Dell Inc.", "PowerEdge XE9680", "")],
  ] as const)("%s", ([kind, files]) => {
    writeFiles(root, files);
    expect(virtualMachine(root)).toBe(kind);
  });
});

describe("disks", () => {
  test("the longest mount over the folder counts, and of two at one place the later", () => {
    writeFiles(root, {
      "proc/self/mountinfo": [
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw",
        "2 1 8:2 / /data rw - ext4 /dev/sda2 rw",
        "3 2 0:40 / /data rw - tmpfs tmpfs rw",
        "4 1 0:41 / /database rw - nfs server:/x rw",
      ].join("\n"),
    });
    expect(findDisk("/data/x", root).fileSystem).toBe("tmpfs");
    expect(findDisk("/database", root)).toEqual({ fileSystem: "nfs", deviceBytes: null });
    expect(findDisk("/datab", root).fileSystem).toBe("ext4");
  });

  test("a folder that is not there has no disk, whatever is above it", () => {
    const machine = MACHINES["bare metal"];
    assert(machine !== undefined);
    writeFiles(root, machine.files);
    const { disk } = readHost(worldOf(root, { ...machine, diskPath: "/none", diskBytes: null }));
    expect(disk).toEqual({ path: "/none", total_bytes: null, device_bytes: null });
  });

  test("a folder behind a link lies where the link leads", () => {
    writeFiles(root, {
      "proc/self/mountinfo":
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:40 / /fast rw - tmpfs tmpfs rw",
      "fast/work/kept": "",
      scratch: "-> fast/work",
    });
    expect(findDisk("/scratch", root).fileSystem).toBe("tmpfs");
  });
});

describe("load", () => {
  const statOf = (ticks: string) => {
    writeFiles(root, { "proc/stat": `cpu  ${ticks}\ncpu0 1 2 3\n` });
    return readTicks(root);
  };

  test("busy and stolen shares between two readings", () => {
    const before = statOf("100 0 100 800 0 0 0 0 0 0");
    const after = statOf("150 0 125 1000 0 0 0 25 0 0");
    expect(sharesBetween(before, after)).toEqual({ busy: 0.3333, steal: 0.0833 });
  });

  test("zeros and missing files tell nothing", () => {
    expect(readTicks(root)).toBeNull();
    const zeros = statOf("0 0 0 0 0 0 0 0 0 0");
    expect(zeros).toBeNull();
    const same = statOf("1 1 1 1 0 0 0 0 0 0");
    expect(sharesBetween(same, same)).toBeNull();
    expect(sharesBetween(null, same)).toBeNull();
  });
});
