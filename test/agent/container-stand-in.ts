/**
 * What a container is to the program in it, made by `unshare`: process 1 of its own process namespace, with a root that is
 * read-only but for a /tmp of its own and for volumes. The network is that of this machine.
 */
import { spawn, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

const UNSHARE = ["--map-root-user", "--mount", "--pid", "--fork", "--kill-child"];

/** A root of this machine's own folders, each read-only; then the command, as process 1. */
const prepare = (user = 0) => `
  root=$(mktemp -d)
  mount -t tmpfs none "$root"
  for at in /*; do
    [ -L "$at" ] && { cp -P "$at" "$root$at"; continue; }
    case $at in /tmp | /proc | /sys | /run) continue ;; esac
    [ -d "$at" ] || continue
    mkdir "$root$at" && mount --rbind "$at" "$root$at" && mount -o remount,bind,ro "$root$at"
  done
  mkdir "$root/proc" "$root/tmp" && mount -t proc none "$root/proc" && mount -t tmpfs none "$root/tmp"
  while [ "$1" != -- ]; do
    mkdir -p "$root$1" && mount --bind "$2" "$root$1" && mount -o "remount,bind,$3" "$root$1"
    shift 3
  done
  shift
  mount -o remount,ro "$root"
  cd / && exec unshare --user --map-user=${user} --map-group=${user} --root="$root" -- "$@"`;

const PROBE = ["touch /tmp/a && ! touch /b 2>/dev/null && test $$ = 1"];

/** Whether this machine allows them. */
export const hasContainers =
  spawnSync("unshare", [...UNSHARE, "sh", "-ec", prepare(), "sh", "--", "sh", "-c", ...PROBE])
    .status === 0;
if (!hasContainers) {
  console.warn("Nothing is run in containers here: this machine allows no namespaces.");
}

export interface Container {
  output: { stdout: string; stderr: string };
  exit: Promise<number | string>;
  /** Sends a signal to its process 1, as `docker stop` and the kubelet do. */
  signal(name: NodeJS.Signals): void;
  kill(): void;
}

export function startContainer(options: {
  command: string[];
  env: Record<string, string>;
  /** Folders of this machine by their place, read-only. */
  volumes: Record<string, string>;
  /** As `volumes`, and writable. */
  writable?: Record<string, string>;
  /** The user and group that the program runs as, without any right of root; root by default. */
  user?: number;
  stdin: string;
}): Container {
  const { command, env, volumes, writable = {}, user, stdin } = options;
  const mounts = [
    ...Object.entries(volumes).flatMap((mount) => [...mount, "ro"]),
    ...Object.entries(writable).flatMap((mount) => [...mount, "rw"]),
  ];
  const args = [...UNSHARE, "sh", "-ec", prepare(user), "sh", ...mounts, "--", ...command];
  const child = spawn("unshare", args, { env });
  const output = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk) => {
    output.stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    output.stderr += chunk;
  });
  child.stdin.on("error", () => {}).end(stdin);
  const exit = new Promise<number | string>((done) =>
    child.once("close", (code, signal) => done(code ?? signal ?? "")),
  );
  return {
    output,
    exit,
    signal(name) {
      const first = childOf(child.pid);
      if (first === undefined) throw new Error(`the container has no process: ${output.stderr}`);
      process.kill(first, name);
    },
    kill: () => void child.kill("SIGKILL"),
  };
}

/** Not every kernel has /proc/PID/task/PID/children. */
function childOf(parent: number | undefined): number | undefined {
  const isChild = (pid: string): boolean => {
    try {
      // The name, in parentheses, may hold anything.
      const [, after = ""] = /.*\) (.*)/s.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
      return Number(after.split(" ")[1]) === parent;
    } catch {
      return false;
    }
  };
  const found = readdirSync("/proc").find((name) => /^\d+$/.test(name) && isChild(name));
  return found === undefined ? undefined : Number(found);
}
