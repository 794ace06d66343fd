/**
 * koffi's addon from inside the bundle: `dlopen` needs a real file, so it is written into a folder of this user alone. It
 * is decompressed by the measuring process only.
 */
import { createHash, randomBytes } from "node:crypto";
import { lstatSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { brotliDecompressSync } from "node:zlib";
import { makeFolder } from "../files.ts";

export interface PackedAddon {
  /** Of the addon, in hex. */
  sha256: string;
  /** Compressed with Brotli, in base64. */
  data: string;
}

/** By platform, such as `linux-x64`; put in by scripts/build-agent.ts. */
declare const ASSAY_ADDONS: Readonly<Record<string, PackedAddon>> | undefined;

/** @throws with a message for people when no addon fits this machine, or no folder can hold it */
export function loadAddon(env: Record<string, string | undefined>): unknown {
  const platform = `${process.platform}-${process.arch}`;
  if (typeof ASSAY_ADDONS === "undefined") throw new Error("this agent was built without its FFI");
  const packed = ASSAY_ADDONS[platform];
  if (packed === undefined) {
    const known = Object.keys(ASSAY_ADDONS).join(" and ");
    throw new Error(`GPUs are measured on ${known} only, and this is ${platform}`);
  }
  if (isMusl()) {
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
export function unpack({ sha256, data }: PackedAddon, folder: string): string {
  makeFolder(folder, 0o700);
  const { uid, mode } = lstatSync(folder);
  if (uid !== (process.getuid?.() ?? uid) || (mode & 0o022) !== 0 || (mode & 0o170000) !== 0o040000)
    throw new Error(`${folder} is not a folder of this user alone`);
  const file = join(folder, `koffi-${sha256.slice(0, 16)}.node`);
  if (checksum(read(file)) === sha256) return file;
  const addon = brotliDecompressSync(Buffer.from(data, "base64"));
  if (checksum(addon) !== sha256) throw new Error("the FFI addon in this file is damaged");
  const draft = `${file}.${randomBytes(6).toString("hex")}`;
  writeFileSync(draft, addon, { mode: 0o700, flag: "wx" });
  renameSync(draft, file);
  return file;
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
  const report: unknown = process.report.getReport();
  return !JSON.stringify(report).includes("glibcVersionRuntime");
}
