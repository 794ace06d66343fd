/** Where a machine may have cuBLASLt: in PyTorch's packages, in a CUDA toolkit, in a folder that the user names. */
import { execFileSync } from "node:child_process";
import { readdirSync, realpathSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";

const NAME = /^libcublasLt\.so\.\d+(\.\d+)*$/;
const PYTHON_TIMEOUT_MS = 3_000;
/** The folders of CUDA libraries have fewer entries than this; a larger folder is skipped. */
const MAX_ENTRIES = 10_000;

/** `*` stands for any name without a slash. */
const PACKAGES = [
  "/usr/lib/python3*/*-packages",
  "/usr/local/lib/python3*/*-packages",
  "/opt/*/lib/python3*/site-packages",
  "/opt/*/.venv/lib/python3*/site-packages",
  "/opt/*/envs/*/lib/python3*/site-packages",
  "/venv/*/lib/python3*/site-packages",
  "/workspace/*/lib/python3*/site-packages",
];
const TOOLKITS = [
  "/usr/local/cuda/lib64",
  "/usr/local/cuda-*/lib64",
  "/usr/local/cuda-*/targets/*/lib",
  "/opt/nvidia/hpc_sdk/*/*/math_libs/*/lib64",
  "/usr/lib/*-linux-gnu",
  "/usr/lib64",
];

/**
 * Files, best first: the named folder, then the library that PyTorch brought, then that of a toolkit. With a named
 * folder nothing else is looked at. A file that others than root and this user, or their groups, could have written is
 * left out, since opening it runs it.
 */
export function findCublasLt(
  env: Record<string, string | undefined>,
  named: string | null,
  root = "/",
): string[] {
  const folders = named === null ? foldersOf(env) : [named];
  const found = new Set<string>();
  for (const pattern of folders) {
    for (const folder of expand(pattern, root)) {
      for (const name of list(folder)) {
        const file = NAME.test(name) ? trusted(join(folder, name)) : null;
        if (file !== null) found.add(file);
      }
    }
  }
  return [...found];
}

function foldersOf(env: Record<string, string | undefined>): string[] {
  const packages = [
    ...[env.VIRTUAL_ENV, env.CONDA_PREFIX].flatMap((prefix) =>
      prefix ? [join(prefix, "lib/python3*/site-packages")] : [],
    ),
    ...packagesOfPythons(),
    ...PACKAGES,
    join(homedir(), "*/lib/python3*/site-packages"),
    join(homedir(), ".local/lib/python3*/site-packages"),
  ];
  return [
    ...packages.flatMap((folder) => [
      join(folder, "nvidia/cublas/lib"),
      join(folder, "nvidia/cu*/lib"),
      join(folder, "torch/lib"),
    ]),
    ...(env.LD_LIBRARY_PATH ?? "").split(":").filter((folder) => folder.startsWith("/")),
    ...TOOLKITS,
  ];
}

/** Where the Pythons on the path keep packages. They import nothing, and are asked for moments only. */
function packagesOfPythons(): string[] {
  const program =
    "import sys, sysconfig; print('\\n'.join([*sys.path, sysconfig.get_path('purelib')]))";
  const asked = ["python3", "python"].flatMap((python) => {
    try {
      const text = execFileSync(python, ["-I", "-c", program], {
        timeout: PYTHON_TIMEOUT_MS,
        killSignal: "SIGKILL",
        stdio: ["ignore", "pipe", "ignore"],
        encoding: "utf8",
      });
      return text.split("\n").filter((line) => /(site|dist)-packages$/.test(line));
    } catch {
      return [];
    }
  });
  return [...new Set(asked)];
}

/** The folders that a pattern names, by hand: Node 20 has no glob. */
function expand(pattern: string, root: string): string[] {
  return pattern
    .split("/")
    .filter((part) => part !== "")
    .reduce<string[]>(
      (folders, part) =>
        folders.flatMap((folder) => {
          if (!part.includes("*")) return [join(folder, part)];
          const quoted = part.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*");
          const matches = new RegExp(`^${quoted}$`);
          return list(folder)
            .filter((name) => matches.test(name))
            .map((name) => join(folder, name));
        }),
      [root],
    );
}

function list(folder: string): string[] {
  try {
    const names = readdirSync(folder);
    return names.length > MAX_ENTRIES ? [] : names.sort().reverse();
  } catch {
    return [];
  }
}

/** The file behind links, or null when it is not there or others can write it or its folder. */
function trusted(path: string): string | null {
  try {
    const file = realpathSync(path);
    const isSafe = [file, dirname(file)].every((one) => {
      const { uid, gid, mode } = statSync(one);
      const isOwn = uid === 0 || uid === process.getuid?.();
      const isOwnGroup = gid === 0 || gid === process.getgid?.();
      return isOwn && (mode & (isOwnGroup ? 0o002 : 0o022)) === 0;
    });
    return isSafe ? file : null;
  } catch {
    return null;
  }
}
