/**
 * Compares a machine, as its inventory describes it, with the spec that promised it (docs/host-mark.md). Pure. It loads with
 * the first machine of a job that expects a spec.
 */
import type { SpecCheckStatus } from "../lib/enums.ts";
import { isObject } from "../lib/json.ts";
import type { Finding } from "../lib/stored-json.ts";
import type { PromisedHardware, SpecCheck, SpecCheckField } from "../lib/stored-spec-check.ts";

const MIB = 2 ** 20;
/** Firmware, kernel and a graphics card's share take this much of the memory, or 4 %, whichever is more. */
const MEMORY_SLACK = 512 * MIB;
const MEMORY_SLACK_SHARE = 0.04;
/** File systems keep about this much for themselves. */
const DISK_SHARE = 0.95;

/** Fields without which nothing can be said of the machine as a whole. */
const DECISIVE = ["architecture", "cpu", "memory"];

const ARCHITECTURE_NAMES: Readonly<Record<string, PromisedHardware["architecture"]>> = {
  x86_64: "x86_64",
  amd64: "x86_64",
  x64: "x86_64",
  aarch64: "aarch64",
  arm64: "aarch64",
};
const KERNEL_SYSTEMS: Readonly<Record<string, PromisedHardware["os"]>> = {
  linux: "linux",
  darwin: "macos",
  windows_nt: "windows",
};

/** Fields as people call them; the others by their own names. */
const NAMES: Readonly<Record<string, string>> = { os: "operating system", cpu: "number of CPUs" };

/** What a name may look like; another is not shown. */
const NAME = /^[\x21-\x7e]{1,64}$/;

/** @param inventory as the machine sent it: nothing in it is sure */
export function checkSpec(promised: PromisedHardware, inventory: unknown): SpecCheck {
  const { cpu, memory, disk, kernel } = sectionsOf(inventory);
  const fields = [
    nameField("os", promised.os, kernel.name, KERNEL_SYSTEMS),
    nameField("architecture", promised.architecture, cpu.arch, ARCHITECTURE_NAMES),
    cpuField(promised.cpu, cpu),
    memoryField(promised.memory, memory),
    diskField(promised.disk, disk),
    networkField(promised.network),
  ];
  return { status: wholeOf(fields), fields };
}

/** What a check finds fault with, by field. */
export function specFindings(check: SpecCheck | null, rank: number): Finding[] {
  const differing = check?.fields.filter(({ status }) => status === "differs") ?? [];
  return differing.map(({ field, promised, found, reason }) => {
    const [value, expected] = [numberIn(found), numberIn(promised)];
    const ratio = value === null || expected === null ? null : value / expected;
    const message = `the ${NAMES[field] ?? field} differs from the spec: ${reason}`;
    return {
      kind: "spec_differs",
      metric: field,
      rank,
      gpu: null,
      value,
      expected,
      ratio,
      message,
    };
  });
}

function numberIn(text: string | null): number | null {
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}

function wholeOf(fields: readonly SpecCheckField[]): SpecCheckStatus {
  if (fields.some(({ status }) => status === "differs")) return "differs";
  const isOpen = fields.some(
    ({ field, status }) => DECISIVE.includes(field) && status === "unknown",
  );
  return isOpen ? "unknown" : "matches";
}

type Section = Readonly<Record<string, unknown>>;

function sectionsOf(inventory: unknown) {
  const all: Section = isObject(inventory) ? inventory : {};
  const section = (name: string): Section => {
    const value = all[name];
    return isObject(value) ? value : {};
  };
  return {
    cpu: section("cpu"),
    memory: section("memory"),
    disk: section("disk"),
    kernel: section("kernel"),
  };
}

function nameField<Name extends string>(
  field: string,
  promised: Name,
  sent: unknown,
  names: Readonly<Record<string, Name>>,
): SpecCheckField {
  const text = typeof sent === "string" ? sent.toLowerCase() : "";
  if (!NAME.test(text)) return unread(field, promised);
  const found = Object.hasOwn(names, text) ? (names[text] ?? text) : text;
  return found === promised
    ? { field, promised, found, status: "matches", reason: null }
    : differs(field, promised, found, `${found} found, ${promised} promised`);
}

function cpuField(promised: number, { usable, quota }: Section): SpecCheckField {
  const cpus = sizeIn(usable);
  if (cpus === null) return unread("cpu", String(promised));
  const limit = typeof quota === "number" && quota >= 0 ? quota : null;
  const found = Math.floor(Math.min(cpus, limit ?? cpus));
  const by = limit === null ? "" : `, with a quota of ${Math.round(limit * 100) / 100}`;
  const many = `${found} usable logical CPUs${by}`;
  return atLeast("cpu", { promised, found, least: promised }, many, `${promised} promised`);
}

function memoryField(promised: number, { total_bytes, limit_bytes }: Section): SpecCheckField {
  const total = sizeIn(total_bytes);
  if (total === null) return unread("memory", String(promised));
  const limit = sizeIn(limit_bytes);
  const isLimited = limit !== null && limit < total;
  const found = isLimited ? limit : total;
  const least = promised - Math.max(MEMORY_SLACK, promised * MEMORY_SLACK_SHARE);
  const many = isLimited ? `a limit of ${size(limit)}` : size(total);
  return atLeast("memory", { promised, found, least }, many, `${size(promised)} promised`);
}

function diskField(promised: number, { total_bytes, device_bytes }: Section): SpecCheckField {
  const sizes = [sizeIn(total_bytes), sizeIn(device_bytes)].filter((each) => each !== null);
  if (sizes.length === 0) return unread("disk", String(promised));
  const found = Math.max(...sizes);
  const least = promised * DISK_SHARE;
  return atLeast("disk", { promised, found, least }, size(found), `${size(promised)} promised`);
}

function networkField(promised: boolean): SpecCheckField {
  const field = { field: "network", promised: String(promised) };
  return promised
    ? { ...field, found: "true", status: "matches", reason: "it has reached this server" }
    : {
        ...field,
        found: null,
        status: "unknown",
        reason: "it has reached this server; its other connections are unknown",
      };
}

function atLeast(
  field: string,
  { promised, found, least }: { promised: number; found: number; least: number },
  foundText: string,
  promisedText: string,
): SpecCheckField {
  const [promise, has] = [String(promised), String(found)];
  const both = `${foundText} found, ${promisedText}`;
  if (found < least) return differs(field, promise, has, both);
  const reason =
    found > promised
      ? `more than promised: ${both}`
      : found < promised
        ? `close enough: ${both}`
        : null;
  return { field, promised: promise, found: has, status: "matches", reason };
}

function differs(field: string, promised: string, found: string, reason: string): SpecCheckField {
  return { field, promised, found, status: "differs", reason };
}

function unread(field: string, promised: string): SpecCheckField {
  const reason = "not in the machine's inventory";
  return { field, promised, found: null, status: "unknown", reason };
}

/** A number of bytes or CPUs; null for everything else. */
function sizeIn(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/** Such as "223.6 GiB". */
function size(bytes: number): string {
  let [value, unit] = [bytes, 0];
  while (value >= 1_024 && unit < UNITS.length - 1) {
    value /= 1_024;
    unit++;
  }
  return `${Math.round(value * 10) / 10} ${UNITS[unit]}`;
}
