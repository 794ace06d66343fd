import { connect, createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import { defaultBounds, meetMs } from "../../agent/src/cluster-network/bounds.ts";
import { type Channel, createChannel, FRAME } from "../../agent/src/cluster-network/channel.ts";
import { greetAsAcceptor } from "../../agent/src/cluster-network/handshake.ts";
import { runClusterNetwork } from "../../agent/src/cluster-network/step.ts";
import { patient } from "../patience.ts";
import { freePorts, rulesOf, shortBounds } from "./helpers.ts";
import { identity, isListening, KEY, keep, linksOf, listenOn, startNode } from "./peers.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

/** A last-ranked node that greets as it should, then does what the test wants. */
async function fakeNode(
  rank: number,
  port: number,
  then: (channel: Channel, socket: Socket) => void,
) {
  const server = keep(
    createServer((socket) => {
      const channel = createChannel(socket);
      greetAsAcceptor(channel, identity(rank), {
        isExpected: () => true,
        admit: () => true,
        withinMs: patient(5_000),
      }).then(
        () => then(channel, socket),
        () => channel.close("greeting failed"),
      );
    }),
  );
  await listenOn(server, port);
}

/** All that is said of a peer that has not proved itself. */
const NEVER_MET = (rank: number) =>
  `no connection with node ${rank} within ${meetMs(shortBounds) / 1000} s`;

const figures = { bandwidth_gbps: expect.any(Number), latency_ms: expect.any(Number) };

describe("a healthy cluster", () => {
  test.each([2, 3, 4, 5])("%i nodes each measure their links to all others", async (n) => {
    const ports = await freePorts(n);
    const nodes = ports.map((_, rank) => startNode(rank, ports, { bounds: defaultBounds }));
    const outcomes = await Promise.all(nodes.map((node) => node.outcome));
    outcomes.forEach((outcome, rank) => {
      expect(outcome.state).toBe("completed");
      const others = ports.map((_, r) => r).filter((r) => r !== rank);
      expect(linksOf(outcome)).toEqual(
        others.map((target) => ({ source_rank: rank, target_rank: target, ...figures })),
      );
      for (const link of linksOf(outcome)) {
        expect(link.bandwidth_gbps).toBeGreaterThan(0);
        expect(link.latency_ms).toBeGreaterThan(0);
      }
    });
    expect(await Promise.all(ports.map(isListening))).toEqual(ports.map(() => false));
  });

  test.each([2, 3, 5])("%i nodes that all dial each other at once meet all the same", async (n) => {
    const ports = await freePorts(n);
    const bounds = { ...defaultBounds, headStartMs: 0 };
    const nodes = ports.map((_, rank) => startNode(rank, ports, { bounds }));
    const outcomes = await Promise.all(nodes.map((node) => node.outcome));
    const links = outcomes.flatMap(linksOf);
    expect(links).toHaveLength(n * (n - 1));
    for (const link of links) expect(link).toMatchObject(figures);
  });

  test.each([
    ["an address where nobody is", (port: number) => `127.0.0.9:${port}`],
    ["a service that is silent", null],
    ["no address", () => null],
  ])("a higher node whose own address is %s dials the lower ones itself", async (_, wrong) => {
    const ports = await freePorts(3);
    const silent = await listenOn(keep(createServer()), 0);
    const last = wrong === null ? `127.0.0.1:${silent}` : wrong(ports[2] ?? 0);
    const addresses = [`127.0.0.1:${ports[0]}`, `127.0.0.1:${ports[1]}`, last];
    const bounds = { connectMs: patient(5_000), attemptMs: patient(300), headStartMs: 100 };
    const nodes = ports.map((_port, rank) => startNode(rank, ports, { addresses, bounds }));
    for (const { outcome, logs } of nodes) {
      expect(linksOf(await outcome)).toEqual([
        expect.objectContaining(figures),
        expect.objectContaining(figures),
      ]);
      expect(logs.filter((line) => line.startsWith("link"))).toEqual([]);
    }
  });

  test("a higher node does not dial where the lower one has reached it", async () => {
    const ports = await freePorts(2);
    let dialled = 0;
    const front = keep(
      createServer(() => {
        dialled += 1;
      }),
    );
    const addresses = [`127.0.0.1:${await listenOn(front, 0)}`, `127.0.0.1:${ports[1]}`];
    const bounds = { ...defaultBounds, headStartMs: patient(3_000), silenceMs: patient(20_000) };
    const nodes = [0, 1].map((rank) =>
      startNode(rank, ports, { addresses, bounds, durationMs: patient(2_000) }),
    );
    for (const { outcome } of nodes) {
      expect(linksOf(await outcome)).toEqual([expect.objectContaining(figures)]);
    }
    expect(dialled).toBe(0);
  });

  test("progress names the round and counts measured pairs", async () => {
    const ports = await freePorts(3);
    const [first, ...rest] = ports.map((_, rank) =>
      startNode(rank, ports, { bounds: defaultBounds }),
    );
    await Promise.all([first, ...rest].map((node) => node?.outcome));
    expect(first?.progress).toEqual([0, 0.5]);
    expect(first?.messages).toEqual([
      expect.stringMatching(/^round \d of 3: node 0 ↔ node [12]$/),
      expect.stringMatching(/^round \d of 3: node 0 ↔ node [12]$/),
    ]);
  });

  test("a node that hears of the step later is waited for", async () => {
    const ports = await freePorts(3);
    const early = [0, 1].map((rank) => startNode(rank, ports, { bounds: defaultBounds }));
    await delay(150);
    const late = startNode(2, ports, { bounds: defaultBounds });
    for (const { outcome } of [...early, late]) {
      expect(linksOf(await outcome).map((link) => link.error)).toEqual([undefined, undefined]);
    }
  });

  test("a connection that is cut while greeting is made again", async () => {
    const [front = 0, behind = 0, own = 0] = await freePorts(3);
    let connections = 0;
    const relay = createServer((near) => {
      connections += 1;
      if (connections === 1) {
        near.destroy();
        return;
      }
      const far = connect(behind, "127.0.0.1").on("error", () => near.destroy());
      near.pipe(far).pipe(near);
    });
    await listenOn(keep(relay), front);
    const target = startNode(1, [own, behind], { bounds: defaultBounds });
    const source = startNode(0, [own, front], { bounds: defaultBounds });
    expect(linksOf(await source.outcome)).toEqual([{ source_rank: 0, target_rank: 1, ...figures }]);
    await target.outcome;
    expect(connections).toBeGreaterThan(1);
  });

  test("strangers on the port change nothing", async () => {
    const ports = await freePorts(3);
    const strangers: Socket[] = [];
    cleanups.push(() => strangers.forEach((socket) => void socket.destroy()));
    const nodes = ports.map((_, rank) =>
      startNode(rank, ports, { bounds: defaultBounds, durationMs: 100 }),
    );
    for (let i = 0; i < 90; i++) {
      const socket = connect(ports[i % 3] ?? 0, "127.0.0.1").on("error", () => {});
      if (i % 2 === 0) socket.write("\0\0\0\u0025\u0001 let me in please, whoever you are...");
      strangers.push(socket);
    }
    for (const { outcome } of nodes) {
      expect(linksOf(await outcome)).toEqual([
        expect.objectContaining(figures),
        expect.objectContaining(figures),
      ]);
    }
  });
});

describe("links that do not work are data", () => {
  test("a closed port costs its own links and no others", async () => {
    const ports = await freePorts(3);
    const [first, second] = [startNode(0, ports), startNode(1, ports)];
    expect(linksOf(await first.outcome)).toEqual([
      { source_rank: 0, target_rank: 1, ...figures },
      { source_rank: 0, target_rank: 2, error: NEVER_MET(2) },
    ]);
    expect(await second.outcome).toMatchObject({ state: "completed" });
    expect(linksOf(await second.outcome)[0]).toMatchObject({ target_rank: 0, ...figures });
  });

  test("a lower node that never comes costs its own links and no others", async () => {
    const ports = await freePorts(3);
    const nodes = [startNode(1, ports), startNode(2, ports)];
    for (const { outcome } of nodes) {
      const [absent, present] = linksOf(await outcome);
      expect(absent).toMatchObject({
        target_rank: 0,
        error: NEVER_MET(0),
      });
      expect(present).toMatchObject(figures);
    }
  });

  test("a peer that accepts and says nothing", async () => {
    const ports = await freePorts(3);
    await listenOn(keep(createServer()), ports[2] ?? 0);
    const nodes = [startNode(0, ports), startNode(1, ports)];
    for (const { outcome } of nodes) {
      const [present, silent] = linksOf(await outcome);
      expect(present).toMatchObject(figures);
      expect(silent).toMatchObject({
        target_rank: 2,
        error: NEVER_MET(2),
      });
    }
  });

  test("a peer that greets and then stops reading", async () => {
    const ports = await freePorts(3);
    await fakeNode(2, ports[2] ?? 0, (channel, socket) => {
      channel.send(FRAME.ready);
      socket.pause();
    });
    const bounds = { pingMs: patient(1_000) };
    const nodes = [startNode(0, ports, { bounds }), startNode(1, ports, { bounds })];
    for (const { outcome } of nodes) {
      const [present, throttled] = linksOf(await outcome);
      expect(present).toMatchObject(figures);
      expect(throttled).toMatchObject({ error: `pings were not answered within ${patient(1)} s` });
    }
  });

  test("a peer that answers pings and then takes no data", async () => {
    const ports = await freePorts(2);
    await fakeNode(1, ports[1] ?? 0, async (channel, socket) => {
      channel.send(FRAME.ready);
      await channel.next(patient(5_000));
      for (let i = 0; i < 21; i++) {
        await channel.next(patient(5_000));
        if (i === 20) socket.pause();
        channel.send(FRAME.pong);
      }
    });
    const outcome = await startNode(0, ports, { bounds: { stallMs: patient(200) } }).outcome;
    expect(outcome).toEqual({
      state: "failed",
      errorMessage: "no link of this node could be measured",
      results: {
        measurements: [
          {
            source_rank: 0,
            target_rank: 1,
            error: `data was not received within ${(patient(200) + 30) / 1_000} s`,
          },
        ],
      },
    });
  });

  test("a peer that counts more than was sent is not believed", async () => {
    const ports = await freePorts(2);
    await fakeNode(1, ports[1] ?? 0, async (channel) => {
      channel.send(FRAME.ready);
      await channel.next(patient(5_000));
      for (let i = 0; i < 21; i++) {
        await channel.next(patient(5_000));
        channel.send(FRAME.pong);
      }
      // Long enough for the time to be possible, so that it is the bytes that give the lie away.
      await delay(100);
      const report = Buffer.alloc(16);
      report.writeDoubleBE(1e15, 0);
      report.writeDoubleBE(30, 8);
      channel.send(FRAME.report, report);
    });
    expect(linksOf(await startNode(0, ports).outcome)[0]?.error).toMatch(/impossible count/);
  });

  test("a peer that lives but never gets ready is not waited for for ever", async () => {
    const ports = await freePorts(2);
    await fakeNode(1, ports[1] ?? 0, (channel) => {
      const alive = setInterval(() => channel.send(FRAME.here), 20);
      cleanups.push(() => clearInterval(alive));
    });
    expect(linksOf(await startNode(0, ports).outcome)[0]?.error).toMatch(/did not become ready/);
  });

  test("a peer that falls silent before its turn is not waited for for long", async () => {
    const ports = await freePorts(2);
    await fakeNode(1, ports[1] ?? 0, () => {});
    const bounds = { silenceMs: patient(100), connectMs: patient(60_000) };
    const outcome = await startNode(0, ports, { bounds }).outcome;
    expect(linksOf(outcome)[0]?.error).toMatch(/did not become ready/);
  });

  test("a partner held up in an earlier round is waited for, longer than silence would be", async () => {
    // In round 1 node 0 hangs on node 3 for two seconds, while 1 and 2 go on to the next rounds.
    const ports = await freePorts(4);
    await fakeNode(3, ports[3] ?? 0, (channel, socket) => {
      channel.send(FRAME.ready);
      socket.pause();
    });
    const bounds = { pingMs: patient(2_000), silenceMs: patient(1_000) };
    const nodes = [0, 1, 2].map((rank) => startNode(rank, ports, { bounds }));
    for (const { outcome } of nodes) {
      const errors = linksOf(await outcome).map((link) => link.error !== undefined);
      expect(errors).toEqual([false, false, true]);
    }
  });

  test("a node without a usable address", async () => {
    const ports = await freePorts(3);
    const addresses = [null, `127.0.0.1:${ports[1]}`, "nonsense"];
    const nodes = [0, 1].map((rank) => startNode(rank, ports, { addresses }));
    for (const { outcome } of nodes) {
      const [present, lost] = linksOf(await outcome);
      expect(present).toMatchObject(figures);
      expect(lost).toMatchObject({ target_rank: 2, error: NEVER_MET(2) });
    }
  });
});

test("on a slow link only what arrived counts, not what the sender's buffers took", async () => {
  const ports = await freePorts(3);
  const [front = 0, , behind = 0] = ports;
  // Between the nodes: 16 KiB every 10 ms, about 13 Mbit/s each way; buffers alone hold megabytes.
  const slowly = (from: Socket, to: Socket): void => {
    from.on("data", (chunk: Buffer) => {
      from.pause();
      to.write(chunk);
      setTimeout(() => from.resume(), Math.ceil((chunk.length / 16_384) * 10));
    });
    from.on("close", () => to.destroy());
  };
  const relay = keep(
    createServer((near) => {
      const far = connect(behind, "127.0.0.1").on("error", () => {});
      slowly(near, far);
      slowly(far, near);
    }),
  );
  await listenOn(relay, front);
  const bounds = { stallMs: patient(10_000), pingMs: patient(10_000) };
  const target = startNode(1, [0, behind], { bounds, durationMs: 300 });
  const source = startNode(0, [ports[1] ?? 0, front], { bounds, durationMs: 300 });
  const [link] = linksOf(await source.outcome);
  target.abort();
  await target.outcome.catch(() => {});
  expect(link?.error).toBeUndefined();
  expect(link?.bandwidth_gbps).toBeGreaterThan(0);
  expect(link?.bandwidth_gbps).toBeLessThan(0.05);
});

describe("a step that cannot run", () => {
  test("fails when its port is taken", async () => {
    const ports = await freePorts(2);
    await listenOn(keep(createServer()), ports[0] ?? 0);
    expect(await startNode(0, ports).outcome).toEqual({
      state: "failed",
      errorMessage: `cannot listen on cluster port ${ports[0]} (EADDRINUSE)`,
    });
  });

  test("fails when no link could be measured, and still sends what it knows", async () => {
    const ports = await freePorts(2);
    expect(await startNode(0, ports).outcome).toMatchObject({
      state: "failed",
      errorMessage: expect.stringMatching(/no link/),
      results: { measurements: [{ source_rank: 0, target_rank: 1 }] },
    });
  });

  test("ends at once when the job does, and leaves no listener", async () => {
    const ports = await freePorts(2);
    const node = startNode(0, ports, { bounds: { connectMs: 60_000 } });
    while (!(await isListening(ports[0] ?? 0))) await delay(5);
    node.abort();
    await expect(node.outcome).rejects.toThrow();
    expect(await isListening(ports[0] ?? 0)).toBe(false);
  });

  const context = {
    jobId: "1",
    taskId: "task-0",
    nodes: [0, 1].map((rank) => ({ rank, taskId: `task-${rank}`, clusterAddresses: [] })),
    report: () => {},
    signal: new AbortController().signal,
  };
  const rules = rulesOf({ host: "127.0.0.1", port: 0 });
  const tools = { rules, bounds: shortBounds, log: () => {} };
  const step = { position: 1, benchmarkId: "cluster_network", config: {}, peerKey: KEY };

  test.each([0.49, 30.1, "1", null])("fails with duration_seconds %j", async (seconds) => {
    const bad = { ...step, config: { duration_seconds: seconds } };
    const outcome = await runClusterNetwork(bad, context, tools);
    // null means "not given", as everywhere in the API.
    expect(outcome).toMatchObject({
      errorMessage: expect.stringMatching(seconds === null ? /no link/ : /duration_seconds/),
    });
  });

  test.each([null, "", "zz".repeat(16), "ab"])("fails with the peer key %j", async (peerKey) => {
    const outcome = await runClusterNetwork({ ...step, peerKey }, context, tools);
    expect(outcome).toMatchObject({ errorMessage: expect.stringMatching(/key/) });
  });

  test("fails when the server's nodes do not name this one, or nobody else", async () => {
    const run = (nodes: typeof context.nodes) =>
      runClusterNetwork(step, { ...context, nodes }, tools);
    expect(await run(context.nodes.slice(1))).toMatchObject({
      errorMessage: expect.stringMatching(/does not name/),
    });
    expect(await run(context.nodes.slice(0, 1))).toMatchObject({
      errorMessage: expect.stringMatching(/two nodes/),
    });
  });
});
