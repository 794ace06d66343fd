/** Machines as their file systems tell of them: what an agent reads on metal, in virtual machines and in containers. */
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { HostFacts, HostWorld } from "../../../agent/src/host/facts.ts";

const GIB = 2 ** 30;

export interface Fixture {
  /** Contents by path; a link if they begin with `-> `. */
  files: Readonly<Record<string, string>>;
  env?: Readonly<Record<string, string>>;
  os?: Partial<HostWorld["os"]>;
  diskPath: string;
  diskBytes: number | null;
  expected: HostFacts;
}

const status = (cpus: string) => `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${cpus}\n`;
const meminfo = (kib: number) => `MemTotal:       ${kib} kB\nMemAvailable:   ${kib >> 1} kB\n`;
const cpuinfo = (flags: string) => `processor\t: 0\nflags\t\t: fpu vme sse2 ${flags} avx2\n`;
const sectors = (bytes: number) => `${bytes / 512}\n`;
const OVERLAY =
  "800 700 0:312 / / rw,relatime - overlay overlay rw,lowerdir=/l/A:/l/B,upperdir=/u,workdir=/w";
const kernel = { name: "Linux", release: "6.8.0-45-generic" };

/** A disk with one part, as sysfs shows it. */
function disk(device: string, name: string, part: string, bytes: [disk: number, part: number]) {
  return {
    [`sys/devices/pci0/${name}/size`]: sectors(bytes[0]),
    [`sys/devices/pci0/${name}/${part}/size`]: sectors(bytes[1]),
    [`sys/devices/pci0/${name}/${part}/partition`]: "2\n",
    [`sys/dev/block/${device}`]: `-> ../../devices/pci0/${name}/${part}`,
    [`sys/class/block/${part}`]: `-> ../../devices/pci0/${name}/${part}`,
  };
}

export const MACHINES: Readonly<Record<string, Fixture>> = {
  "bare metal": {
    files: {
      "proc/self/status": status("0-127"),
      "proc/meminfo": meminfo(527_951_236),
      "proc/cpuinfo": cpuinfo(""),
      "proc/version": "Linux version 6.8.0-45-generic (buildd@lcy02) #45-Ubuntu SMP\n",
      "proc/self/cgroup": "0::/user.slice/user-1000.slice/session-3.scope\n",
      "sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n",
      "sys/fs/cgroup/user.slice/cpu.max": "max 100000\n",
      "sys/fs/cgroup/user.slice/memory.max": "max\n",
      "sys/fs/cgroup/user.slice/user-1000.slice/memory.max": "max\n",
      "sys/class/dmi/id/sys_vendor": "Supermicro\n",
      "sys/class/dmi/id/product_name": "SYS-821GE-TNHR\n",
      "proc/self/mountinfo": [
        "29 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw,errors=remount-ro",
        "30 29 0:5 / /dev rw,nosuid - devtmpfs udev rw",
      ].join("\n"),
      ...disk("259:2", "nvme0n1", "nvme0n1p2", [3_840_755_982_336, 3_839_000_000_000]),
    },
    diskPath: "/home/ann",
    diskBytes: 3_770_000_000_000,
    expected: {
      cpu: { usable: 128, quota: null },
      memory: { total_bytes: 527_951_236 * 1_024, limit_bytes: null },
      disk: {
        path: "/home/ann",
        total_bytes: 3_770_000_000_000,
        device_bytes: 3_840_755_982_336,
      },
      kernel,
      host_name: "host-1",
      container: null,
      virtual_machine: null,
    },
  },
  "virtual machine": {
    files: {
      "proc/self/status": status("0-25"),
      "proc/meminfo": meminfo(230_000_000),
      "proc/cpuinfo": cpuinfo("hypervisor"),
      "proc/self/cgroup": "0::/system.slice/assay.service\n",
      // A service may have limits of its own, and so may what it is part of.
      "sys/fs/cgroup/system.slice/cpu.max": "1250000 100000\n",
      "sys/fs/cgroup/system.slice/assay.service/cpu.max": "2000000 100000\n",
      "sys/fs/cgroup/system.slice/assay.service/memory.max": `${64 * GIB}\n`,
      "sys/fs/cgroup/system.slice/assay.service/memory.current": `${GIB}\n`,
      "sys/class/dmi/id/sys_vendor": "QEMU\n",
      "sys/class/dmi/id/product_name": "Standard PC (Q35 + ICH9, 2009)\n",
      // The image's part has not been grown to the disk.
      "proc/self/mountinfo": "29 1 254:1 / / rw - ext4 /dev/vda1 rw",
      ...disk("254:1", "vda", "vda1", [1_000_204_886_016, 10_000_000_000]),
    },
    diskPath: "/root",
    diskBytes: 9_800_000_000,
    expected: {
      cpu: { usable: 12, quota: 12.5 },
      memory: { total_bytes: 230_000_000 * 1_024, limit_bytes: 64 * GIB },
      disk: { path: "/root", total_bytes: 9_800_000_000, device_bytes: 1_000_204_886_016 },
      kernel,
      host_name: "host-1",
      container: null,
      virtual_machine: "kvm",
    },
  },
  Docker: {
    files: {
      ".dockerenv": "",
      "proc/self/status": status("0-15,32-47"),
      "proc/meminfo": meminfo(131_800_000),
      "proc/cpuinfo": cpuinfo(""),
      "proc/self/cgroup": "0::/\n",
      "sys/fs/cgroup/cpu.max": "350000 100000\n",
      "sys/fs/cgroup/memory.max": `${16 * GIB}\n`,
      "sys/fs/cgroup/memory.current": "1073741824\n",
      "proc/self/mountinfo": [
        OVERLAY,
        "801 800 0:313 / /proc rw - proc proc rw",
        "802 800 259:2 /srv/my\\040work /work\\040here rw - xfs /dev/nvme0n1p2 rw",
      ].join("\n"),
      ...disk("259:2", "nvme0n1", "nvme0n1p2", [2_000_398_934_016, 1_999_000_000_000]),
    },
    diskPath: "/work here/runs",
    diskBytes: 1_990_000_000_000,
    expected: {
      cpu: { usable: 3, quota: 3.5 },
      memory: { total_bytes: 131_800_000 * 1_024, limit_bytes: 16 * GIB },
      disk: {
        path: "/work here/runs",
        total_bytes: 1_990_000_000_000,
        device_bytes: 2_000_398_934_016,
      },
      kernel,
      host_name: "host-1",
      container: "docker",
      virtual_machine: null,
    },
  },
  "Kubernetes, cgroup v2": {
    files: {
      "proc/self/status": status("0-95"),
      "proc/meminfo": meminfo(1_055_000_000),
      "proc/cpuinfo": cpuinfo("hypervisor"),
      "sys/class/dmi/id/sys_vendor": "Amazon EC2\n",
      "sys/class/dmi/id/product_name": "p5.48xlarge\n",
      "proc/self/cgroup": "0::/\n",
      "sys/fs/cgroup/cpu.max": "9000000 100000\n",
      "sys/fs/cgroup/memory.max": `${900 * GIB}\n`,
      "proc/self/mountinfo": OVERLAY,
    },
    env: { KUBERNETES_SERVICE_HOST: "10.96.0.1" },
    diskPath: "/",
    diskBytes: 500_000_000_000,
    expected: {
      cpu: { usable: 90, quota: 90 },
      memory: { total_bytes: 1_055_000_000 * 1_024, limit_bytes: 900 * GIB },
      // The layers of an image have no device.
      disk: { path: "/", total_bytes: 500_000_000_000, device_bytes: null },
      kernel,
      host_name: "host-1",
      container: "kubernetes",
      virtual_machine: "amazon",
    },
  },
  "Kubernetes, cgroup v1": {
    files: {
      "proc/self/status": status("0-63"),
      "proc/meminfo": meminfo(264_000_000),
      "proc/cpuinfo": cpuinfo(""),
      // The path is that of the node; the container sees its own group as the root.
      "proc/self/cgroup": [
        "12:memory:/kubepods/burstable/pod6f1c/3a7b",
        "5:cpu,cpuacct:/kubepods/burstable/pod6f1c/3a7b",
        "1:name=systemd:/kubepods/burstable/pod6f1c/3a7b",
      ].join("\n"),
      "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "800000\n",
      "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
      "sys/fs/cgroup/memory/memory.limit_in_bytes": `${32 * GIB}\n`,
      "sys/fs/cgroup/memory/memory.usage_in_bytes": `${GIB}\n`,
      "proc/self/mountinfo": [
        OVERLAY,
        "810 800 253:3 /pods/6f1c/data /data rw - ext4 /dev/mapper/vg-pods rw",
      ].join("\n"),
      "sys/devices/virtual/block/dm-3/size": sectors(400_000_000_000),
      "sys/dev/block/253:3": "-> ../../devices/virtual/block/dm-3",
    },
    diskPath: "/data",
    diskBytes: 390_000_000_000,
    expected: {
      cpu: { usable: 8, quota: 8 },
      memory: { total_bytes: 264_000_000 * 1_024, limit_bytes: 32 * GIB },
      disk: { path: "/data", total_bytes: 390_000_000_000, device_bytes: 400_000_000_000 },
      kernel,
      host_name: "host-1",
      container: "kubernetes",
      virtual_machine: null,
    },
  },
  LXC: {
    files: {
      "proc/self/status": status("2-5"),
      // lxcfs shows the container's share as the total.
      "proc/meminfo": meminfo(8_388_608),
      "proc/cpuinfo": cpuinfo(""),
      "proc/self/cgroup": "0::/init.scope\n",
      "sys/fs/cgroup/init.scope/cpu.max": "max 100000\n",
      "run/systemd/container": "lxc\n",
      "proc/self/mountinfo": [
        "900 700 0:60 / / rw - btrfs /dev/sda3 rw,subvol=/ct/101",
        "901 900 0:61 /proc/meminfo /proc/meminfo rw - fuse.lxcfs lxcfs rw",
      ].join("\n"),
      ...disk("8:3", "sda", "sda3", [960_197_124_096, 900_000_000_000]),
    },
    diskPath: "/srv",
    diskBytes: 899_000_000_000,
    expected: {
      cpu: { usable: 4, quota: null },
      memory: { total_bytes: 8 * GIB, limit_bytes: null },
      disk: { path: "/srv", total_bytes: 899_000_000_000, device_bytes: 960_197_124_096 },
      kernel,
      host_name: "host-1",
      container: "lxc",
      virtual_machine: null,
    },
  },
  gVisor: {
    files: {
      // It has no list of allowed CPUs, and no control groups.
      "proc/self/status": "Name:\tnode\nState:\tR (running)\n",
      "sys/devices/system/cpu/online": "0-7\n",
      "proc/meminfo": meminfo(16_777_216),
      "proc/cpuinfo": cpuinfo("hypervisor"),
      "proc/version": "Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016\n",
      "proc/self/mountinfo": "1 0 0:20 / / rw - 9p none rw,trans=fd",
    },
    os: { release: "4.4.0" },
    diskPath: "/tmp",
    diskBytes: null,
    expected: {
      cpu: { usable: 8, quota: null },
      memory: { total_bytes: 16 * GIB, limit_bytes: null },
      disk: { path: "/tmp", total_bytes: null, device_bytes: null },
      kernel: { name: "Linux", release: "4.4.0" },
      host_name: "host-1",
      container: "gvisor",
      virtual_machine: "other",
    },
  },
};

/** Writes a machine's files below a folder. */
export function writeFiles(folder: string, files: Fixture["files"]): void {
  // Links last: they would be followed otherwise.
  const links = ([, text]: [string, string]) => (text.startsWith("-> ") ? 1 : 0);
  for (const [path, text] of Object.entries(files).sort((a, b) => links(a) - links(b))) {
    const at = join(folder, path);
    mkdirSync(dirname(at), { recursive: true });
    if (text.startsWith("-> ")) symlinkSync(text.slice(3), at);
    else writeFileSync(at, text);
  }
}

export function worldOf(root: string, { env = {}, os, diskPath, diskBytes }: Fixture): HostWorld {
  return {
    env,
    diskPath,
    root,
    totalBytesOf: () => diskBytes,
    os: {
      name: "Linux",
      release: "6.8.0-45-generic",
      hostName: "host-1",
      cpus: 999,
      memoryBytes: 999,
      ...os,
    },
  };
}
