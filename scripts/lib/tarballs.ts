/** Packages that scripts/install.mjs fetches without installing them. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { ROOT } from "./project.ts";

export const TARBALLS = join(ROOT, ".wrangler", "tarballs");

export interface Pin {
  version: string;
  /** `sha512-` and the checksum in base64, as npm writes it. */
  integrity: string;
}

/**
 * The files of a fetched package, by their path, such as `package/LICENSE`.
 *
 * @throws when it is missing, or is not what its pin names
 */
export function openTarball(name: string, pin: Pin, folder = TARBALLS): Map<string, Buffer> {
  const file = join(folder, `${name.slice(1).replace("/", "-")}-${pin.version}.tgz`);
  if (!existsSync(file)) {
    throw new Error(`${file} is missing: run node scripts/install.mjs, which fetches it`);
  }
  const archive = readFileSync(file);
  if (`sha512-${createHash("sha512").update(archive).digest("base64")}` !== pin.integrity) {
    throw new Error(`${file} does not have the pinned checksum: delete it and install again`);
  }
  return filesOfTar(gunzipSync(archive));
}

const BLOCK = 512;
const REGULAR_FILES = ["0", "\0"];

/** Regular files of a ustar archive, by their path; each a part of the archive's bytes. */
export function filesOfTar(archive: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  for (let at = 0; at + BLOCK <= archive.length; ) {
    const field = (from: number, length: number) =>
      archive.toString("utf8", at + from, at + from + length).replace(/\0.*$/s, "");
    const [name, prefix, type] = [
      field(0, 100),
      field(345, 155),
      archive.toString("latin1", at + 156, at + 157),
    ];
    const size = Number.parseInt(field(124, 12), 8) || 0;
    const start = at + BLOCK;
    if (name !== "" && REGULAR_FILES.includes(type)) {
      files.set(prefix === "" ? name : `${prefix}/${name}`, archive.subarray(start, start + size));
    }
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}
