/** Which addresses an agent dials at another's word, and that failing ones tell nothing of this network. */
import { createServer, type Server, type Socket } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { meetMs } from "../../agent/src/cluster-network/bounds.ts";
import {
  type Checked,
  checkAddress,
  parseNetworks,
} from "../../agent/src/cluster-network/peer-address.ts";
import { parseHostPort } from "../../agent/src/host-port.ts";
import { patient } from "../patience.ts";
import { freePorts, rulesOf, shortBounds, until } from "./helpers.ts";
import { linksOf, startNode } from "./peers.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

function check(address: string, announced = "10.0.0.1", networks?: string): Checked {
  const rules = rulesOf({ host: announced, port: 7117 });
  return checkAddress(address, {
    ...rules,
    networks: networks === undefined ? null : parseNetworks([networks]),
  });
}

describe("an address that is never a peer's", () => {
  test.each([
    ["loopback", "127.0.0.1 127.255.255.255 ::1 0:0:0:0:0:0:0:1"],
    ["link-local", "169.254.0.1 169.254.255.255 fe80::1 febf:ffff::1 fe80::1%eth0"],
    ["multicast", "224.0.0.1 239.255.255.250 ff02::1 ff0e::1"],
    ["unspecified", "0.0.0.0 0.1.2.3 :: ::127.0.0.1 ::a00:1"],
    ["reserved", "240.0.0.1 255.255.255.255 64:ff9b:1::7f00:1 2001:0:4136:e378::1"],
    [
      "metadata",
      "169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254 fe80::a9fe:a9fe",
    ],
  ])("is refused: %s", (kind, addresses) => {
    for (const address of addresses.split(" ")) {
      expect(check(address)).toEqual({ ok: false, why: `${address} is a ${kind} address` });
    }
  });

  test.each([
    ["mapped", "::ffff:"],
    ["translated", "::ffff:0:"],
    ["NAT64", "64:ff9b::"],
  ])("is refused in its %s form, too", (_name, prefix) => {
    for (const inner of [
      "127.0.0.1",
      "169.254.169.254",
      "224.0.0.1",
      "0.0.0.0",
      "100.100.100.200",
    ]) {
      expect(check(prefix + inner).ok).toBe(false);
    }
    expect(check(`${prefix}10.1.2.3`).ok).toBe(true);
  });

  test("is refused in the 6to4 form of any IPv4 address that is", () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.integer({ min: 0, max: 0xffff }), (inner, low) => {
        const [a = 0, b = 0, c = 0, d = 0] = inner.split(".").map(Number);
        const hex = (high: number, byte: number) => (high * 256 + byte).toString(16);
        const sixToFour = `2002:${hex(a, b)}:${hex(c, d)}::${low.toString(16)}`;
        expect(check(sixToFour).ok).toBe(check(inner).ok);
      }),
    );
  });

  test("is refused however it is written", () => {
    for (const text of ["0:0:0:0:0:FFFF:7F00:1", "::FfFf:7f00:0001", "::ffff:127.0.0.1%1"]) {
      expect(check(text).ok).toBe(false);
    }
  });
});

describe("an address of others", () => {
  test.each(["10.0.0.2", "192.168.1.1", "172.16.0.1", "100.64.0.1", "8.8.8.8", "2001:db8::1"])(
    "%s is dialled as it is",
    (address) => expect(check(address)).toEqual({ ok: true, address }),
  );

  test("a mapped one is dialled and narrowed as the IPv4 address that it is", () => {
    expect(check("::ffff:10.0.0.2")).toEqual({ ok: true, address: "10.0.0.2" });
    expect(check("::ffff:a00:2", "10.0.0.1", "10.0.0.0/8").ok).toBe(true);
    expect(check("::ffff:a00:2", "10.0.0.1", "11.0.0.0/8").ok).toBe(false);
  });

  test("--cluster-peers narrows, and lifts no refusal", () => {
    const networks = "10.20.0.0/16, 192.0.2.7,fd00:20::/64";
    const isDialled = (address: string) => check(address, "10.0.0.1", networks).ok;
    expect(["10.20.255.1", "192.0.2.7", "fd00:20::9"].map(isDialled)).toEqual([true, true, true]);
    expect(["10.21.0.1", "192.0.2.8", "fd00:21::9"].map(isDialled)).toEqual([false, false, false]);
    expect(check("127.0.0.1", "10.0.0.1", "0.0.0.0/0,::/0").ok).toBe(false);
    expect(check("127.0.0.1", "127.0.0.1", "10.0.0.0/8").ok).toBe(false);
    expect(check("8.8.8.8", "10.0.0.1", "0.0.0.0/0").ok).toBe(true);
    expect(check("2001:db8::1", "10.0.0.1", "::/0").ok).toBe(true);
  });

  test.each([
    "",
    "10.0.0.0/33",
    "10.0.0/8",
    "::/129",
    "10.0.0.0/8/8",
    "10.0.0.0/-1",
    "a/8",
    "1.1.1.1,",
  ])("%j is no network", (text) => expect(parseNetworks([text])).toBeNull());

  test("who announces a loopback or link-local address dials such addresses, never metadata", () => {
    expect(check("127.0.0.2", "127.0.0.1").ok).toBe(true);
    expect(check("::1", "localhost").ok).toBe(true);
    expect(check("::ffff:127.0.0.1", "::1").ok).toBe(true);
    expect(check("169.254.1.2", "127.0.0.1").ok).toBe(false);
    expect(check("169.254.1.2", "169.254.1.1").ok).toBe(true);
    expect(check("fe80::2", "fe80::1").ok).toBe(true);
    for (const address of ["169.254.169.254", "::ffff:169.254.169.254", "fe80::a9fe:a9fe"]) {
      expect(check(address, "169.254.1.1").ok).toBe(false);
    }
    expect(check("0.0.0.0", "0.0.0.0").ok).toBe(false);
    expect(check("224.0.0.1", "224.0.0.1").ok).toBe(false);
  });
});

interface Listener {
  port: number;
  connections: () => number;
}

async function listener(onSocket: (socket: Socket) => void, host = "127.0.0.1"): Promise<Listener> {
  let connections = 0;
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    connections += 1;
    sockets.add(socket.on("error", () => {}));
    onSocket(socket);
  });
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => server.close(resolve));
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const address = server.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  return { port, connections: () => connections };
}

describe("a peer that does not prove itself", () => {
  test("whatever stands there, the server reads the same words after the same time", async () => {
    const open = await listener((socket) => socket.resume().pipe(socket));
    const silent = await listener(() => {});
    const closing = await listener((socket) => socket.destroy());
    const ssh = await listener((socket) => socket.write("SSH-2.0-OpenSSH_9.6\r\n"));
    const http = await listener((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
    const endless = await listener((socket) => socket.write(Buffer.alloc(1 << 20)));
    const [closed = 0] = await freePorts(1);
    const addresses = {
      echo: `127.0.0.1:${open.port}`,
      silent: `127.0.0.1:${silent.port}`,
      closing: `127.0.0.1:${closing.port}`,
      ssh: `127.0.0.1:${ssh.port}`,
      http: `127.0.0.1:${http.port}`,
      endless: `127.0.0.1:${endless.port}`,
      closed: `127.0.0.1:${closed}`,
      metadata: "169.254.169.254:80",
      mapped: "[::ffff:169.254.169.254]:80",
      unknown: "no-such-host.invalid:80",
      "slow name": "slow.test:80",
      "name of metadata": "rebind.test:80",
      "no address": null,
      nonsense: "a b:c",
    };
    const lookup = async (name: string): Promise<string[]> => {
      if (name === "slow.test") return new Promise(() => {});
      if (name === "rebind.test") return ["169.254.169.254"];
      throw new Error("getaddrinfo ENOTFOUND");
    };
    const own = await freePorts(Object.keys(addresses).length);
    const runs = Object.values(addresses).map(async (address, i) => {
      const startedAt = performance.now();
      const port = own[i] ?? 0;
      const node = startNode(0, [port], { addresses: [null, address], rules: { lookup } });
      const outcome = await node.outcome;
      return {
        node,
        sent: JSON.stringify({ outcome, told: node.messages, progress: node.progress }),
        ms: performance.now() - startedAt,
      };
    });
    const ends = await Promise.all(runs);
    expect(new Set(ends.map(({ sent }) => sent)).size).toBe(1);
    expect(ends[0]?.sent).toContain(
      `no connection with node 1 within ${meetMs(shortBounds) / 1000} s`,
    );
    for (const { ms } of ends) expect(ms).toBeGreaterThanOrEqual(meetMs(shortBounds) - 5);
    const times = ends.map(({ ms }) => ms);
    expect(Math.max(...times) - Math.min(...times)).toBeLessThan(patient(400));

    // The details are this machine's own.
    const logOf = (name: keyof typeof addresses): string =>
      ends[Object.keys(addresses).indexOf(name)]?.node.logs.join("\n") ?? "";
    expect(logOf("closed")).toMatch(/127\.0\.0\.1:\d+: cannot connect \(ECONNREFUSED\)/);
    expect(logOf("silent")).toMatch(/nobody answered/);
    expect(logOf("metadata")).toMatch(/169\.254\.169\.254 is a metadata address/);
    expect(logOf("mapped")).toMatch(/is a metadata address/);
    expect(logOf("unknown")).toMatch(/no-such-host\.invalid:80: the name cannot be resolved/);
    expect(logOf("slow name")).toMatch(/not resolved in time/);
    expect(logOf("nonsense")).toMatch(/no usable cluster address/);
  });

  test("this machine's own services are not dialled, however the address is written", async () => {
    const hosts =
      "127.0.0.1 127.0.0.2 localhost 127.1 2130706433 0x7f000001 0.0.0.0 0 [::1] [::] [::ffff:127.0.0.1] " +
      "[::ffff:0:127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::]";
    const own = await freePorts(hosts.split(" ").length);
    const runs = hosts.split(" ").map(async (host, i) => {
      const service = await listener(() => {}, "::");
      const address = `${host}:${service.port}`;
      expect(parseHostPort(address)).not.toBeNull();
      const announced = [{ host: "192.0.2.1", port: own[i] ?? 0 }];
      const node = startNode(0, [], { addresses: [null, address], rules: { announced } });
      await node.outcome;
      return { host, connections: service.connections(), log: node.logs.join(" ") };
    });
    for (const { host, connections, log } of await Promise.all(runs)) {
      expect({ host, connections }).toEqual({ host, connections: 0 });
      expect(log).toMatch(/ is a (loopback|unspecified) address|cannot be resolved/);
    }
  });

  test("a name is resolved once: a second answer would be another address", async () => {
    const service = await listener((socket) => socket.destroy());
    const [port = 0] = await freePorts(1);
    let asked = 0;
    const node = startNode(0, [port], {
      addresses: [null, `rebind.test:${service.port}`],
      rules: {
        announced: [{ host: "192.0.2.1", port }],
        lookup: async () => {
          asked += 1;
          return asked === 1 ? ["192.0.2.2"] : ["127.0.0.1"];
        },
      },
      bounds: { attemptMs: 50 },
    });
    await node.outcome;
    expect(asked).toBe(1);
    expect(service.connections()).toBe(0);
  });

  test("of a name with good and bad addresses only the good ones are dialled", async () => {
    const service = await listener((socket) => socket.destroy());
    const [port = 0] = await freePorts(1);
    const node = startNode(0, [port], {
      addresses: [null, `mixed.test:${service.port}`],
      rules: { lookup: async () => ["169.254.169.254", "127.0.0.9", "127.0.0.1"] },
    });
    await until(() => service.connections() > 0, "a connection to a good address");
    node.abort();
    await node.outcome.catch(() => {});
  });

  test("a name that is published late is found", async () => {
    const ports = await freePorts(2);
    let asked = 0;
    const lookup = async () => {
      asked += 1;
      if (asked < 3) throw new Error("getaddrinfo ENOTFOUND");
      return ["127.0.0.1"];
    };
    const addresses = [`127.0.0.1:${ports[0]}`, `late.test:${ports[1]}`];
    const nodes = [0, 1].map((rank) => startNode(rank, ports, { addresses, rules: { lookup } }));
    const outcomes = await Promise.all(nodes.map((node) => node.outcome));
    expect(outcomes.flatMap(linksOf).map(({ error }) => error)).toEqual([undefined, undefined]);
  });
});
