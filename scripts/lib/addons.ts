/**
 * koffi's addons for the agent's bundle: both platforms, whatever machine builds. scripts/install.mjs has fetched them as
 * npm's tarballs and checked them against the lockfile.
 */
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import type { PackedAddon } from "../../agent/src/gpu/addon.ts";
import { encodeBase85 } from "../../agent/src/gpu/base85.ts";
import { ROOT } from "./project.ts";
import { openTarball, TARBALLS } from "./tarballs.ts";

const PLATFORMS = ["linux-x64", "linux-arm64"] as const;

/**
 * Addons by platform, compressed.
 *
 * @param folder of the tarballs
 * @throws when one is missing or differs from the lockfile
 */
export function packAddons(folder = TARBALLS): Record<string, PackedAddon> {
  return Object.fromEntries(PLATFORMS.map((platform) => [platform, packAddon(platform, folder)]));
}

/** koffi's licence asks to go with every copy. */
export function addonLicence(): string {
  return readFileSync(join(ROOT, "node_modules/koffi/LICENSE.txt"), "utf8").trim();
}

function packAddon(platform: string, folder: string): PackedAddon {
  const { version, integrity } = lockedAddon(platform);
  const files = openTarball(`@koromix/koffi-${platform}`, { version, integrity }, folder);
  const file = `package/${platform.replace("-", "_")}/koffi.node`;
  const addon = files.get(file);
  if (addon === undefined) throw new Error(`koffi's package for ${platform} holds no ${file}`);
  const sha256 = createHash("sha256").update(addon).digest("hex");
  const packed = compressed(addon, join(folder, `${sha256}.br`));
  return { sha256, data: encodeBase85(packed), size: packed.length };
}

/** Version and checksum that the lockfile names for a platform's addon. */
export function lockedAddon(platform: string): { version: string; integrity: string } {
  const lock: { packages: Record<string, { version?: string; integrity?: string }> } = JSON.parse(
    readFileSync(join(ROOT, "package-lock.json"), "utf8"),
  );
  const { version, integrity } = lock.packages[`node_modules/@koromix/koffi-${platform}`] ?? {};
  if (version === undefined || integrity === undefined) {
    throw new Error(`package-lock.json names no @koromix/koffi-${platform}`);
  }
  return { version, integrity };
}

/** Compressing takes seconds, so the result is kept. */
function compressed(addon: Uint8Array, kept: string): Buffer {
  try {
    const known = readFileSync(kept);
    if (brotliDecompressSync(known).equals(addon)) return known;
  } catch {
    // Not there, or damaged.
  }
  const packed = brotliCompressSync(addon, {
    params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY },
  });
  writeFileSync(kept, packed);
  return packed;
}
