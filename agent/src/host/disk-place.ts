/** The file system of a folder, and the disk below it. */
import { readdirSync, realpathSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { readText } from "../files.ts";

export interface DiskPlace {
  /** Such as `ext4`; null where the system does not tell. */
  fileSystem: string | null;
  /** Size of the whole disk, also where the file system has a part of it; null where it is not visible. */
  deviceBytes: number | null;
}

const SECTOR_BYTES = 512;

/** @param root of the file system; another one in tests */
export function findDisk(folder: string, root = "/"): DiskPlace {
  const mounts = (readText(join(root, "proc/self/mountinfo")) ?? "").split("\n").flatMap(readMount);
  const place = realFolder(folder, root);
  const [mount] = mounts
    .filter(({ point }) => point === "/" || `${place}/`.startsWith(`${point}/`))
    // Of mounts at one place the last one is seen.
    .reverse()
    .sort((a, b) => b.point.length - a.point.length);
  if (mount === undefined) return { fileSystem: null, deviceBytes: null };
  const { fileSystem, device, source } = mount;
  // File systems over several devices, such as Btrfs, have a number of their own.
  const names = [join("sys/dev/block", device), join("sys/class/block", basename(source))];
  const isDevice = source.startsWith("/dev/") || !device.startsWith("0:");
  const sizes = isDevice ? names.map((name) => sizeOf(join(root, name))) : [];
  return { fileSystem, deviceBytes: sizes.find((size) => size !== null) ?? null };
}

/** Where a folder's links lead: mounts are named by what lies there. A folder that cannot be read keeps its name. */
function realFolder(folder: string, root: string): string {
  try {
    return join("/", relative(realpathSync(root), realpathSync(join(root, folder))));
  } catch {
    return folder;
  }
}

interface Mount {
  point: string;
  fileSystem: string;
  /** `major:minor` */
  device: string;
  source: string;
}

/** A line of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
function readMount(line: string): Mount[] {
  const [before = "", after = ""] = line.split(" - ");
  const [, , device = "", , point = ""] = before.split(" ");
  const [fileSystem = "", source = ""] = after.split(" ");
  if (point === "" || fileSystem === "") return [];
  return [{ point: unescaped(point), fileSystem, device, source: unescaped(source) }];
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** Of a block device as sysfs shows it; of a part, that of its disk. */
function sizeOf(device: string): number | null {
  try {
    const at = realpathSync(device);
    const isPart = readdirSync(at).includes("partition");
    const sectors = Number(readText(join(isPart ? dirname(at) : at, "size")) ?? "");
    return sectors > 0 ? sectors * SECTOR_BYTES : null;
  } catch {
    return null;
  }
}
