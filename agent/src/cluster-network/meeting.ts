import { connect, createServer } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { type HostPort, isLoopback, parseHostPort } from "../host-port.ts";
import type { Log } from "../log.ts";
import { type Bounds, meetMs } from "./bounds.ts";
import { type Channel, createChannel, FRAME, LinkError } from "./channel.ts";
import { greetAsAcceptor, greetAsConnector, type Identity } from "./handshake.ts";

export interface Peer {
  rank: number;
  /** `host:port` as the peer gave it. */
  address: string | null;
}

export type Link = { ok: true; channel: Channel } | { ok: false; message: string };

export interface Meeting {
  /** The authenticated connection to a peer, as soon as it is there. Never rejects. */
  linkTo(rank: number): Promise<Link>;
  /** Ends everything and resolves once nothing listens any more. */
  close(): Promise<void>;
}

/** Beside one connection per node, room for a few strangers before the oldest is shown out. */
const SPARE_STRANGERS = 16;

/**
 * Opens this node's port and connects all pairs at once, each lower rank to each higher. So absent
 * peers cost their waiting time once and together instead of round by round, and connections wait,
 * with signs of life, until their round comes.
 */
export async function openMeeting(options: {
  self: Identity;
  peers: Peer[];
  listenAt: HostPort;
  bounds: Bounds;
  log: Log;
}): Promise<{ ok: true; meeting: Meeting } | { ok: false; message: string }> {
  const { self, peers, listenAt, bounds, log } = options;
  const ranks = new Set(peers.map((peer) => peer.rank));
  const links = new Map<number, Channel>();
  const failures = new Map<number, string>();
  const waiting = new Map<number, (link: Link) => void>();
  /** Connections that have not proved themselves yet, oldest first. */
  const strangers = new Set<Channel>();
  const stop = new AbortController();

  const arrive = (rank: number, channel: Channel): void => {
    if (stop.signal.aborted) {
      channel.close("the step is over");
      return;
    }
    // The peer itself has given up the older one, for instance because it was restarted.
    links.get(rank)?.close("replaced by a newer connection");
    links.set(rank, channel);
    waiting.get(rank)?.({ ok: true, channel });
    waiting.delete(rank);
  };
  const fail = (rank: number, message: string): void => {
    failures.set(rank, message);
    waiting.get(rank)?.({ ok: false, message });
    waiting.delete(rank);
  };

  const server = createServer((socket) => {
    const channel = createChannel(socket);
    strangers.add(channel);
    const [oldest] = strangers;
    // The oldest goes, not the newest: a node proves itself in an instant, whoever only sits there
    // is no node, and must not keep one out.
    if (oldest !== undefined && strangers.size > peers.length + 1 + SPARE_STRANGERS) {
      strangers.delete(oldest);
      oldest.close("too many connections that do not greet");
    }
    greetAsAcceptor(
      channel,
      self,
      (rank) => rank < self.rank && ranks.has(rank),
      bounds.handshakeMs,
    )
      .then((rank) => arrive(rank, channel))
      .catch((error: unknown) => channel.close(messageOf(error)))
      .finally(() => strangers.delete(channel));
  });
  const listening = await listen(server, listenAt);
  if (listening !== null) return { ok: false, message: listening };
  server.on("error", (error) => log(`cluster port: ${error.message}`));

  const dials = peers
    .filter((peer) => peer.rank > self.rank)
    .map((peer) => dial(peer, { self, bounds, signal: stop.signal, arrive, fail }));
  const keepalive = setInterval(() => {
    for (const channel of links.values()) if (channel.isOpen()) channel.send(FRAME.here);
  }, bounds.keepaliveMs);
  const absence = (rank: number): string =>
    links.has(rank)
      ? `node ${rank} closed the connection before its turn`
      : `node ${rank} did not connect within ${meetMs(bounds) / 1000} s`;
  let overdue = false;
  const deadline = setTimeout(() => {
    overdue = true;
    for (const rank of [...waiting.keys()]) fail(rank, absence(rank));
  }, meetMs(bounds));

  const meeting: Meeting = {
    linkTo: (rank) => {
      const channel = links.get(rank);
      if (channel?.isOpen()) return Promise.resolve({ ok: true, channel });
      const failure = failures.get(rank) ?? (overdue ? absence(rank) : undefined);
      if (failure !== undefined) return Promise.resolve({ ok: false, message: failure });
      return new Promise((resolve) => waiting.set(rank, resolve));
    },
    close: async () => {
      stop.abort();
      clearInterval(keepalive);
      clearTimeout(deadline);
      for (const channel of [...links.values(), ...strangers]) channel.close("the step is over");
      for (const { rank } of peers) fail(rank, "the step is over");
      await Promise.all([...dials, new Promise((resolve) => server.close(resolve))]);
    },
  };
  return { ok: true, meeting };
}

interface DialOptions {
  self: Identity;
  bounds: Bounds;
  signal: AbortSignal;
  arrive: (rank: number, channel: Channel) => void;
  fail: (rank: number, message: string) => void;
}

/** Connects to a peer and greets it, again and again until `connectMs` have passed. */
async function dial(peer: Peer, options: DialOptions): Promise<void> {
  const { self, bounds, signal, arrive, fail } = options;
  const address = peer.address === null ? null : parseHostPort(peer.address);
  if (address === null) return fail(peer.rank, `node ${peer.rank} gave no usable cluster address`);
  const deadline = performance.now() + bounds.connectMs;
  while (!signal.aborted) {
    const reached = await connectTo(address, bounds.attemptMs, signal);
    let problem: string;
    if (reached.ok) {
      try {
        await greetAsConnector(reached.channel, self, peer.rank, bounds.handshakeMs);
        return arrive(peer.rank, reached.channel);
      } catch (error) {
        problem = messageOf(error);
        const peerClosed = !reached.channel.isOpen();
        reached.channel.close(problem);
        // Silence or a wrong proof will not be better next time. A connection that the peer closed
        // may: it was crowded, or is about to start this step.
        if (!peerClosed) return fail(peer.rank, problem);
      }
    } else {
      problem = reached.message;
    }
    if (performance.now() >= deadline) return fail(peer.rank, problem);
    await delay(bounds.redialMs, undefined, { signal }).catch(() => {});
  }
}

function connectTo({ host, port }: HostPort, withinMs: number, signal: AbortSignal): Promise<Link> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const tidy = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      socket.off("connect", connected);
    };
    const giveUp = (message: string): void => {
      tidy();
      // Keeps its error listener: a late error of a socket given up must not be an uncaught one.
      socket.destroy();
      resolve({ ok: false, message });
    };
    const connected = (): void => {
      tidy();
      socket.off("error", failed);
      resolve({ ok: true, channel: createChannel(socket) });
    };
    const failed = (error: NodeJS.ErrnoException): void =>
      giveUp(`cannot connect (${error.code ?? error.message})`);
    const abort = (): void => giveUp("the step is over");
    const timer = setTimeout(giveUp, withinMs, `no connection within ${withinMs / 1000} s`);
    signal.addEventListener("abort", abort);
    socket.on("connect", connected);
    socket.on("error", failed);
  });
}

/** Listens where peers reach this node; a loopback address is never opened to the network. */
function listen(
  server: ReturnType<typeof createServer>,
  { host, port }: HostPort,
): Promise<string | null> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void =>
      resolve(`cannot listen on cluster port ${port} (${error.code ?? error.message})`);
    server.once("error", failed);
    server.listen({ port, ...(isLoopback(host) ? { host } : {}) }, () => {
      server.off("error", failed);
      resolve(null);
    });
  });
}

function messageOf(error: unknown): string {
  // Anything but a LinkError is a bug here; it must not take the listener down with it.
  return error instanceof LinkError ? error.message : `unexpected error: ${String(error)}`;
}
