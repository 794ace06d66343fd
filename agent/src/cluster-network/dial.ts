import { connect, isIP } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { formatHostPort, type HostPort, parseHostPort } from "../host-port.ts";
import type { Log } from "../log.ts";
import type { Bounds } from "./bounds.ts";
import { type Channel, createChannel, LinkError } from "./channel.ts";
import { greetAsConnector, type Identity } from "./handshake.ts";
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
  signal: AbortSignal;
  arrive: (rank: number, channel: Channel) => void;
  /** This machine's own; nothing of what is found here may reach the server. */
  log: Log;
}

/** One of a peer's addresses; of a name all that it resolves to. */
interface Candidate {
  target: HostPort;
  found: Checked[] | null;
}

type Tried = { ok: true; channel: Channel } | { ok: false; why: string };

/** Of a peer, and of a name. */
const MAX_ADDRESSES = 8;

/**
 * Connects to a peer and greets it: its addresses in order, `attemptMs` each, again and again until `connectMs` have
 * passed. The addresses come from somebody who may not be a node at all. So each has its time to the end, whatever
 * stands there and whether it may be dialled: a node that lists its own address behind a foreign one would else learn
 * from the moment of its turn what the foreign one answered. Reasons go to the log alone, for the same purpose.
 */
export async function dial(peer: Peer, options: DialOptions): Promise<void> {
  const { bounds, signal, arrive, log } = options;
  const startedAt = performance.now();
  const candidates = [...new Set(peer.addresses)].flatMap((text): Candidate[] => {
    const target = parseHostPort(text);
    return target === null ? [] : [{ target, found: null }];
  });
  candidates.splice(MAX_ADDRESSES);
  const whys = new Map<string, string>();
  for (let turn = 0; turn * bounds.attemptMs < bounds.connectMs && !signal.aborted; turn++) {
    const candidate = candidates[turn % candidates.length];
    if (candidate === undefined) break;
    const endsAt = startedAt + Math.min((turn + 1) * bounds.attemptMs, bounds.connectMs);
    const pass = Math.floor(turn / candidates.length);
    while (performance.now() < endsAt && !signal.aborted) {
      const tried = await tryOnce(peer, candidate, pass, endsAt, options);
      if (tried.ok) return arrive(peer.rank, tried.channel);
      whys.set(formatHostPort(candidate.target), tried.why);
      const left = endsAt - performance.now();
      await pause(Math.min(bounds.redialMs, left), signal);
    }
  }
  if (signal.aborted) return;
  if (whys.size === 0) log(`node ${peer.rank}: gave no usable cluster address`);
  for (const [address, why] of whys) log(`node ${peer.rank}: ${address}: ${why}`);
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(Math.max(0, ms), undefined, { signal }).catch(() => {});
}

/** One connection to one address of a candidate, greeted; of a name another address in each pass. */
async function tryOnce(
  peer: Peer,
  candidate: Candidate,
  pass: number,
  endsAt: number,
  options: DialOptions,
): Promise<Tried> {
  const { self, signal } = options;
  const { target } = candidate;
  const found = await find(candidate, endsAt, options);
  if (typeof found === "string") return { ok: false, why: found };
  const checked = found[pass % found.length];
  if (!checked?.ok) return { ok: false, why: checked?.why ?? "the name has no address" };
  const where = { host: checked.address, port: target.port };
  const reached = await connectTo(where, Math.max(0, endsAt - performance.now()), signal);
  if (!reached.ok) return reached;
  const { channel } = reached;
  try {
    await greetAsConnector(channel, self, peer.rank, endsAt - performance.now());
    return reached;
  } catch (error) {
    const why = error instanceof LinkError ? error.message : `unexpected error: ${String(error)}`;
    channel.close(why);
    return { ok: false, why };
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

function connectTo(address: HostPort, withinMs: number, signal: AbortSignal): Promise<Tried> {
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
    const timer = setTimeout(giveUp, withinMs, "no connection in time");
    signal.addEventListener("abort", abort);
    socket.on("connect", connected);
    socket.on("error", failed);
  });
}
