/**
 * What kernels wrote, kept for other processes: each runs once for its data, and emulating takes a second. It is kept by the
 * checksum of the emulator, so that a change of it emulates anew; kernels.test.ts always does.
 */
import { createHash, randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { deserialize, serialize } from "node:v8";
import { emulatedInstructions } from "./emulator/launch.ts";
import { SHARES } from "./emulator/shares.ts";

const folder = folderOfKept();
const ran = new Map<string, Uint8Array[]>();

/** Null inside workerd, which has no files: there, memory alone keeps it. */
function folderOfKept(): string | null {
  if (navigator.userAgent === "Cloudflare-Workers") return null;
  const emulator = join(import.meta.dirname, "emulator");
  return join(import.meta.dirname, "../../../.wrangler/emulated", checksumOf(emulator));
}

function checksumOf(sources: string): string {
  const hash = createHash("sha256");
  for (const name of readdirSync(sources).sort()) {
    hash
      .update(name)
      .update(readFileSync(join(sources, name)))
      .update("\0");
  }
  return hash.digest("hex").slice(0, 16);
}

/**
 * The buffers of a launch after it.
 *
 * @param key stands for the kernel's text, its arguments and all that its buffers held
 * @param emulate runs the kernel and answers them
 */
export function emulatedOnce(key: string, emulate: () => Uint8Array[]): Uint8Array[] {
  const known = ran.get(key) ?? read(key);
  const buffers = known ?? emulate();
  if (known === null) keep(key, buffers);
  if (emulatedInstructions() > SHARES.runs) {
    throw new Error("the runs of `npm test` emulate more than their share: see emulator/shares.ts");
  }
  ran.set(key, buffers);
  return buffers;
}

function read(key: string): Uint8Array[] | null {
  if (folder === null) return null;
  try {
    const buffers: unknown = deserialize(readFileSync(join(folder, key)));
    return Array.isArray(buffers) && buffers.every((one) => one instanceof Uint8Array)
      ? buffers
      : null;
  } catch {
    return null;
  }
}

function keep(key: string, buffers: Uint8Array[]): void {
  if (folder === null) return;
  mkdirSync(folder, { recursive: true });
  const draft = join(folder, `${key}.${randomUUID()}`);
  writeFileSync(draft, serialize(buffers));
  renameSync(draft, join(folder, key));
}
