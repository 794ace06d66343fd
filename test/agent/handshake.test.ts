import { connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { type Channel, FRAME, LinkError } from "../../agent/src/cluster-network/channel.ts";
import {
  greetAsAcceptor,
  greetAsConnector,
  type Identity,
} from "../../agent/src/cluster-network/handshake.ts";
import { openMeeting } from "../../agent/src/cluster-network/meeting.ts";
import { patient } from "../patience.ts";
import { freePorts, rulesOf, shortBounds } from "./helpers.ts";
import { channelPair, identity } from "./peers.ts";

const BOUND_MS = patient(2_000);
const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function pair() {
  const made = await channelPair();
  cleanups.push(made.close);
  return made;
}

const anyone = (withinMs: number) => ({
  isExpected: () => true,
  admit: () => true,
  withinMs,
});

/** Both sides greet; like the listener, a side that objects closes the connection. */
async function greet(
  connector: { self: Identity; wants: number },
  acceptor: { self: Identity; expects: number },
) {
  const channels = await pair();
  const closing = (channel: Channel) => (error: unknown) => {
    channel.close("objected");
    throw error;
  };
  const [one, other] = await Promise.allSettled([
    greetAsConnector(channels.connector, connector.self, connector.wants, BOUND_MS).catch(
      closing(channels.connector),
    ),
    greetAsAcceptor(channels.acceptor, acceptor.self, {
      isExpected: (rank) => rank === acceptor.expects,
      admit: () => true,
      withinMs: BOUND_MS,
    }).catch(closing(channels.acceptor)),
  ]);
  return { connector: one, acceptor: other };
}

describe("greeting", () => {
  test("two nodes of a step recognise each other", async () => {
    const ends = await greet({ self: identity(0), wants: 1 }, { self: identity(1), expects: 0 });
    expect(ends).toEqual({
      connector: { status: "fulfilled", value: undefined },
      acceptor: { status: "fulfilled", value: 0 },
    });
  });

  const otherKey = Buffer.alloc(32, 1);
  test.each<[string, Identity, number, Identity]>([
    ["another key", identity(0, { key: otherKey }), 1, identity(1)],
    ["another job", identity(0, { jobId: "512" }), 1, identity(1)],
    ["another step", identity(0, { position: 2 }), 1, identity(1)],
    ["a rank that is not expected", identity(2), 1, identity(1)],
    ["a node with another rank than thought", identity(0), 2, identity(1)],
  ])("%s is refused by both sides", async (_, connector, wants, acceptor) => {
    const ends = await greet({ self: connector, wants }, { self: acceptor, expects: 0 });
    expect(ends.acceptor).toMatchObject({ status: "rejected", reason: expect.any(LinkError) });
    expect(ends.connector).toMatchObject({ status: "rejected", reason: expect.any(LinkError) });
  });

  test("an acceptor without the key is not believed", async () => {
    const { connector, acceptor } = await pair();
    const greeting = greetAsConnector(connector, identity(0), 1, BOUND_MS);
    await acceptor.next(BOUND_MS);
    acceptor.send(FRAME.challenge, Buffer.alloc(32));
    const proof = await acceptor.next(BOUND_MS);
    // Its best try: the connector's own proof, sent back.
    acceptor.send(FRAME.proof, proof?.payload);
    await expect(greeting).rejects.toThrow(/did not prove/);
  });

  test("a recorded greeting is worthless on the next connection", async () => {
    const first = await pair();
    const recorded: Buffer[] = [];
    first.sockets[1].on("data", (chunk: Buffer) => recorded.push(chunk));
    await Promise.all([
      greetAsConnector(first.connector, identity(0), 1, BOUND_MS),
      greetAsAcceptor(first.acceptor, identity(1), anyone(BOUND_MS)),
    ]);

    const second = await pair();
    const greeting = greetAsAcceptor(second.acceptor, identity(1), anyone(BOUND_MS));
    second.sockets[0].write(Buffer.concat(recorded));
    await expect(greeting).rejects.toThrow(/without the key/);
  });

  test("a greeting meant for another node does not even get a challenge", async () => {
    const { connector, acceptor } = await pair();
    const greeting = greetAsConnector(connector, identity(0), 2, BOUND_MS);
    const refusal = greetAsAcceptor(acceptor, identity(1), anyone(BOUND_MS));
    await expect(refusal).rejects.toThrow(/not for this node/);
    acceptor.close("refused");
    await expect(greeting).rejects.toThrow(/closed the connection/);
  });

  test("silence ends in bounded time", async () => {
    const { connector, acceptor } = await pair();
    await expect(greetAsConnector(connector, identity(0), 1, 20)).rejects.toThrow(
      /nobody answered/,
    );
    await expect(greetAsAcceptor(acceptor, identity(1), anyone(20))).rejects.toThrow(LinkError);
  });

  test.each([
    ["an HTTP request", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["a data frame", Buffer.from([0, 0, 0, 1, FRAME.data, 0])],
    ["a frame beyond the size of a greeting", Buffer.from([0, 0, 1, 1, FRAME.hello])],
    ["signs of life without end", Buffer.alloc(1_025).fill(Buffer.from([0, 0, 0, 0, FRAME.here]))],
  ])("%s before the greeting is refused at once", async (_, bytes) => {
    const { acceptor, sockets } = await pair();
    const greeting = greetAsAcceptor(acceptor, identity(1), anyone(60_000));
    sockets[0].write(bytes);
    await expect(greeting).rejects.toThrow(LinkError);
  });
});

describe("the listener", () => {
  async function meeting(peers: number) {
    const [port = 0] = await freePorts(1);
    const opened = await openMeeting({
      self: identity(peers),
      peers: Array.from({ length: peers }, (_, rank) => ({ rank, addresses: [] })),
      rules: rulesOf({ host: "127.0.0.1", port }),
      // A stranger that is closed early was closed for what it did, not by the bound.
      bounds: { ...shortBounds, handshakeMs: 60_000 },
      log: () => {},
    });
    if (!opened.ok) throw new Error(opened.message);
    cleanups.push(opened.meeting.close);
    return port;
  }

  /** Resolves with all bytes received once the listener has closed the connection. */
  function answerTo(
    port: number,
    bytes: Buffer | null,
    localAddress = "127.0.0.1",
  ): { socket: ReturnType<typeof connect>; closed: Promise<number> } {
    const socket = connect({ port, host: "127.0.0.1", localAddress });
    cleanups.push(() => socket.destroy());
    let received = 0;
    socket.on("data", (chunk: Buffer) => {
      received += chunk.length;
    });
    socket.on("error", () => {});
    if (bytes !== null) socket.write(bytes);
    return {
      socket,
      closed: new Promise((resolve) => socket.on("close", () => resolve(received))),
    };
  }

  test("closes a wrong greeting at once and answers nothing", async () => {
    const port = await meeting(1);
    expect(await answerTo(port, Buffer.from("GET / HTTP/1.1\r\n\r\n")).closed).toBe(0);
  });

  test("keeps at most 16 strangers beside the nodes, and shows the oldest out", async () => {
    const port = await meeting(1);
    const silent = [];
    for (let i = 0; i < 18; i++) {
      const stranger = answerTo(port, null);
      await new Promise((resolve) => stranger.socket.once("connect", resolve));
      silent.push(stranger);
    }
    const [oldest, ...others] = silent;
    let stillOpen = true;
    for (const { closed } of others)
      void closed.then(() => {
        stillOpen = false;
      });
    expect(stillOpen).toBe(true);
    const one = answerTo(port, null);
    await oldest?.closed;
    expect(one.socket.destroyed).toBe(false);
    expect(stillOpen).toBe(true);
  });

  test("a flood from one address pushes out its own connections, none of others", async () => {
    const port = await meeting(1);
    const quiet = answerTo(port, null);
    await new Promise((resolve) => quiet.socket.once("connect", resolve));
    const flood = Array.from({ length: 40 }, () => answerTo(port, null, "127.0.0.2"));
    await Promise.all(flood.slice(0, 20).map(({ closed }) => closed));
    expect(quiet.socket.readableEnded || quiet.socket.destroyed).toBe(false);
  });
});
