/**
 * A cluster step between agents in network namespaces of their own; `cluster-namespaces.test.ts` starts this program in
 * namespaces where it is root. Argument: a `World`, as JSON.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { JOB_TOKEN, startFakeServer } from "./fake-server.ts";

export interface World {
  /** The agent, one file. */
  agent: string;
  /** Address of the server in the network that the nodes share, with its prefix length. */
  server: string;
  nodes: {
    /** With their prefix lengths. */
    addresses: string[];
    /** Further set-up in its namespace, arguments of `ip`. */
    setUp?: string[];
    /** Options of its agent. */
    options?: string[];
  }[];
}

export interface NodeEnd {
  code: number | null;
  log: string;
  /** As it has joined. */
  announced: unknown;
  /** The body of its result. */
  result: { state: string; results?: unknown };
}

const within = (pid: number, ...command: string[]): string[] => ["-t", `${pid}`, "-n", ...command];
const ip = (pid: number, line: string): Buffer =>
  execFileSync("nsenter", within(pid, "ip", ...line.split(" ")), { stdio: ["ignore", "pipe", 2] });

/** An IPv6 address is usable at once only without the search for another owner. */
const noDad = (address: string): string => (address.includes(":") ? " nodad" : "");

async function main({ agent, server: at, nodes }: World): Promise<NodeEnd[]> {
  const holders: ChildProcess[] = [];
  const agents: ChildProcess[] = [];
  try {
    const own = [
      "link set lo up",
      "link add bridge0 type bridge",
      `addr add ${at} dev bridge0${noDad(at)}`,
    ];
    for (const line of [...own, "link set bridge0 up"]) execFileSync("ip", line.split(" "));
    const pids: number[] = [];
    for (const [rank, { addresses, setUp = [] }] of nodes.entries()) {
      // The namespace is there once it has said so, and lives as long as the process.
      const holder = spawn("unshare", ["-n", "sh", "-c", "echo; exec sleep 600"]);
      holders.push(holder);
      await new Promise((done) => holder.stdout.once("data", done));
      const { pid = 0 } = holder;
      pids.push(pid);
      execFileSync(
        "ip",
        `link add name up${rank} type veth peer name eth0 netns ${pid}`.split(" "),
      );
      execFileSync("ip", `link set up${rank} master bridge0 up`.split(" "));
      ip(pid, "link set lo up");
      for (const each of addresses) {
        ip(pid, `addr add ${each} dev eth0${noDad(each)}`);
      }
      ip(pid, "link set eth0 up");
      for (const line of setUp) ip(pid, line);
    }
    const server = await startFakeServer({
      sequence: [{ benchmark_id: "cluster_network" }],
      nodeCount: nodes.length,
      address: at.split("/")[0] ?? "",
    });
    const ends = nodes.map(async ({ options = [] }, rank): Promise<() => NodeEnd> => {
      while (server.tasks.length < rank) await delay(20);
      const uuid = `550e8400-e29b-41d4-a716-44665544000${rank}`;
      const args = ["--host", server.url, "--token", JOB_TOKEN, "--machine-uuid", uuid];
      const command = within(pids[rank] ?? 0, process.execPath, agent, ...args, ...options);
      const child = spawn("nsenter", command, {
        env: { PATH: process.env.PATH, XDG_STATE_HOME: "/proc/none" },
        stdio: ["ignore", "ignore", "pipe"],
      });
      agents.push(child);
      let log = "";
      child.stderr.on("data", (chunk) => {
        log += chunk;
      });
      const code = await new Promise<number | null>((done) => child.once("close", done));
      return () => ({
        code,
        log,
        announced: server.tasks[rank]?.clusterAddresses,
        result: JSON.parse(server.tasks[rank]?.results.get(0) ?? "null"),
      });
    });
    const done = (await Promise.all(ends)).map((end) => end());
    await server.close();
    return done;
  } finally {
    for (const child of [...agents, ...holders]) child.kill("SIGKILL");
  }
}

const [, , world] = process.argv;
if (world !== undefined && process.argv[1]?.endsWith("cluster-world.ts")) {
  process.stdout.write(JSON.stringify(await main(JSON.parse(world))));
}
