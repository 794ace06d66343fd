import { connect, isIP } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { formatHostPort, type HostPort, parseHostPort } from "../host-port.ts";
import type { Log } from "../log.ts";
import type { Bounds } from "./bounds.ts";
import { type Channel, createChannel, LinkError } from "./channel.ts";
import { greetAsConnector, type Identity } from "./handshake.ts";
import type { Links } from "./links.ts";
import { type Checked, checkAddress, type PeerRules } from "./peer-address.ts";

export interface Peer {
  rank: number;
  /** Each a `host:port`, as the peer gave them, best first. */
  addresses: readonly string[];
}

export interface DialOptions {
  self: Identity;
  rules: PeerRules;
  bounds: Bounds;
  /** Nothing is dialled before. */
  afterMs: number;
  signal: AbortSignal;
  links: Pick<Links, "isMet" | "commit" | "release" | "arrive">;
  /** This machine's own; nothing of what is found here may reach the server. */
  log: Log;
}

/** One of a peer's addresses; of a name all that it resolves to. */
interface Candidate {
  target: HostPort;
  found: Checked[] | null;
}

type Reached = { ok: true; channel: Channel } | { ok: false; why: string };

/** Of a peer, and of a name. */
const MAX_ADDRESSES = 8;

/**
 * Connects to a peer and greets it: its addresses in order, `attemptMs` each, again and again until there is a connection,
 * by either side, or `connectMs` have passed. The addresses come from somebody who may not be a node at all. So each has
 * its time to the end, whatever stands there and whether it may be dialled: a node that lists its own address behind a
 * foreign one would else learn from the moment of its turn what the foreign one answered. Reasons go to the log alone, for
 * the same purpose.
 */
export async function dial(peer: Peer, options: DialOptions): Promise<void> {
  const { bounds, afterMs, signal, links, log } = options;
  const startedAt = performance.now() + afterMs;
  const windowMs = bounds.connectMs - afterMs;
  const isOver = (): boolean => signal.aborted || links.isMet(peer.rank);
  const candidates = [...new Set(peer.addresses)].flatMap((text): Candidate[] => {
    const target = parseHostPort(text);
    return target === null ? [] : [{ target, found: null }];
  });
  candidates.splice(MAX_ADDRESSES);
  const whys = new Map<string, string>();
  if (afterMs > 0) await pause(afterMs, signal);
  for (let turn = 0; turn * bounds.attemptMs < windowMs && !isOver(); turn++) {
    const candidate = candidates[turn % candidates.length];
    if (candidate === undefined) break;
    const endsAt = startedAt + Math.min((turn + 1) * bounds.attemptMs, windowMs);
    const pass = Math.floor(turn / candidates.length);
    while (performance.now() < endsAt && !isOver()) {
      const why = await tryOnce(peer, candidate, pass, endsAt, options);
      if (why === null) return;
      whys.set(formatHostPort(candidate.target), why);
      const left = endsAt - performance.now();
      await pause(Math.min(bounds.redialMs, left), signal);
    }
  }
  if (isOver()) return;
  if (whys.size === 0) log(`node ${peer.rank}: gave no usable cluster address`);
  for (const [address, why] of whys) log(`node ${peer.rank}: ${address}: ${why}`);
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(Math.max(0, ms), undefined, { signal }).catch(() => {});
}

/**
 * One connection to one address of a candidate, greeted; of a name another address in each pass.
 *
 * @returns null once the nodes are connected, else why they are not
 */
async function tryOnce(
  { rank }: Peer,
  candidate: Candidate,
  pass: number,
  endsAt: number,
  options: DialOptions,
): Promise<string | null> {
  const { self, signal, links } = options;
  const { target } = candidate;
  const found = await find(candidate, endsAt, options);
  if (typeof found === "string") return found;
  const checked = found[pass % found.length];
  if (!checked?.ok) return checked?.why ?? "the name has no address";
  const where = { host: checked.address, port: target.port };
  const reached = await connectTo(where, Math.max(0, endsAt - performance.now()), signal);
  if (!reached.ok) return reached.why;
  const { channel } = reached;
  let isCommitted = false;
  try {
    await greetAsConnector(channel, self, rank, endsAt - performance.now(), () => {
      isCommitted = links.commit(rank);
      return isCommitted;
    });
    links.arrive(rank, channel);
    return null;
  } catch (error) {
    const why = error instanceof LinkError ? error.message : `unexpected error: ${String(error)}`;
    channel.close(why);
    return why;
  } finally {
    // Only now: until it has arrived, the peer may take this connection for the one that counts.
    if (isCommitted) links.release(rank);
  }
}

/**
 * The checked addresses of a candidate, or the reason why there are none yet: a cluster that has just started may not
 * have published its names. A name is resolved once, and what was checked is what is dialled: a second answer could
 * be another one.
 */
async function find(
  candidate: Candidate,
  endsAt: number,
  options: DialOptions,
): Promise<Checked[] | string> {
  const { host } = candidate.target;
  if (candidate.found !== null) return candidate.found;
  const texts = isIP(host) === 0 ? await resolveName(host, endsAt, options) : [host];
  if (typeof texts === "string") return texts;
  candidate.found = texts
    .slice(0, MAX_ADDRESSES)
    .map((address) => checkAddress(address, options.rules));
  return candidate.found;
}

/** All addresses of a name, or the reason why there are none. */
async function resolveName(
  name: string,
  endsAt: number,
  { rules, signal }: DialOptions,
): Promise<string[] | string> {
  const over = new AbortController();
  const stop = (): void => over.abort();
  signal.addEventListener("abort", stop);
  try {
    const left = Math.max(0, endsAt - performance.now());
    const late = delay(left, "the name was not resolved in time", {
      signal: over.signal,
    }).catch(() => "the step is over");
    const found = await Promise.race([rules.lookup(name), late]);
    return found.length === 0 ? "the name has no address" : found;
  } catch (error) {
    return `the name cannot be resolved (${String(error)})`;
  } finally {
    stop();
    signal.removeEventListener("abort", stop);
  }
}

function connectTo(address: HostPort, withinMs: number, signal: AbortSignal): Promise<Reached> {
  return new Promise((resolve) => {
    const socket = connect(address);
    const tidy = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", abort);
      socket.off("connect", connected);
    };
    const giveUp = (why: string): void => {
      tidy();
      // Keeps its error listener: a late error of a socket given up must not be an uncaught one.
      socket.destroy();
      resolve({ ok: false, why });
    };
    const connected = (): void => {
      tidy();
      socket.off("error", failed);
      resolve({ ok: true, channel: createChannel(socket) });
    };
    const failed = (error: NodeJS.ErrnoException): void =>
      giveUp(`cannot connect (${error.code ?? error.message})`);
    const abort = (): void => giveUp("the step is over");
    const timer = setTimeout(giveUp, withinMs, "the connection timed out");
    signal.addEventListener("abort", abort);
    socket.on("connect", connected);
    socket.on("error", failed);
  });
}
