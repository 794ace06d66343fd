/**
 * `npm run node-checksums`: writes agent/node.json, the SHA-256 of the Node that the agent's script fetches. Each tarball
 * is compared with the integrity that the registry states for it.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ARCHITECTURES, PINNED_NODE_FILE, type PinnedNode, projectNode } from "./lib/bootstrap.ts";

const version = projectNode();
const folder = mkdtempSync(join(tmpdir(), "assay-node-"));

function npm(...args: string[]): string {
  return execFileSync("npm", args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", 2] });
}

function sha256Of(architecture: string): string {
  const wanted = `node-linux-${architecture}@${version}`;
  const stated: unknown = JSON.parse(npm("view", wanted, "dist.integrity", "--json"));
  const [{ filename }]: [{ filename: string }] = JSON.parse(npm("pack", wanted, "--json"));
  const tarball = readFileSync(join(folder, filename));
  const integrity = `sha512-${createHash("sha512").update(tarball).digest("base64")}`;
  if (integrity !== stated) {
    throw new Error(`${wanted} has the integrity ${integrity}, and the registry states ${stated}`);
  }
  console.log(`${wanted}: ${tarball.length} bytes, ${integrity}`);
  return createHash("sha256").update(tarball).digest("hex");
}

try {
  const [x64, arm64] = [sha256Of(ARCHITECTURES[0]), sha256Of(ARCHITECTURES[1])];
  const node: PinnedNode = { version, sha256: { x64, arm64 } };
  writeFileSync(PINNED_NODE_FILE, `${JSON.stringify(node, null, 2)}\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
