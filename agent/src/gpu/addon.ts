/**
 * koffi's addon from inside the bundle: `dlopen` needs a real file, so it is written into a folder of this user alone. It
 * is decompressed by the measuring process only.
 */
import { createHash, randomBytes } from "node:crypto";
import { lstatSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { makeFolder } from "../files.ts";
import { isRecord } from "../protocol.ts";
import { decodeBase85 } from "./base85.ts";

export interface PackedAddon {
  /** Of the addon, in hex. */
  sha256: string;
  /** Compressed with Brotli, in base 85. */
  data: string;
  /** Of what is compressed, bytes. */
  size: number;
}

/** By platform, such as `linux-x64`; put in by scripts/build-agent.ts. */
declare const ASSAY_ADDONS: Readonly<Record<string, PackedAddon>> | undefined;

/** What an addon must fit. */
export interface Machine {
  /** Such as `linux-x64`. */
  platform: string;
  isMusl: boolean;
}

function thisMachine(): Machine {
  return { platform: `${process.platform}-${process.arch}`, isMusl: isMusl() };
}

/**
 * @param addons by platform; those that the build has put in by default
 * @throws with a message for people when no addon fits this machine, or no folder can hold it
 */
export function loadAddon(
  env: Record<string, string | undefined>,
  addons = typeof ASSAY_ADDONS === "undefined" ? null : ASSAY_ADDONS,
  { platform, isMusl } = thisMachine(),
): unknown {
  if (addons === null) throw new Error("this agent was built without its FFI addon");
  const packed = addons[platform];
  if (packed === undefined) {
    const known = Object.keys(addons).join(" and ");
    throw new Error(`GPUs can be measured only on ${known}, but this is ${platform}`);
  }
  if (isMusl) {
    throw new Error("GPUs cannot be measured on musl (Alpine): NVIDIA's driver needs glibc");
  }
  const faults: string[] = [];
  // A container's home may be read-only, and /tmp or all of them noexec.
  const folders = [env.XDG_CACHE_HOME || join(homedir(), ".cache"), tmpdir(), "/dev/shm"];
  for (const folder of folders) {
    try {
      return open(unpack(packed, join(folder, `assay-${process.getuid?.() ?? 0}`)));
    } catch (error) {
      faults.push(`${folder}: ${error instanceof Error ? error.message : error}`);
    }
  }
  throw new Error(`the FFI addon cannot be loaded (${faults.join("; ")})`);
}

/**
 * Writes the addon if it is not there unchanged.
 *
 * @throws when the folder belongs to another user or others may write to it
 */
export function unpack({ sha256, data, size }: PackedAddon, parent: string): string {
  const folder = ownFolder(parent);
  const file = join(folder, `koffi-${sha256.slice(0, 16)}.node`);
  if (checksum(read(file)) === sha256) return file;
  const addon = brotliDecompressSync(decodeBase85(data, size));
  if (checksum(addon) !== sha256) throw new Error("the FFI addon in this file is damaged");
  const draft = `${file}.${randomBytes(6).toString("hex")}`;
  try {
    writeFileSync(draft, addon, { mode: 0o700, flag: "wx" });
    renameSync(draft, file);
  } catch (error) {
    // Half of it, on a full disk.
    rmSync(draft, { force: true });
    throw error;
  }
  return file;
}

/**
 * Makes a folder for what is loaded into a process.
 *
 * @throws when it belongs to another user, or others may write to it
 */
export function ownFolder(folder: string): string {
  makeFolder(folder, 0o700);
  const { uid, mode } = lstatSync(folder);
  const isOwn = uid === (process.getuid?.() ?? uid) && (mode & 0o022) === 0;
  if (!isOwn || (mode & 0o170000) !== 0o040000) {
    throw new Error(`${folder} is not private to this user`);
  }
  return folder;
}

function open(file: string): unknown {
  const module: { exports: unknown } = { exports: {} };
  process.dlopen(module, file);
  return module.exports;
}

function read(file: string): Uint8Array | null {
  try {
    return readFileSync(file);
  } catch {
    return null;
  }
}

function checksum(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : createHash("sha256").update(bytes).digest("hex");
}

function isMusl(): boolean {
  if (process.platform !== "linux") return false;
  // Without it, a report looks up the names of all connections.
  Object.assign(process.report, { excludeNetwork: true });
  const report: unknown = process.report.getReport();
  const header = isRecord(report) && isRecord(report.header) ? report.header : {};
  return header.glibcVersionRuntime === undefined;
}
