/** What this process runs in: a container, a virtual machine. Only what every user may read. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readText } from "../files.ts";

type Env = Record<string, string | undefined>;

/** A sandbox with a kernel of its own says so in the kernel's version; older ones by a date that no kernel has. */
const GVISOR = /gvisor|^Linux version 4\.4\.0 #1 SMP Sun Jan 10 15:06:54 PST 2016/i;

/** By a part of the group's path, the innermost first. */
const GROUPS: readonly [RegExp, string][] = [
  [/kubepods/, "kubernetes"],
  [/libpod/, "podman"],
  [/docker/, "docker"],
  [/\/lxc[./]|lxc\.payload|lxc\.monitor/, "lxc"],
  [/containerd/, "containerd"],
];

const VARIABLES: readonly [name: string, kind: string][] = [
  ["KUBERNETES_SERVICE_HOST", "kubernetes"],
  ["APPTAINER_NAME", "apptainer"],
  ["SINGULARITY_NAME", "apptainer"],
  ["ENROOT_ROOTFS", "enroot"],
];

/** Names that `container` has, in the environment and in files, and the usual ones for them. */
const NAMES: Readonly<Record<string, string>> = {
  lxc: "lxc",
  "lxc-libvirt": "lxc",
  docker: "docker",
  podman: "podman",
  oci: "podman",
  "systemd-nspawn": "systemd-nspawn",
  rkt: "rkt",
};

/**
 * The kind of container; null outside of one, as far as it can be told.
 *
 * @param root of the file system; another one in tests
 */
export function containerKind(env: Env, root = "/"): string | null {
  if (GVISOR.test(readText(join(root, "proc/version")) ?? "")) return "gvisor";
  const variable = VARIABLES.find(([name]) => (env[name] ?? "") !== "");
  if (variable !== undefined) return variable[1];
  const named = env.container ?? readText(join(root, "run/systemd/container")) ?? "";
  const name = NAMES[named.trim().toLowerCase()];
  if (name !== undefined) return name;
  const groups = ["proc/self/cgroup", "proc/1/cgroup"].map((file) => readText(join(root, file)));
  const group = GROUPS.find(([pattern]) => groups.some((text) => pattern.test(text ?? "")));
  if (group !== undefined) return group[1];
  if (existsSync(join(root, "run/.containerenv"))) return "podman";
  if (existsSync(join(root, ".dockerenv"))) return "docker";
  // lxcfs stands in for files of the kernel.
  return /\slxcfs\s|fuse\.lxcfs/.test(readText(join(root, "proc/self/mountinfo")) ?? "")
    ? "lxc"
    : null;
}

/** What the firmware of virtual machines says of its maker or its product. */
const MACHINES: readonly [RegExp, string][] = [
  [/amazon ec2/i, "amazon"],
  [/google compute engine/i, "google"],
  [/openstack|qemu|kvm|red hat|rhev|digitalocean|hetzner|scaleway|alibaba/i, "kvm"],
  [/vmware/i, "vmware"],
  [/virtual machine/i, "hyper-v"],
  [/xen|hvm domu/i, "xen"],
  [/virtualbox|innotek/i, "virtualbox"],
  [/bochs|bhyve|parallels|firecracker/i, "other"],
];

/** The kind of virtual machine; `other` for an unknown one, null on bare metal, as far as it can be told. */
export function virtualMachine(root = "/"): string | null {
  const dmi = ["sys_vendor", "product_name", "bios_vendor"].map(
    (name) => readText(join(root, "sys/class/dmi/id", name)) ?? "",
  );
  // Amazon's bare metal has the same maker, and says so in its product.
  const isMetal = /\.metal/.test(dmi[1] ?? "");
  const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(readText(join(root, "proc/cpuinfo")) ?? "");
  const isGuest = /\bhypervisor\b/.test(flags?.[1] ?? "");
  const made = MACHINES.find(([pattern]) => dmi.some((text) => pattern.test(text)));
  if (made !== undefined && !isMetal) return made[1];
  const type = readText(join(root, "sys/hypervisor/type"))?.trim() ?? "";
  return type === "xen" ? "xen" : isGuest ? "other" : null;
}
