/** Ends workerd as a failing machine would: by SIGKILL to its process and no other. */
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";

/** Kills every workerd that this process started. Returns the number of processes. */
export function killWorkerd(): number {
  const own = processes().filter(
    ({ parent, name }) => parent === process.pid && name.includes("workerd"),
  );
  for (const { pid } of own) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // The process ended by itself meanwhile.
    }
  }
  return own.length;
}

interface Process {
  pid: number;
  parent: number;
  name: string;
}

function processes(): Process[] {
  if (!existsSync("/proc/self/stat")) return listedByPs();
  return readdirSync("/proc").flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return [];
    try {
      // "pid (name) state parent …", where the name may contain any character.
      const stat = readFileSync(`/proc/${entry}/stat`, "utf8");
      const [, state = "", parent = ""] = stat.slice(stat.lastIndexOf(")")).split(" ");
      if (state === "Z") return [];
      const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
      return [{ pid: Number(entry), parent: Number(parent), name }];
    } catch {
      return [];
    }
  });
}

function listedByPs(): Process[] {
  return execFileSync("ps", ["-A", "-o", "pid=,ppid=,comm="], { encoding: "utf8" })
    .split("\n")
    .flatMap((line) => {
      const match = /^\s*(\d+)\s+(\d+)\s+(.+)$/.exec(line);
      if (match === null) return [];
      return [{ pid: Number(match[1]), parent: Number(match[2]), name: match[3] ?? "" }];
    });
}
