/** A whole cluster step between agents on hosts of their own, as network namespaces, with what stands between them. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { defaultBounds, meetMs } from "../../agent/src/cluster-network/bounds.ts";
import type { NodeEnd, World } from "./cluster-world.ts";

const NAMESPACES = ["--map-root-user", "--net"];
const PROBE =
  "ip link add a0 type veth peer name b0 && ip rule add ipproto tcp dport 7117 blackhole";
const hasNamespaces = spawnSync("unshare", [...NAMESPACES, "sh", "-ec", PROBE]).status === 0;
if (!hasNamespaces) {
  console.warn(
    "Cluster steps between hosts are not tested here: no network namespaces can be made.",
  );
}

const folder = mkdtempSync(join(tmpdir(), "assay-hosts-"));
const agent = join(folder, "agent.mjs");
beforeAll(() =>
  build({
    entryPoints: [fileURLToPath(new URL("../../agent/src/main.ts", import.meta.url))],
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    outfile: agent,
    logLevel: "silent",
  }),
);
afterAll(() => rmSync(folder, { recursive: true }));

function run(world: Omit<World, "agent">): Promise<NodeEnd[]> {
  const program = join(import.meta.dirname, "cluster-world.ts");
  const argument = JSON.stringify({ agent, ...world });
  const child = spawn("unshare", [...NAMESPACES, process.execPath, program, argument]);
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk) => {
    out += chunk;
  });
  child.stderr.on("data", (chunk) => {
    err += chunk;
  });
  return new Promise((resolve, reject) =>
    child.once("close", (code) => (code === 0 ? resolve(JSON.parse(out)) : reject(new Error(err)))),
  );
}

/** What reaches this host's cluster port from elsewhere is lost, as at a NAT that forwards nothing. */
const NAT = [
  "rule add pref 1 lookup local",
  "rule del pref 0",
  "rule add pref 0 iif eth0 ipproto tcp dport 7117 blackhole",
];
const figures = { bandwidth_gbps: expect.any(Number), latency_ms: expect.any(Number) };
const IPV4 = { server: "10.77.0.254/24" };

describe.skipIf(!hasNamespaces)("agents on hosts of their own", () => {
  test.each<[string, Omit<World, "agent">, string]>([
    [
      "with IPv4",
      { ...IPV4, nodes: [{ addresses: ["10.77.0.1/24"] }, { addresses: ["10.77.0.2/24"] }] },
      "10.77.0.1:7117",
    ],
    [
      "with IPv6 alone",
      {
        server: "fd77::fe/64",
        nodes: [{ addresses: ["fd77::1/64"] }, { addresses: ["fd77::2/64"] }],
      },
      "[fd77::1]:7117",
    ],
    [
      "the higher rank behind NAT",
      {
        ...IPV4,
        nodes: [{ addresses: ["10.77.0.1/24"] }, { addresses: ["10.77.0.2/24"], setUp: NAT }],
      },
      "10.77.0.1:7117",
    ],
    [
      "the lower rank behind NAT",
      {
        ...IPV4,
        nodes: [{ addresses: ["10.77.0.1/24"], setUp: NAT }, { addresses: ["10.77.0.2/24"] }],
      },
      "10.77.0.1:7117",
    ],
    [
      "the higher rank with the address that a NAT hides",
      {
        ...IPV4,
        nodes: [
          { addresses: ["10.77.0.1/24"] },
          { addresses: ["10.77.0.2/24"], options: ["--cluster-address", "192.168.1.5:7117"] },
        ],
      },
      "10.77.0.1:7117",
    ],
  ])("%s: measure their links", async (_name, world, first) => {
    const ends = await run(world);
    expect(ends[0]?.announced).toEqual([first]);
    for (const [rank, { code, log, result }] of ends.entries()) {
      expect(code, log).toBe(0);
      const measurements = [{ source_rank: rank, target_rank: 1 - rank, ...figures }];
      expect(result, log).toMatchObject({ state: "completed", results: { measurements } });
    }
  });

  test("both behind NAT: the pair does not meet, and the owner is told no reason", async () => {
    const nodes = ["10.77.0.1/24", "10.77.0.2/24"].map((address) => ({
      addresses: [address],
      setUp: NAT,
    }));
    const error = (rank: number) =>
      `no connection with node ${rank} within ${meetMs(defaultBounds) / 1000} s`;
    for (const [rank, { code, log, result }] of (await run({ ...IPV4, nodes })).entries()) {
      expect(code, log).toBe(1);
      const measurements = [{ source_rank: rank, target_rank: 1 - rank, error: error(1 - rank) }];
      expect(result).toMatchObject({ state: "failed", results: { measurements } });
      expect(log).toMatch(
        new RegExp(`node ${1 - rank}: 10\\.77\\.0\\.${2 - rank}:7117: the connection timed out`),
      );
    }
  });
});
