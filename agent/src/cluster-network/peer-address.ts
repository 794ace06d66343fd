import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import type { HostPort } from "../host-port.ts";

/**
 * Networks that are never a peer's, by kind. The first match counts. An agent that announces a loopback
 * or link-local address itself dials such addresses of others, too, but never those of `metadata`.
 * Sources: the IANA special-purpose registries and the clouds' documentation of their metadata services.
 */
const REFUSED: readonly (readonly [kind: string, networks: BlockList])[] = [
  [
    "metadata",
    // AWS, Google and Azure; containers on AWS; Alibaba; Azure's wire server; Oracle; AWS, Google over IPv6.
    networksOf(
      "169.254.169.0/24 169.254.170.0/24 100.100.100.200 168.63.129.16 192.0.0.192 " +
        "fd00:ec2::/32 fd20:ce::254 fe80::a9fe:a9fe fd00:42::42",
    ),
  ],
  ["loopback", networksOf("127.0.0.0/8 ::1")],
  ["link-local", networksOf("169.254.0.0/16 fe80::/10")],
  ["multicast", networksOf("224.0.0.0/4 ff00::/8")],
  // Linux takes a connection to 0.0.0.0 or :: for one to itself. ::/96 is the old IPv4-compatible form.
  ["unspecified", networksOf("0.0.0.0/8 ::/96")],
  // Broadcast among them; local NAT64 and Teredo, whose IPv4 addresses stand where only their network knows.
  ["reserved", networksOf("240.0.0.0/4 64:ff9b:1::/48 2001::/32")],
];

/** Kinds that are dialled if this agent announces an address of the same kind. */
const OWN_KINDS: readonly string[] = ["loopback", "link-local"];

export interface PeerRules {
  /** The addresses that this agent announces. */
  readonly announced: readonly HostPort[];
  /** `--cluster-peers`: only these are dialled. */
  networks: BlockList | null;
  /** All addresses of a name. */
  lookup: (name: string) => Promise<string[]>;
}

export const systemLookup: PeerRules["lookup"] = async (name) =>
  (await lookup(name, { all: true })).map(({ address }) => address);

/** The address to dial, in its plain form, or the reason not to. */
export type Checked = { ok: true; address: string } | { ok: false; why: string };

/** Decides whether this agent connects to an address. Pure. */
export function checkAddress(text: string, rules: Omit<PeerRules, "lookup">): Checked {
  const [scopeless = ""] = text.split("%");
  if (isIP(scopeless) === 0) return { ok: false, why: "not an IP address" };
  const words = isIP(scopeless) === 6 ? wordsOf(scopeless) : null;
  const embedded = words === null ? null : embeddedIpv4(words);
  // An IPv4-mapped address is the IPv4 address to the system, so it is dialled and narrowed as that.
  const address = words !== null && embedded !== null && isMapped(words) ? embedded : scopeless;
  const own = rules.announced.map(({ host }) => kindOf(host));
  for (const part of embedded === null ? [address] : [address, embedded]) {
    const kind = kindOf(part);
    if (kind !== null && !(own.includes(kind) && OWN_KINDS.includes(kind))) {
      return { ok: false, why: `${text} is a ${kind} address` };
    }
  }
  if (rules.networks !== null && !contains(rules.networks, address)) {
    return { ok: false, why: `${text} is outside --cluster-peers` };
  }
  return { ok: true, address };
}

/** Reads addresses and networks such as `10.0.0.0/8`, separated by commas; null when one is neither. */
export function parseNetworks(texts: readonly string[]): BlockList | null {
  const list = new BlockList();
  for (const text of texts.flatMap((part) => part.split(","))) {
    const [address = "", prefix, ...rest] = text.trim().split("/");
    const family = isIP(address);
    const bits = family === 4 ? 32 : 128;
    const isPrefix = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits);
    if (family === 0 || address.includes("%") || !isPrefix || rest.length > 0) return null;
    list.addSubnet(address, Number(prefix ?? bits), family === 4 ? "ipv4" : "ipv6");
  }
  return list;
}

function networksOf(text: string): BlockList {
  return parseNetworks(text.split(" ")) ?? new BlockList();
}

function contains(list: BlockList, address: string): boolean {
  return list.check(address, isIP(address) === 4 ? "ipv4" : "ipv6");
}

function kindOf(host: string): string | null {
  if (host === "localhost") return "loopback";
  if (isIP(host) === 0) return null;
  return REFUSED.find(([, networks]) => contains(networks, host))?.[0] ?? null;
}

/** The eight 16-bit words of an IPv6 address. */
function wordsOf(address: string): number[] {
  // A URL's host is the address in hexadecimal words alone, with at most one "::".
  const [head = "", tail = ""] = new URL(`http://[${address}]`).hostname.slice(1, -1).split("::");
  const read = (part: string): number[] =>
    part === "" ? [] : part.split(":").map((word) => Number.parseInt(word, 16));
  const [left, right] = [read(head), read(tail)];
  return [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
}

function startsWith(words: readonly number[], ...prefix: number[]): boolean {
  return prefix.every((word, i) => words[i] === word);
}

function isMapped(words: readonly number[]): boolean {
  return startsWith(words, 0, 0, 0, 0, 0, 0xffff);
}

/** The IPv4 address that a mapped, translated (RFC 2765), NAT64 (RFC 6052) or 6to4 address leads to. */
function embeddedIpv4(words: readonly number[]): string | null {
  const isLast =
    isMapped(words) ||
    startsWith(words, 0, 0, 0, 0, 0xffff, 0) ||
    startsWith(words, 0x64, 0xff9b, 0, 0, 0, 0);
  if (!isLast && words[0] !== 0x2002) return null;
  const [high = 0, low = 0] = isLast ? words.slice(6) : words.slice(1, 3);
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}
