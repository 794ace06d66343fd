/** Which addresses an agent announces, whatever stands first in the list of interfaces; and what peers do with several. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  findOwnAddresses,
  locate,
  type SourceTowards,
} from "../../agent/src/cluster-network/own-addresses.ts";
import { parseNetworks } from "../../agent/src/cluster-network/peer-address.ts";
import { parseJobView } from "../../agent/src/protocol.ts";
import { patient } from "../patience.ts";
import { freePorts, shortBounds } from "./helpers.ts";
import { keep, linksOf, listenOn, startNode } from "./peers.ts";

const ofFamily = (family: "IPv4" | "IPv6") => (address: string) => {
  const common = { address, netmask: "", mac: "", cidr: null };
  const internal = /^(127\.|::1$)/.test(address);
  return family === "IPv4"
    ? { ...common, family, internal }
    : { ...common, family, internal, scopeid: 0 };
};
const v4 = ofFamily("IPv4");
const v6 = ofFamily("IPv6");

/** Routes by destination: `server` or any other host, as `address of IPv4, address of IPv6`. */
const routes =
  (
    toServer: [string | null, string | null],
    byDefault: [string | null, string | null],
  ): SourceTowards =>
  async (host, family) =>
    (host === "assay.test" ? toServer : byDefault)[family === 4 ? 0 : 1];

describe("the addresses that an agent announces", () => {
  const crowd = {
    lo: [v4("127.0.0.1"), v6("::1")],
    docker0: [v4("172.17.0.1")],
    usb0: [v4("169.254.3.1"), v6("fe80::3")],
    "vEthernet (WSL)": [v4("172.29.0.1")],
    wg0: [v4("10.8.0.2")],
    eth0: [v6("fe80::4"), v4("10.0.0.4"), v6("fd00::4")],
    ib0: [v4("10.50.0.4")],
  };

  test.each<[string, string | null, SourceTowards, string[]]>([
    [
      "on the way to the server, then by the default route, then of real interfaces",
      "assay.test",
      routes(["10.50.0.4", null], ["10.0.0.4", "fd00::4"]),
      ["10.50.0.4", "10.0.0.4", "fd00::4"],
    ],
    [
      "a server on this machine says nothing",
      "assay.test",
      routes(["127.0.0.1", "::1"], ["10.0.0.4", "fd00::4"]),
      ["10.0.0.4", "fd00::4", "10.50.0.4"],
    ],
    [
      "nor does one behind a proxy",
      null,
      routes(["10.8.0.2", null], ["10.0.0.4", null]),
      ["10.0.0.4", "fd00::4", "10.50.0.4"],
    ],
    [
      "a VPN that leads to the server counts, before the network beside it",
      "assay.test",
      routes(["10.8.0.2", null], ["10.0.0.4", null]),
      ["10.8.0.2", "10.0.0.4", "fd00::4", "10.50.0.4"],
    ],
    [
      "without any route: those of real interfaces",
      "assay.test",
      routes([null, null], [null, null]),
      ["10.0.0.4", "fd00::4", "10.50.0.4"],
    ],
    [
      "no link-local address, even on the way to the server",
      "assay.test",
      routes(["169.254.3.1", "fe80::3%usb0"], ["10.0.0.4", null]),
      ["10.0.0.4", "fd00::4", "10.50.0.4"],
    ],
  ])("%s", async (_name, server, source, expected) => {
    const found = await findOwnAddresses(server, source, crowd);
    expect(found).toEqual(expected);
  });

  test("are link-local where there are no others and the server is there", async () => {
    const source = routes(["169.254.3.1", null], [null, null]);
    const interfaces = { lo: crowd.lo, usb0: crowd.usb0 };
    expect(await findOwnAddresses("assay.test", source, interfaces)).toEqual(["169.254.3.1"]);
    const elsewhere = routes([null, null], [null, null]);
    expect(await findOwnAddresses("assay.test", elsewhere, interfaces)).toEqual([]);
  });

  test("are those of IPv6 alone on a host without IPv4", async () => {
    const source = routes([null, "fd00::4"], [null, "fd00::4"]);
    const interfaces = { lo: crowd.lo, eth0: [v6("fe80::4"), v6("fd00::4")] };
    expect(await findOwnAddresses("assay.test", source, interfaces)).toEqual(["fd00::4"]);
  });

  test("are at most eight, and none where there is no network", async () => {
    const nowhere = routes([null, null], [null, null]);
    const many = Object.fromEntries(
      [...Array(20).keys()].map((i) => [`eth${i}`, [v4(`10.${i}.0.1`)]]),
    );
    expect(await findOwnAddresses("assay.test", nowhere, many)).toHaveLength(8);
    expect(await findOwnAddresses("assay.test", nowhere, { lo: crowd.lo })).toEqual([]);
  });

  test("are only the given one with --cluster-address", async () => {
    const given = { host: "127.0.0.1", port: 7000 };
    expect((await locate(given, null)).clusterAddresses).toEqual([given]);
  });

  test("are read from the server's list, and from its first where there is none", () => {
    const nodes = [
      { rank: 0, task_id: "1", cluster_address: "a:1", cluster_addresses: ["a:1", "b:2", 3] },
      { rank: 1, task_id: "2", cluster_address: "a:1" },
      { rank: 2, task_id: "3", cluster_address: null, cluster_addresses: [] },
    ];
    const view = parseJobView({ id: "512", directive: "wait", nodes });
    expect(view?.nodes.map(({ clusterAddresses }) => clusterAddresses)).toEqual([
      ["a:1", "b:2"],
      ["a:1"],
      [],
    ]);
  });
});

const canUnshare =
  spawnSync("unshare", ["-rn", "ip", "link", "add", "eth7", "type", "veth"]).status === 0;

describe.skipIf(!canUnshare)("in a network namespace (skipped where none can be made)", () => {
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "assay-addresses-"));
    const path = fileURLToPath(
      new URL("../../agent/src/cluster-network/own-addresses.ts", import.meta.url),
    );
    const contents = `import { findOwnAddresses } from ${JSON.stringify(path)};
      const [server] = process.argv.slice(2);
      console.log(JSON.stringify(await findOwnAddresses(server === "proxy" ? null : server)));`;
    await build({
      stdin: { contents, resolveDir: folder, loader: "ts" },
      bundle: true,
      platform: "node",
      format: "esm",
      outfile: join(folder, "find.mjs"),
      logLevel: "silent",
    });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Commands of `ip`, then what the agent finds there. */
  function find(setUp: string[], server: string): Promise<unknown> {
    const commands = ["link set lo up", ...setUp].map((line) => `ip ${line}`);
    const run = `exec ${process.execPath} ${join(folder, "find.mjs")} ${server}`;
    const child = spawn("unshare", ["-rn", "sh", "-ec", [...commands, run].join("\n")]);
    let [out, err] = ["", ""];
    child.stdout.on("data", (chunk) => {
      out += chunk;
      // Leaving would wait for a resolver that has no network.
      if (out.endsWith("\n")) child.kill("SIGKILL");
    });
    child.stderr.on("data", (chunk) => {
      err += chunk;
    });
    return new Promise((resolve, reject) =>
      child.on("close", () => (out === "" ? reject(new Error(err)) : resolve(JSON.parse(out)))),
    );
  }
  const device = (name: string, ...addresses: string[]): string[] => [
    `link add ${name} type veth peer name ${name}p`,
    `link set ${name}p up`,
    `link set ${name} up`,
    ...addresses.map((each) => `addr add ${each} dev ${name}${each.includes(":") ? " nodad" : ""}`),
  ];
  const DOCKER = [
    "link add docker0 type bridge",
    "addr add 172.17.0.1/16 dev docker0",
    "link set docker0 up",
  ];
  const CROWD = [
    ...DOCKER,
    ...device("bmc0", "169.254.3.1/16"),
    ...device("wg0", "10.8.0.2/24"),
    ...device("eth0", "10.9.0.4/24", "fd09::4/64"),
  ];
  const ROUTES = ["route add default via 10.9.0.1", "-6 route add default via fd09::1"];

  test.each([
    ["a server nearby", "10.9.0.1", ["10.9.0.4", "fd09::4"]],
    ["a server far away", "203.0.113.9", ["10.9.0.4", "fd09::4"]],
    ["a server over IPv6", "fd77::1", ["fd09::4", "10.9.0.4"]],
    ["a server on this machine", "127.0.0.1", ["10.9.0.4", "fd09::4"]],
    ["a proxy", "proxy", ["10.9.0.4", "fd09::4"]],
    ["a server beyond the VPN", "10.8.0.1", ["10.8.0.2", "10.9.0.4", "fd09::4"]],
    ["a name that nobody resolves", "no-such-host.invalid", ["10.9.0.4", "fd09::4"]],
  ])("%s", async (_name, server, expected) => {
    const found = await find([...CROWD, ...ROUTES], server);
    expect(found).toEqual(expected);
  });

  test("a host with IPv6 alone", async () => {
    const setUp = [...DOCKER, ...device("eth0", "fd09::4/64"), "-6 route add default via fd09::1"];
    expect(await find(setUp, "fd09::1")).toEqual(["fd09::4"]);
  });

  test("no network at all", async () => {
    expect(await find([], "10.9.0.1")).toEqual([]);
  });
});

describe("a peer with several addresses", () => {
  test.each([
    ["the first does", 0],
    ["the second does", 1],
    ["only the eighth does", 7],
  ])("is met where %s", async (_name, good) => {
    const ports = await freePorts(2 + good);
    const [own = 0, theirs = 0, ...dead] = ports;
    const addresses = [...dead.map((port) => `127.0.0.1:${port}`), `127.0.0.1:${theirs}`];
    const bounds = { attemptMs: patient(150), connectMs: patient(150) * 10 };
    const nodes = [0, 1].map((rank) =>
      startNode(rank, [own, theirs], { addresses: [`127.0.0.1:${own}`, addresses], bounds }),
    );
    const outcomes = await Promise.all(nodes.map((node) => node.outcome));
    expect(outcomes.flatMap(linksOf).map(({ error }) => error)).toEqual([undefined, undefined]);
  });

  test("has at most eight, and counts each once", async () => {
    const [own = 0, theirs = 0, closed = 0] = await freePorts(3);
    let connections = 0;
    const count = (): void => {
      connections += 1;
    };
    await listenOn(keep(createServer(count)), theirs);
    const dead = Array.from({ length: 7 }, (_, i) => `127.0.0.${i + 2}:${closed}`);
    const list = [...dead, ...dead, `127.0.0.1:${closed}`, `127.0.0.1:${theirs}`];
    const bounds = { attemptMs: 20, connectMs: 400 };
    const node = startNode(0, [own], { addresses: [null, list], bounds });
    await node.outcome;
    expect(connections).toBe(0);
    expect(node.logs.filter((line) => /cannot connect/.test(line))).toHaveLength(8);
  });

  test("learns nothing of what stands behind those before its own: their time is always the same", async () => {
    const echo = keep(createServer((socket) => void socket.pipe(socket)));
    const silent = keep(createServer());
    const closing = keep(createServer((socket) => void socket.destroy()));
    const ports = await Promise.all([echo, silent, closing].map((server) => listenOn(server, 0)));
    const [closed = 0] = await freePorts(1);
    const victims = {
      echo: `127.0.0.1:${ports[0]}`,
      silent: `127.0.0.1:${ports[1]}`,
      closing: `127.0.0.1:${ports[2]}`,
      closed: `127.0.0.1:${closed}`,
      metadata: "169.254.169.254:80",
      "outside --cluster-peers": "10.77.0.1:22",
      "no such name": "unknown.test:80",
      "slow name": "slow.test:80",
      "name with two addresses": "two.test:80",
    };
    const lookup = async (name: string): Promise<string[]> => {
      if (name === "slow.test") return new Promise(() => {});
      if (name === "two.test") return ["127.0.0.7", "127.0.0.8"];
      throw new Error("getaddrinfo ENOTFOUND");
    };
    const networks = parseNetworks(["127.0.0.0/8"]);
    const bounds = { attemptMs: patient(300), connectMs: patient(600) };
    const runs = Object.entries(victims).map(async ([name, victim]) => {
      const startedAt = performance.now();
      let metAt = Number.NaN;
      const own = keep(
        createServer((socket) => {
          if (Number.isNaN(metAt)) metAt = performance.now() - startedAt;
          socket.destroy();
        }),
      );
      const list = [victim, `127.0.0.1:${await listenOn(own, 0)}`];
      const [port = 0] = await freePorts(1);
      const node = startNode(0, [port], {
        addresses: [null, list],
        rules: { lookup, networks },
        bounds,
      });
      const outcome = await node.outcome;
      return { name, metAt, sent: JSON.stringify({ outcome, told: node.messages }) };
    });
    const ends = await Promise.all(runs);
    expect(new Set(ends.map(({ sent }) => sent)).size).toBe(1);
    for (const { name, metAt } of ends) {
      expect(metAt, name).toBeGreaterThanOrEqual(bounds.attemptMs);
      expect(metAt, name).toBeLessThan(bounds.connectMs + shortBounds.handshakeMs);
    }
    const times = ends.map(({ metAt }) => metAt);
    expect(Math.max(...times) - Math.min(...times)).toBeLessThan(patient(250));
  });
});
