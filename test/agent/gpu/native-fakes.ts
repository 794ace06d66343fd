/** Stand-ins for NVIDIA's libraries, compiled from C: what the real binding of the agent talks to in tests. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { packAddons } from "../../../scripts/lib/addons.ts";

const SOURCES = fileURLToPath(new URL("fakes/", import.meta.url));
const MAIN = fileURLToPath(new URL("../../../agent/src/main.ts", import.meta.url));

/** Null where the tests can run; otherwise the reason why they are skipped. */
export const whyNoNativeFakes: string | null =
  process.platform !== "linux" || process.arch !== "x64"
    ? "skipped: the stand-ins for NVIDIA's libraries are for linux-x64"
    : spawnSync("gcc", ["--version"]).status === 0
      ? null
      : "skipped: there is no gcc (Debian's package gcc) to compile the stand-ins for NVIDIA's libraries";

export interface NativeFakes {
  folder: string;
  /** Has libcuda.so.1 and libnvidia-ml.so.1. */
  libraries: string;
  /** Has libcublasLt.so.12. */
  cublas: string;
  /** The agent in one file, with its addons. */
  agent: string;
  remove(): void;
}

/** Compiles them and bundles the agent. */
export async function buildNativeFakes(): Promise<NativeFakes> {
  const folder = mkdtempSync(join(tmpdir(), "assay-fakes-"));
  const [libraries, cublas] = [join(folder, "driver"), join(folder, "cublas")];
  mkdirSync(libraries);
  mkdirSync(cublas, { mode: 0o755 });
  compile("cuda.c", join(libraries, "libcuda.so.1"));
  compile("nvml.c", join(libraries, "libnvidia-ml.so.1"));
  compile("cublaslt.c", join(cublas, "libcublasLt.so.12"), [`-L${libraries}`, "-l:libcuda.so.1"]);
  const agent = join(folder, "agent.mjs");
  await build({
    entryPoints: [MAIN],
    outfile: agent,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "silent",
    define: { ASSAY_ADDONS: JSON.stringify(packAddons()) },
  });
  return {
    folder,
    libraries,
    cublas,
    agent,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function compile(source: string, to: string, more: readonly string[] = []): void {
  const soname = to.slice(to.lastIndexOf("/") + 1);
  const args = ["-O1", "-Wall", "-Werror", "-fPIC", "-shared", `-Wl,-soname,${soname}`, "-o", to];
  const { status, stderr } = spawnSync("gcc", [...args, join(SOURCES, source), ...more]);
  if (status !== 0) throw new Error(`gcc ${source}: ${stderr}`);
}
