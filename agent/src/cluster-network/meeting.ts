import { createServer } from "node:net";
import { type HostPort, isLoopback } from "../host-port.ts";
import type { Log } from "../log.ts";
import { type Bounds, meetMs } from "./bounds.ts";
import { type Channel, createChannel, FRAME, LinkError } from "./channel.ts";
import { dial, type Peer } from "./dial.ts";
import { greetAsAcceptor, type Identity } from "./handshake.ts";
import { createLinks, type Links } from "./links.ts";
import { CLUSTER_PORT } from "./own-addresses.ts";
import type { PeerRules } from "./peer-address.ts";

export interface Meeting {
  /** See `Links.linkTo`. */
  linkTo: Links["linkTo"];
  /** Ends everything and resolves once nothing listens any more. */
  close(): Promise<void>;
}

/** Beside one connection per node, room for a few strangers before the oldest is shown out. */
const SPARE_STRANGERS = 16;

/**
 * Opens this node's port and connects all pairs at once: each lower rank dials each higher, and where that has not
 * succeeded after `headStartMs`, as behind NAT, the higher one dials, too. So absent peers cost their waiting time once
 * and together instead of round by round, and connections wait, with signs of life, until their round comes.
 */
export async function openMeeting(options: {
  self: Identity;
  peers: Peer[];
  /** With the addresses that this node announces and listens at. */
  rules: PeerRules;
  bounds: Bounds;
  log: Log;
}): Promise<{ ok: true; meeting: Meeting } | { ok: false; message: string }> {
  const { self, peers, rules, bounds, log } = options;
  const ranks = new Set(peers.map((peer) => peer.rank));
  const links = createLinks(self.rank);
  /** Connections that have not proved themselves yet, oldest first, and the addresses they come from. */
  const strangers = new Map<Channel, string>();
  const stop = new AbortController();

  const server = createServer((socket) => {
    const channel = createChannel(socket);
    strangers.set(channel, socket.remoteAddress ?? "");
    if (strangers.size > peers.length + 1 + SPARE_STRANGERS) {
      const crowding = mostCrowding(strangers);
      if (crowding !== undefined) strangers.delete(crowding);
      crowding?.close("too many connections without a greeting");
    }
    greetAsAcceptor(channel, self, {
      isExpected: (rank) => ranks.has(rank),
      admit: (rank) => links.admit(rank, channel),
      withinMs: bounds.handshakeMs,
    })
      .catch((error: unknown) => channel.close(messageOf(error)))
      .finally(() => strangers.delete(channel));
  });
  const listening = await listen(server, rules.announced);
  if (listening !== null) return { ok: false, message: listening };
  server.on("error", (error) => log(`cluster port: ${error.message}`));

  const dials = peers.map((peer) => {
    const afterMs = peer.rank > self.rank ? 0 : bounds.headStartMs;
    return dial(peer, { self, rules, bounds, afterMs, signal: stop.signal, links, log });
  });
  const keepalive = setInterval(
    () => links.each((channel) => channel.send(FRAME.here)),
    bounds.keepaliveMs,
  );
  // One sentence and one moment for every peer that has not proved itself, whatever stands in its place:
  // a closed port, a silent one, another service, an address that is not dialled, or no such name.
  const absence = (rank: number, hadLink: boolean): string =>
    hadLink
      ? `node ${rank} closed the connection before its turn`
      : `no connection with node ${rank} within ${meetMs(bounds) / 1000} s`;
  const deadline = setTimeout(() => links.giveUp(absence), meetMs(bounds));

  const meeting: Meeting = {
    linkTo: links.linkTo,
    close: async () => {
      stop.abort();
      clearInterval(keepalive);
      clearTimeout(deadline);
      links.close();
      for (const channel of strangers.keys()) channel.close("the step is over");
      await Promise.all([...dials, new Promise((resolve) => server.close(resolve))]);
    },
  };
  return { ok: true, meeting };
}

/**
 * The oldest connection of the address that has the most. The oldest, not the newest: a node proves itself
 * in an instant, whoever only sits there is no node. Of one address: a flood from elsewhere keeps no node out.
 */
function mostCrowding(strangers: ReadonlyMap<Channel, string>): Channel | undefined {
  const counts = new Map<string, number>();
  for (const from of strangers.values()) counts.set(from, (counts.get(from) ?? 0) + 1);
  const most = Math.max(...counts.values());
  return [...strangers].find(([, from]) => counts.get(from) === most)?.[0];
}

/** Listens where peers reach this node; a loopback address is never opened to the network. */
function listen(
  server: ReturnType<typeof createServer>,
  announced: readonly HostPort[],
): Promise<string | null> {
  const port = announced[0]?.port ?? CLUSTER_PORT;
  const host = announced.find((each) => isLoopback(each.host))?.host;
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void =>
      resolve(`cannot listen on cluster port ${port} (${error.code ?? error.message})`);
    server.once("error", failed);
    server.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
      server.off("error", failed);
      resolve(null);
    });
  });
}

function messageOf(error: unknown): string {
  // Anything but a LinkError is a bug here; it must not take the listener down with it.
  return error instanceof LinkError ? error.message : `unexpected error: ${String(error)}`;
}
